"""
The five stages in a row: from a goal to the agent directory made of it. It refuses to start anything.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker.errors import UsageError
from agent_haymaker.goals.generator import GeneratedAgent
from agent_haymaker.goals.place import Place
from agent_haymaker.goals.skills import BESIDE_A_GOAL
from haymaker_goal_agent.analyzer import PromptAnalyzer
from haymaker_goal_agent.assembler import AgentAssembler
from haymaker_goal_agent.packager import GoalAgentPackager, needs_of
from haymaker_goal_agent.planner import ObjectivePlanner
from haymaker_goal_agent.sdks import SDKS
from haymaker_goal_agent.skills import SkillSynthesizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from haymaker_goal_agent.models import ExecutionPlan, GoalAgentBundle

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


def make_bundle(
    goal_file: Path,
    *,
    place: Place,
    name: str,
    sdk: str = "script",
    skill_folders: Iterable[Path] = (),
    config: Mapping[str, object] | None = None,
    refine: Callable[[ExecutionPlan], ExecutionPlan] | None = None,
) -> GoalAgentBundle:
    """
    Read a goal, plan it, and put its agent together; errors name the place of the goal.

    `refine` may better the plan; see `PlanRefiner`. What it raises is passed on.

    Raises:
        ManifestError: the goal or a skill is wrong, or something is missing.
    """
    plan = ObjectivePlanner().generate_plan(PromptAnalyzer().analyze(goal_file, place=place))
    if refine is not None:
        plan = refine(plan)
    skills = SkillSynthesizer(skill_folders).synthesize_with_sdk_tools(plan, sdk=sdk)
    return AgentAssembler().assemble(plan.goal, plan, skills, name=name, sdk=sdk, config=config, place=place)


def generate_agent(goal: Path, out: Path | None, *, sdk: str, name: str, force: bool) -> GeneratedAgent:
    """Make an agent directory by hand, as `AgentGenerator.generate_agent` says."""
    sdk, name = sdk or "script", name or _name_for(goal)
    if sdk not in SDKS:
        raise UsageError(f"there is no sdk {sdk!r}", where="--sdk", fix=f"use one of: {', '.join(SDKS)}")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be an agent's name",
            where="--name",
            fix="use at most 63 lowercase letters, digits and hyphens, such as log-analyst",
        )
    place = Place(str(goal))
    bundle = make_bundle(goal, place=place, name=name, sdk=sdk, skill_folders=[goal.parent / BESIDE_A_GOAL])
    folder = out or Path(name)
    _check_free(folder, force=force)
    GoalAgentPackager(folder).package(bundle)
    read = bundle.goal
    return GeneratedAgent(
        name=name,
        folder=folder,
        sdk=sdk,
        domain=read.domain,
        phases=len(bundle.plan.phases),
        steps=len(read.steps),
        criteria=len(read.criteria),
        checks=sum(criterion.check is not None for criterion in read.criteria),
        needs=needs_of(bundle),
        notes=tuple(f"{place.at(note.line)}: {note}" for note in read.notes),
    )


def _name_for(goal: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", goal.stem.lower()).strip("-")[:63].rstrip("-") or "goal-agent"


def _check_free(folder: Path, *, force: bool) -> None:
    if folder.is_dir():
        if not force and any(folder.iterdir()):
            raise UsageError(
                "the folder is not empty",
                where=str(folder),
                fix="give another --out, or --force to write the agent's own files there again",
            )
    elif folder.exists() or folder.is_symlink():
        raise UsageError("this is not a folder", where=str(folder), fix="give another --out")
