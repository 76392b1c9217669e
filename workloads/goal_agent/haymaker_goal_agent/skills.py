"""
Stage three: the skills and tools that a plan takes.

Skills come from the built-in library and from `skills/` folders that people keep, one folder to a skill with a
SKILL.md in it. It refuses to judge what a skill says: its text is passed on unread.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.markdown import decode
from agent_haymaker.goals.place import Place
from agent_haymaker.goals.skills import SKILL_FILE, is_hidden
from agent_haymaker.records import read_regular
from haymaker_goal_agent.library import LIBRARY
from haymaker_goal_agent.models import ExecutionPlan, SDKTool, SkillDefinition, SkillSet
from haymaker_goal_agent.sdks import SDKS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_NAME = 64
_WORD = re.compile(r"[a-z]{4,}")
_COMMON = frozenset(
    ["about", "after", "also", "been", "before", "each", "every", "file", "files", "from", "have", "into", "more",
     "must", "only", "other", "over", "should", "that", "their", "them", "then", "there", "these", "they", "this",
     "those", "what", "when", "where", "which", "with", "work", "your"]
)  # fmt: skip
_SHARED_WORDS = 2
"""So many words must a skill's description share with the plan to be taken."""


class SkillSynthesizer:
    """Matches skills to a plan. `folders` are searched in order; a skill of theirs replaces a built-in one."""

    def __init__(self, folders: Iterable[str | os.PathLike[str]] = ()) -> None:
        self._folders = tuple(map(Path, folders))

    def synthesize_with_sdk_tools(self, plan: ExecutionPlan, *, sdk: str = "script") -> SkillSet:
        """
        Give the skills that the plan requires, that the goal names or that fit it, and the SDK's tools for it.

        Raises:
            ManifestError: there is no such SDK, or a SKILL.md in one of the folders is wrong.
        """
        if sdk not in SDKS:
            raise ManifestError(f"there is no sdk `{sdk}`", where="config.sdk", fix=f"use one of: {', '.join(SDKS)}")
        chosen = {skill.name: skill for skill in LIBRARY if skill.name in plan.required_skills}
        known: dict[str, SkillDefinition] = {}
        for folder in self._folders:
            for skill in read_skills(folder):
                known.setdefault(skill.name, skill)
        words = _words_of(plan)
        for skill in known.values():
            if skill.name in chosen or skill.name in plan.goal.raw_prompt or _fits(skill, words):
                chosen[skill.name] = skill
        return SkillSet(tuple(chosen[name] for name in sorted(chosen)), _tools(plan, sdk))


def read_skills(folder: Path) -> list[SkillDefinition]:
    """
    Read every skill of a folder, by name. A folder that is not there has none.

    Raises:
        ManifestError: a file cannot be read, or a SKILL.md lacks a valid `name` or a `description`.
    """
    skills: dict[str, dict[str, bytes]] = {}
    for path, content in skill_files(folder).items():
        name, _, inside = path.partition("/")
        skills.setdefault(name, {})[inside] = content
    return [_read_skill(name, files) for name, files in skills.items()]


def skill_files(folder: Path) -> dict[str, bytes]:
    """
    Give every file of every skill by its path in the folder, sorted.

    Raises:
        ManifestError: one of them cannot be read.
    """
    paths = [
        path
        for skill in sorted(folder.glob(f"*/{SKILL_FILE}"))
        if not skill.parent.is_symlink()
        for path in sorted(skill.parent.rglob("*"))
        if path.is_file() and not is_hidden(str(path.relative_to(folder)))
    ]
    return {str(path.relative_to(folder)): _read(path, f"skills/{path.relative_to(folder)}") for path in paths}


def _read(path: Path, where: str) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise ManifestError(
            f"the skill cannot be read: {error.strerror}", where=where, fix="make it a file that can be read"
        ) from error


def _read_skill(folder: str, files: dict[str, bytes]) -> SkillDefinition:
    where = f"skills/{folder}/{SKILL_FILE}"
    content = decode(files.pop(SKILL_FILE), Place(where)).removeprefix("\ufeff")
    fields = _front_matter(content, where)
    name, description = fields.get("name"), fields.get("description")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise ManifestError(
            "the skill needs a `name` of lowercase letters, digits and hyphens",
            where=where,
            fix="name it in its front matter",
        )
    if not isinstance(description, str) or not description.strip():
        raise ManifestError("the skill needs a `description`", where=where, fix="describe it in its front matter")
    return SkillDefinition(name, description.strip(), content, "folder", files)


def _front_matter(content: str, where: str) -> dict[str, object]:
    found = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", content, re.DOTALL)
    if not found:
        raise ManifestError(
            "a SKILL.md begins with front matter", where=f"{where}:1", fix="begin it with ---, name:, description:, ---"
        )
    import yaml

    try:
        fields = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        raise ManifestError("its front matter is not YAML", where=f"{where}:{line}", fix="quote its values") from error
    if not isinstance(fields, dict):
        raise ManifestError("its front matter is not a mapping", where=f"{where}:2", fix="write name: and description:")
    return fields


def _tools(plan: ExecutionPlan, sdk: str) -> tuple[SDKTool, ...]:
    used = {name for phase in plan.phases for name in phase.required_capabilities}
    used |= {step.language for phase in plan.phases for step in phase.steps}
    used |= {criterion.check.language for criterion in plan.goal.criteria if criterion.check}
    asked = tuple(tool for what, tool in SDKS[sdk].when if what in used)
    return tuple(sorted({*SDKS[sdk].always, *asked}, key=lambda tool: tool.name))


def _words_of(plan: ExecutionPlan) -> set[str]:
    goal = plan.goal
    text = " ".join([goal.title, goal.goal, *goal.success_criteria, *(phase.description for phase in plan.phases)])
    return set(_WORD.findall(text.lower())) - _COMMON


def _fits(skill: SkillDefinition, words: set[str]) -> bool:
    own = set(_WORD.findall(f"{skill.name} {skill.description}".lower())) - _COMMON
    return len(own & words) >= _SHARED_WORDS
