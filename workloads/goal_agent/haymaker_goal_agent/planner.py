"""
Stage two: a goal becomes three to five phases. Pure and deterministic.

A goal with steps is planned along its own headings, in the author's order; one without gets the phases that its
domain usually takes. The last phase always verifies. It refuses to know which SDK will do the work.
"""

from __future__ import annotations

import re
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from haymaker_goal_agent.models import ExecutionPlan, GoalDefinition, PlanPhase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_haymaker.goals.reading import Step

SKILL_OF = {
    "data-analysis": "data-analysis",
    "python": "python-steps",
    "reporting": "report-writing",
    "security": "security-review",
    "shell": "shell-steps",
    "verification": "verification",
}
"""The built-in skill that serves a capability; a capability without one is served by the SDK's tools alone."""

_MOST_WORKING_PHASES = 4
_STEP_SECONDS = 10.0
_CHECK_SECONDS = 1.0
_PHASE_SECONDS = {"simple": 120.0, "moderate": 300.0, "complex": 600.0}

_CAPABILITY_CUES = {
    "data-analysis": re.compile(r"\b(csv|json|awk|dataset|analy[sz]|aggregat|statistic|percentile)", re.IGNORECASE),
    "network": re.compile(r"\b(curl|wget|https?|urllib|requests\.|socket)\b", re.IGNORECASE),
    "reporting": re.compile(r"\b(report|summar|findings)", re.IGNORECASE),
    "security": re.compile(r"\b(vulnerab|security|cve-|exploit|secrets?\b)", re.IGNORECASE),
    "version-control": re.compile(r"\bgit\s+\w+"),
}
_WORK = {
    "data-processing": ("Collect the data", "Process the data", "Report the result"),
    "security-analysis": ("Map what is exposed", "Examine it", "Report the findings"),
    "automation": ("Survey what is there", "Carry it out", "Tidy up"),
    "testing": ("Learn what to test", "Write and run the tests", "Report the result"),
    "deployment": ("Prepare the release", "Roll it out", "Watch it settle"),
    "monitoring": ("Choose what to watch", "Measure it", "Report what was seen"),
    "integration": ("Study both sides", "Connect them", "Exercise the connection"),
    "reporting": ("Gather the material", "Write the report", "Revise it"),
    "general": ("Understand the task", "Do the work", "Review the result"),
}
_RISKS = (
    (
        re.compile(r"\brm\s+-\w*[rf]|\bDROP\s+TABLE\b|\bmkfs|\bgit\s+(push|reset --hard)", re.IGNORECASE),
        "removes or overwrites",
    ),
    (re.compile(r"\b(curl|wget|git\s+clone|pip\s+install|npm\s+install)\b", re.IGNORECASE), "needs the network"),
    (re.compile(r"\bsudo\b"), "asks for more rights than the agent has"),
)


class ObjectivePlanner:
    """Plans a goal."""

    def generate_plan(self, goal: GoalDefinition) -> ExecutionPlan:
        """Give a plan of 3 to 5 phases, each waiting for the one before it."""
        phases = _along_the_steps(goal) if goal.steps else _by_domain(goal)
        phases.append(_verification(goal))
        chained = [phases[0], *(_after(later, earlier) for earlier, later in pairwise(phases))]
        return ExecutionPlan(
            goal=goal,
            phases=tuple(chained),
            required_skills=required_skills(chained),
            risk_factors=_risks(goal),
            total_estimated_duration=sum(phase.estimated_duration for phase in chained),
        )


def required_skills(phases: Iterable[PlanPhase]) -> tuple[str, ...]:
    """Name the built-in skills that serve what the phases are in need of."""
    needed = {name for phase in phases for name in phase.required_capabilities}
    return tuple(sorted(SKILL_OF[name] for name in needed if name in SKILL_OF))


def _along_the_steps(goal: GoalDefinition) -> list[PlanPhase]:
    groups = [(name, list(steps)) for name, steps in groupby(goal.steps, key=lambda step: step.group)]
    if len(groups) == 1 and len(goal.steps) > 1:  # one heading over all of them says nothing: each step is a phase
        groups = [(step.title, [step]) for step in goal.steps]
    phases = [_working_phase(part) for part in _share_out(groups, _MOST_WORKING_PHASES)]
    if len(phases) == 1:
        names = " and ".join(sorted({step.language for step in goal.steps}))
        phases.insert(0, PlanPhase("Prepare", f"Make sure that the workspace can run {names}.", ("shell",)))
    return phases


def _working_phase(groups: list[tuple[str, list[Step]]]) -> PlanPhase:
    steps = tuple(step for _, members in groups for step in members)
    name = ", ".join(dict.fromkeys(name for name, _ in groups))
    titles = "; ".join(dict.fromkeys(step.title for step in steps))
    languages = " and ".join(sorted({step.language for step in steps}))
    return PlanPhase(
        name=name,
        description=f"{titles}." if titles != name else f"Run what the goal gives in {languages}.",
        required_capabilities=_capabilities(steps),
        estimated_duration=sum(min(step.timeout or _STEP_SECONDS, _STEP_SECONDS) for step in steps),
        success_indicators=(f"{len(steps)} {'step exits' if len(steps) == 1 else 'steps exit'} with code 0",),
        steps=steps,
    )


def _by_domain(goal: GoalDefinition) -> list[PlanPhase]:
    first, work, last = _WORK[goal.domain]
    seconds = _PHASE_SECONDS[goal.complexity]
    found = _capabilities_of_text(goal.raw_prompt)
    phases = [
        PlanPhase(first, f"{first} for: {_brief(goal.goal)}", ("shell",), (), True, seconds / 2),
        PlanPhase(work, f"{work} within the constraints of the goal.", ("shell", *found), (), False, seconds),
    ]
    if goal.complexity != "simple":
        phases.append(PlanPhase(last, f"{last}, as the success criteria ask.", found, (), False, seconds / 2))
    if goal.complexity == "complex":
        split = PlanPhase("Divide the work", "Cut the work into parts that can be checked alone.", (), (), False, 60.0)
        phases.insert(1, split)
    return phases


def _verification(goal: GoalDefinition) -> PlanPhase:
    checks = sum(criterion.check is not None for criterion in goal.criteria)
    return PlanPhase(
        name="Verify",
        description=f"Run {checks} of {len(goal.criteria)} success criteria as machine checks."
        if goal.criteria
        else "The goal states no success criteria: only its steps can fail.",
        required_capabilities=("verification",),
        estimated_duration=checks * _CHECK_SECONDS,
        success_indicators=goal.success_criteria,
    )


def _after(phase: PlanPhase, before: PlanPhase) -> PlanPhase:
    from dataclasses import replace

    return replace(phase, dependencies=(before.name,))


def _share_out(groups: list[tuple[str, list[Step]]], most: int) -> list[list[tuple[str, list[Step]]]]:
    """Cut a list into at most `most` stretches of nearly equal length, order kept."""
    count = min(most, len(groups))
    bounds = [len(groups) * index // count for index in range(count + 1)]
    return [groups[start:end] for start, end in pairwise(bounds)]


def _capabilities(steps: tuple[Step, ...]) -> tuple[str, ...]:
    languages = {"python" if step.language == "python" else "shell" for step in steps}
    text = "\n".join(f"{step.title}\n{step.code}" for step in steps)
    return tuple(sorted({*languages, *_capabilities_of_text(text)}))


def _capabilities_of_text(text: str) -> tuple[str, ...]:
    return tuple(name for name, cue in _CAPABILITY_CUES.items() if cue.search(text))


def _risks(goal: GoalDefinition) -> tuple[str, ...]:
    risks = [
        f"the step at line {step.line} {risk}" for step in goal.steps for cue, risk in _RISKS if cue.search(step.code)
    ]
    unchecked = sum(criterion.check is None for criterion in goal.criteria)
    if not goal.criteria:
        risks.append("no success criteria: nothing but the steps' exit codes tells whether the goal is met")
    elif unchecked:
        risks.append(f"{unchecked} of {len(goal.criteria)} success criteria have no machine check")
    return tuple(risks)


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:159].rstrip() + "…"
