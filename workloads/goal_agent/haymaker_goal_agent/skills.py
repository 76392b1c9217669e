"""
Stage three: the skills and tools that a plan takes.

Skills come from the built-in library and from `skills/` folders that people keep, one folder to a skill with a
SKILL.md in it. It refuses to judge what a skill says: its text is passed on unread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent_haymaker.errors import ManifestError
from haymaker_goal_agent.library import LIBRARY, SDK_TOOLS
from haymaker_goal_agent.models import ExecutionPlan, SDKTool, SkillDefinition, SkillSet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_NAME = 64
_MAX_BYTES = 1_000_000
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

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._folders = tuple(folders)

    def synthesize_with_sdk_tools(self, plan: ExecutionPlan, *, sdk: str = "script") -> SkillSet:
        """
        Give the skills that the plan requires or that fit it, by name, and the tools of the SDK that it uses.

        Raises:
            ManifestError: the SDK is not supported, or a SKILL.md in one of the folders is wrong.
        """
        if sdk not in SDK_TOOLS:
            raise ManifestError(
                f"sdk `{sdk}` is not supported yet", where="config.sdk", fix=f"use one of: {', '.join(SDK_TOOLS)}"
            )
        chosen = {skill.name: skill for skill in LIBRARY if skill.name in plan.required_skills}
        known: dict[str, SkillDefinition] = {}
        for folder in self._folders:
            for skill in read_skills(folder):
                known.setdefault(skill.name, skill)
        words = _words_of(plan)
        for skill in known.values():
            if skill.name in chosen or _fits(skill, words):
                chosen[skill.name] = skill
        return SkillSet(tuple(chosen[name] for name in sorted(chosen)), _tools(plan, sdk))


def read_skills(folder: Path) -> list[SkillDefinition]:
    """
    Read every skill of a folder, by name. A folder that is not there has none.

    Raises:
        ManifestError: a SKILL.md cannot be read, or lacks a valid `name` or a `description`.
    """
    if not folder.is_dir():
        return []
    return [_read_skill(path) for path in sorted(folder.glob("*/SKILL.md"))]


def _read_skill(path: Path) -> SkillDefinition:
    where = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ManifestError("a skill has at most 1 MB", where=where, fix="keep its data in files beside it")
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"the skill cannot be read: {error}", where=where, fix="make it a UTF-8 file") from error
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
    return SkillDefinition(name, description.strip(), content, "folder")


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
    used = {step.language for phase in plan.phases for step in phase.steps}
    used |= {criterion.check.language for criterion in plan.goal.criteria if criterion.check}
    return tuple(tool for asked, tool in sorted(SDK_TOOLS[sdk].items()) if asked in used)


def _words_of(plan: ExecutionPlan) -> set[str]:
    goal = plan.goal
    text = " ".join([goal.title, goal.goal, *goal.success_criteria, *(phase.description for phase in plan.phases)])
    return set(_WORD.findall(text.lower())) - _COMMON


def _fits(skill: SkillDefinition, words: set[str]) -> bool:
    own = set(_WORD.findall(f"{skill.name} {skill.description}".lower())) - _COMMON
    return len(own & words) >= _SHARED_WORDS
