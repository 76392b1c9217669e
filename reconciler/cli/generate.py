"""
`haymaker generate`: an agent directory from a goal, to look at or to run by hand. Nothing is deployed.

Which workload makes it is found through its entry point, as for everybody else's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker.errors import WorkloadError
from reconciler.cli.common import output_option
from reconciler.cli.output import document
from reconciler.cli.spec import Argument, Command, Option

if TYPE_CHECKING:
    from agent_haymaker.goals.generator import AgentGenerator, GeneratedAgent

GOAL_AGENT = "goal-agent"


def run(*, goal: str, out: str, sdk: str, name: str, force: bool, output: str) -> int:
    made = _generator().generate_agent(Path(goal), Path(out) if out else None, sdk=sdk, name=name, force=force)
    if output == "json":
        facts = {"name": made.name, "folder": str(made.folder), "sdk": made.sdk, "domain": made.domain}
        counts = {"phases": made.phases, "steps": made.steps, "criteria": made.criteria, "checks": made.checks}
        print(document({"kind": "GeneratedAgent"} | facts | counts | {"needs": made.needs, "notes": made.notes}))
    else:
        print(_text(made))
    return 0


def _generator() -> AgentGenerator:
    from agent_haymaker.goals.generator import AgentGenerator
    from agent_haymaker.workloads.registry import WorkloadRegistry

    registry = WorkloadRegistry()
    workload = registry.get_workload(GOAL_AGENT)
    if not isinstance(workload, AgentGenerator):
        why = registry.failures.get(GOAL_AGENT, "it is not installed" if workload is None else "it makes no agents")
        raise WorkloadError(f"the workload {GOAL_AGENT} cannot be used: {why}", fix="install agent-haymaker again")
    return workload


def _text(made: GeneratedAgent) -> str:
    lines = [
        f"generated {made.name} in {made.folder}",
        f"  {made.domain}, sdk {made.sdk}: {_count(made.phases, 'phase')}, {_count(made.steps, 'step')}, "
        f"{made.checks} of {_count(made.criteria, 'success criterion', 'success criteria')} checked by a machine",
        *(f"  note: {note}" for note in made.notes),
        f"  run it: cd {made.folder} && python main.py",
        *(f"  needs: {need}" for need in made.needs),
    ]
    return "\n".join(lines)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


COMMAND = Command(
    run,
    help="""Make an agent directory of a goal written in markdown: main.py, plan.json, skills and a README.

    Nothing is started and nothing is deployed; the same goal gives the same files. Skills in a folder skills/ beside
    the goal are taken where they fit.
    """,
    takes=(
        Argument("goal", "GOAL.md"),
        Option("out", "--out", help="The folder to write; by default ./NAME.", default="", metavar="DIR"),
        Option(
            "sdk",
            "--sdk",
            help="Who will carry the goal out. script needs no model and no key.",
            choices=("script", "claude", "copilot", "microsoft", "mini"),
            default="script",
        ),
        Option("name", "--name", help="The agent's name; by default the goal's file name.", default="", metavar="NAME"),
        Option("force", "--force", kind="flag", help="Write the agent's files again into a folder that is not empty."),
        output_option("text", "json"),
    ),
)
