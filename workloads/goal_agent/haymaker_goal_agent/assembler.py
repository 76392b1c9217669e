"""
Stage four: goal, plan, skills and tools become one bundle, complete or refused.

It refuses to write anything: `packager` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.commands import EMPTY_FIX, NO_STEPS_FIX
from agent_haymaker.goals.place import AT_COPY, COPY, Place
from agent_haymaker.goals.reading import read_goal
from haymaker_goal_agent.models import ExecutionPlan, GoalAgentBundle, GoalDefinition, SkillSet
from haymaker_goal_agent.sdks import SDKS

if TYPE_CHECKING:
    from collections.abc import Mapping

_READ_FIX = "read it with PromptAnalyzer, or give `title` and `raw_prompt`"
FEWEST_PHASES, MOST_PHASES = 3, 5


class AgentAssembler:
    """Puts an agent together."""

    def assemble(
        self,
        goal: GoalDefinition,
        plan: ExecutionPlan,
        skill_set: SkillSet,
        *,
        name: str,
        sdk: str = "script",
        config: Mapping[str, object] | None = None,
        place: Place = AT_COPY,
    ) -> GoalAgentBundle:
        """
        Give the finished bundle; errors name the place of the goal.

        Raises:
            ManifestError: something is missing; says all of it at once.
        """
        missing = list(_missing(goal, plan, skill_set, name, sdk, place))
        if missing:
            raise ManifestError(
                "; ".join(what for what, _ in missing), where=str(place), fix="; ".join(fix for _, fix in missing)
            )
        return GoalAgentBundle(
            name=name,
            goal=goal,
            plan=plan,
            skills=skill_set.skills,
            tools=skill_set.tools,
            sdk=sdk,
            config={**(config or {}), "goal_file": COPY, "sdk": sdk},
        )


def _missing(
    goal: GoalDefinition, plan: ExecutionPlan, skill_set: SkillSet, name: str, sdk: str, place: Place
) -> list[tuple[str, str]]:
    """What stands between these parts and an agent, each with what to do about it."""
    missing = []
    if not name:
        missing.append(("the agent has no name", "name it"))
    if not goal.goal.strip():
        missing.append(("the goal is empty", EMPTY_FIX))
    elif not goal.raw_prompt.strip() or not goal.title:
        missing.append(("the goal has no title, or no prompt that the agent could read", _READ_FIX))
    if sdk not in SDKS:
        missing.append((f"there is no sdk `{sdk}`", f"use one of: {', '.join(SDKS)}"))
    elif not SDKS[sdk].is_served_by(skill_set.tools):
        missing.append((f"its tools are not those of sdk `{sdk}`", f"synthesize them with sdk={sdk!r}"))
    if not FEWEST_PHASES <= len(plan.phases) <= MOST_PHASES:
        missing.append((f"the plan has {len(plan.phases)} phases", f"plan {FEWEST_PHASES} to {MOST_PHASES}"))
    if sdk == "script" and not any(phase.steps for phase in plan.phases):
        models = ", ".join(sdk.name for sdk in SDKS.values() if sdk.has_model)
        fix = f"{NO_STEPS_FIX}; or choose an sdk with a model: {models}"
        blocks = f" ({named})" if (named := read_goal(goal.raw_prompt, place).why_no_steps()) else ""
        missing.append((f"the goal has no step that sdk `script` can run{blocks}", fix))
    given = {skill.name for skill in skill_set.skills}
    if lacking := [skill for skill in plan.required_skills if skill not in given]:
        missing.append((f"skills are missing: {', '.join(lacking)}", "synthesize skills from this very plan"))
    return missing
