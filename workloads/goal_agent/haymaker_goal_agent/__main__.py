"""
`python -m haymaker_goal_agent run`: make the agent's files in the workspace, then become the agent.

The generator's memory is given back by the exec: `main.py` keeps the pid and loads only what running takes. The keys of
a model leave the environment first.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from agent_haymaker.errors import HaymakerError, ManifestError
from haymaker_goal_agent.keys import become, take
from haymaker_goal_agent.settings import read_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from haymaker_goal_agent.budget import Budget
    from haymaker_goal_agent.models import ExecutionPlan

_USAGE = "usage: python -m haymaker_goal_agent run"


def main(arguments: list[str]) -> int:
    if arguments != ["run"]:
        print(_USAGE, file=sys.stderr)
        return 2
    workspace, config, keys = Path.cwd(), {}, {}
    try:
        config = _config(Path(os.environ.get("HAYMAKER_CONFIG") or workspace / "config.json"))
        keys = take() if read_settings(config).has_model else {}
        generate(workspace, config, keys)
        become([sys.executable, "-P", "main.py"], keys)
    except HaymakerError as error:
        from haymaker_goal_agent.automode import FAILED, refuse

        _forget_earlier_verdict()
        code = FAILED if isinstance(error, PlanningError) else None
        return refuse(error, workspace, code, used=_used_by_planning(config), keys=keys)


class PlanningError(HaymakerError):
    """The model that was to refine the plan did not answer."""


def generate(workspace: Path, config: Mapping[str, Any], keys: Mapping[str, str]) -> Path:
    """
    Make the agent directory in place: all five stages, from prompt.md.

    Raises:
        ManifestError: the goal or the config is wrong.
        PlatformError: the workspace cannot be written to.
    """
    from agent_haymaker.goals.place import COPY, VARIABLE, Place
    from agent_haymaker.goals.skills import IN_A_WORKSPACE
    from haymaker_goal_agent.generate import make_bundle
    from haymaker_goal_agent.packager import GoalAgentPackager

    place = Place.read(os.environ.get(VARIABLE, ""))
    bundle = make_bundle(
        workspace / COPY,
        place=place,
        name=os.environ.get("HAYMAKER_DEPLOYMENT") or "goal-agent",
        sdk=str(config.get("sdk", "script")),
        skill_folders=[workspace / IN_A_WORKSPACE],
        config=config,
        refine=_refiner(workspace, config, keys) if config.get("plan_with_model") else None,
    )
    return GoalAgentPackager(workspace, place).package(bundle)


def _config(path: Path) -> dict[str, Any]:
    """Read config.json; an agent without one runs with the defaults."""
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ManifestError(f"the config cannot be read: {error}", where=path.name, fix="make it JSON") from error
    if not isinstance(record, dict):
        raise ManifestError("the config is not a JSON object", where=f"{path.name}:1", fix='write {"sdk": "script"}')
    return record


def _refiner(
    workspace: Path, config: Mapping[str, Any], keys: Mapping[str, str]
) -> Callable[[ExecutionPlan], ExecutionPlan]:
    """Give what refines a plan: what the workspace has on record for the same goal, else the model."""
    from haymaker_goal_agent.budget import Budget
    from haymaker_goal_agent.planning import hand_over
    from haymaker_goal_agent.refine import PlanRefiner, recorded_refinement

    try:
        record = json.loads((workspace / "plan.json").read_bytes())
    except (OSError, ValueError):
        record = {}

    def refine(plan: ExecutionPlan) -> ExecutionPlan:
        if (known := recorded_refinement(plan, record)) is not None:
            return known
        Budget(read_settings(config), os.environ).check_planning()
        from agent_haymaker.llm import LLMConfig, LLMError, create_llm_client

        try:
            way = LLMConfig.from_env({**os.environ, **keys})
            if config.get("model") and config["sdk"] == "mini":  # the other sdks have names of their own
                way = way.with_model(config["model"])
            client = create_llm_client(way)
        except (ValueError, LLMError) as error:
            raise ManifestError(
                f"no model can be asked to plan: {getattr(error, 'what', error)}",
                where="config.plan_with_model",
                fix=getattr(error, "fix", None) or "name it in the manifest's env, or leave plan_with_model out",
            ) from error
        refiner = PlanRefiner(client)
        try:
            with client:
                return refiner.refine(plan)
        except LLMError as error:
            raise PlanningError(
                f"the plan could not be refined: {error.what}", where=error.where, fix=error.fix
            ) from error
        finally:
            if refiner.made is not None:
                hand_over(refiner.made)

    return refine


def _used_by_planning(config: Mapping[str, Any]) -> Budget | None:
    """Give what was asked of a model before it came to nothing: it is charged all the same."""
    from haymaker_goal_agent.budget import Budget
    from haymaker_goal_agent.planning import take_over

    used = take_over()
    if used is None:
        return None
    budget = Budget(read_settings(config), os.environ)
    budget.add_planning(used)
    return budget


def _forget_earlier_verdict() -> None:
    """A refusal must not leave the verdict of a run before it standing."""
    for name in ("result.json", "events.jsonl"):
        Path(name).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
