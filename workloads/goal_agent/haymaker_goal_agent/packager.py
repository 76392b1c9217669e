"""
Stage five: a bundle becomes an agent directory: main.py, config.json, prompt.md, plan.json, skills/, README.md.

The same bundle gives the same bytes: no time, no path and no host is written. It refuses to start anything.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.goals.place import AT_COPY, COPY, Place
from agent_haymaker.records import OTHER_OUT, platform_error, write_record
from haymaker_goal_agent.sdks import SDKS

if TYPE_CHECKING:
    import os

    from agent_haymaker.goals.reading import Check, Criterion, Step
    from haymaker_goal_agent.models import GoalAgentBundle, PlanPhase, Refinement

PLAN_VERSION = 1
SOURCE_DIR = "HAYMAKER_SOURCE_DIR"

_MAIN = '''\
"""{title}

A goal agent, generated: it carries out plan.json with sdk `{sdk}`. README.md says what that needs.
To run it: python main.py
"""

import sys

if not sys.flags.safe_path:  # no file that a step writes here may shadow a module
    del sys.path[0]

try:
    from haymaker_goal_agent.automode import main
except ImportError as error:
    sys.exit(f"this agent needs the package agent-haymaker, which this Python has not: {{error}}")

if __name__ == "__main__":
    sys.exit(main())
'''


_FILES = (
    "## Files",
    "",
    "- `prompt.md`: the goal, as it was written",
    "- `plan.json`: what will be done, in order",
    "- `config.json`: the settings of the run",
    "- `main.py`: carries out the plan, verifies the success criteria, and ends with `Goal achieved` or why not",
    "- `skills/`: advice for an SDK with a model behind it",
    "- `events.jsonl`, `result.json`: what happened, and the verdict, once it has run",
)


class GoalAgentPackager:
    """
    Writes agent directories. Files that an agent made beside its own are left alone.

    The plan's notes name the `place` of the goal: by default the copy beside them.
    """

    def __init__(self, output_dir: str | os.PathLike[str], place: Place = AT_COPY) -> None:
        self._output_dir = Path(output_dir)
        self._place = place

    def package(self, bundle: GoalAgentBundle) -> Path:
        """
        Write the agent's directory and give its path. Each file is whole or absent, and never half written.

        Raises:
            PlatformError: the disk refuses.
        """
        try:
            self._write(files_of(bundle, self._place))
        except OSError as error:
            where = error.filename or self._output_dir
            raise platform_error(error, "write the agent's files", where, elsewhere=OTHER_OUT) from error
        return self._output_dir

    def _write(self, files: dict[str, bytes]) -> None:
        skills = self._output_dir / "skills"
        if skills.is_symlink() or skills.is_file():
            skills.unlink()
        elif skills.exists():
            shutil.rmtree(skills)  # a skill of the plan before must not linger
        skills.mkdir(parents=True)
        for path, content in sorted(files.items()):
            target = self._output_dir / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_record(target, content, durable=False, elsewhere=OTHER_OUT)


def files_of(bundle: GoalAgentBundle, place: Place = AT_COPY) -> dict[str, bytes]:
    """Give every file of the agent's directory by its path in it."""
    title = _plain(bundle.goal.title)
    files = {
        "main.py": _MAIN.format(title=title, sdk=bundle.sdk),
        "config.json": _json(dict(bundle.config)),
        COPY: bundle.goal.raw_prompt,
        "plan.json": _json(plan_record(bundle, place)),
        "README.md": _readme(bundle),
    }
    made = {path: text.encode() for path, text in files.items()}
    for skill in bundle.skills:
        made[f"skills/{skill.name}/SKILL.md"] = skill.content.encode()
        made |= {f"skills/{skill.name}/{path}": content for path, content in skill.files.items()}
    return made


def needs_of(bundle: GoalAgentBundle) -> tuple[str, ...]:
    """Say what a run of the agent by hand needs beside haymaker."""
    reads = f"{SOURCE_DIR} in the environment: the folder whose files the goal reads"
    return (*SDKS[bundle.sdk].needs, *((reads,) if SOURCE_DIR in bundle.goal.raw_prompt else ()))


def plan_record(bundle: GoalAgentBundle, place: Place = AT_COPY) -> dict[str, Any]:
    """Give the plan as plan.json holds it: all that a running agent needs, in JSON's types."""
    goal, plan = bundle.goal, bundle.plan
    return {
        "schema_version": PLAN_VERSION,
        "agent": bundle.name,
        "title": goal.title,
        "goal": goal.goal,
        "domain": goal.domain,
        "complexity": goal.complexity,
        "sdk": bundle.sdk,
        "constraints": list(goal.constraints),
        "criteria": [_criterion(criterion) for criterion in goal.criteria],
        "notes": [f"{place.at(note.line)}: {note}" for note in goal.notes],
        "phases": [phase_record(phase) for phase in plan.phases],
        "required_skills": list(plan.required_skills),
        "tools": [{"name": tool.name, "description": tool.description} for tool in bundle.tools],
        "risk_factors": list(plan.risk_factors),
        "estimated_seconds": plan.total_estimated_duration,
        "refinement": asdict(plan.refinement) if plan.refinement else None,
    }


def phase_record(phase: PlanPhase) -> dict[str, Any]:
    """Give one phase as plan.json holds it."""
    return {
        "name": phase.name,
        "description": phase.description,
        "required_capabilities": list(phase.required_capabilities),
        "dependencies": list(phase.dependencies),
        "parallel_safe": phase.parallel_safe,
        "estimated_seconds": phase.estimated_duration,
        "success_indicators": list(phase.success_indicators),
        "steps": [{**_code(step), "title": step.title} for step in phase.steps],
    }


def _criterion(criterion: Criterion) -> dict[str, Any]:
    check = _code(criterion.check) if criterion.check else None
    return {"text": criterion.text, "line": criterion.line, "check": check}


def _code(part: Step | Check) -> dict[str, Any]:
    return {"language": part.language, "code": part.code, "line": part.line, "timeout_seconds": part.timeout}


def _readme(bundle: GoalAgentBundle) -> str:
    goal, plan = bundle.goal, bundle.plan
    lines = [f"# {goal.title}", "", goal.goal, "", f"Domain {goal.domain}, {goal.complexity}, sdk `{bundle.sdk}`."]
    lines += ["", "## Plan", ""]
    lines += [f"{number}. **{phase.name}**: {phase.description}" for number, phase in enumerate(plan.phases, 1)]
    if plan.refinement:
        lines += ["", _told_of(plan.refinement)]
    if goal.criteria:
        lines += ["", "## Success criteria", ""]
        lines += [
            f"- {' '.join(c.text.split())}{'' if c.check else ' (not checked: nothing tells a machine how)'}"
            for c in goal.criteria
        ]
    if plan.risk_factors:
        lines += ["", "## Risks", "", *(f"- {risk}" for risk in plan.risk_factors)]
    run = "`python main.py`, with a Python that has the package `agent-haymaker`."
    lines += [
        "",
        "## To run it",
        "",
        f"{run} No model and no key are needed." if not SDKS[bundle.sdk].has_model else run,
    ]
    if needs := needs_of(bundle):
        lines += ["", "It also needs", "", *(f"- {need}" for need in needs)]
    lines += ["", *_FILES]
    return "\n".join(lines) + "\n"


def _told_of(refinement: Refinement) -> str:
    if refinement.rejected:
        return f"{refinement.model} was asked to refine it, and its answer was not taken: {refinement.rejected}."
    return f"Refined by {refinement.model}."


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _plain(text: str) -> str:
    """A text that may stand in a docstring."""
    return "".join(c for c in text if c.isprintable() and c not in '\\"')
