"""
AutoMode: plan → execute → verify → repeat or end → summarise, in the process that `main.py` is.

Reads plan.json, which the generator made of the goal; so no markdown parser stays in memory. A driver executes, the
checks of the success criteria verify, and what failed goes back to the driver while turns, tokens, money and time
remain. The goal is met only if every check passed. A criterion without a check is not checked, and never met.

Exit codes: 0 goal met, 1 not met, 2 misconfigured, 3 budget spent, 4 SDK or provider failed, 128+n by signal n.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from agent_haymaker.errors import HaymakerError, ManifestError
from agent_haymaker.goals.place import VARIABLE, Place
from haymaker_goal_agent.attempts import Attempts
from haymaker_goal_agent.budget import Budget
from haymaker_goal_agent.children import Children
from haymaker_goal_agent.drivers.protocol import Phase
from haymaker_goal_agent.journal import Journal, timestamp, write_refusal
from haymaker_goal_agent.keys import take
from haymaker_goal_agent.planning import take_over
from haymaker_goal_agent.recorder import Recorder
from haymaker_goal_agent.settings import read_settings
from haymaker_goal_agent.verify import Verification
from haymaker_goal_agent.words import count, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from haymaker_goal_agent.attempts import Outcome
    from haymaker_goal_agent.drivers.protocol import Driver

MET, NOT_MET, MISCONFIGURED, BUDGET_SPENT, FAILED = range(5)

OUTPUT = "output"
"""The folder of the workspace where results belong; it is there before the first step."""

_VERDICTS = {MET: "met", BUDGET_SPENT: "budget spent", FAILED: "failed", MISCONFIGURED: "misconfigured"}
_IDLE_ATTEMPTS = 2
"""After so many attempts in a row in which a model did nothing new, asking once more would only cost."""


class AutoMode:
    """One run of one agent in its workspace, which must be the working directory."""

    def __init__(self, workspace: Path, plan: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._workspace = workspace
        self._plan = plan
        self._place = Place.read(os.environ.get(VARIABLE, ""))
        self._settings = read_settings({**config, "sdk": plan["sdk"]})
        self._budget = Budget(self._settings, os.environ)
        self._planned = take_over()
        self._began = time.time()
        self._checks: list[dict[str, Any]] = []
        self._attempts = 0

    @classmethod
    def from_folder(cls, workspace: Path) -> AutoMode:
        """
        Read an agent directory.

        Raises:
            ManifestError: plan.json or config.json is missing or was damaged, or the config is wrong.
        """
        plan, config = _read(workspace / "plan.json"), _read(workspace / "config.json")
        if plan.get("schema_version") != 1 or not isinstance(plan.get("phases"), list):
            raise ManifestError(
                "this is not a plan of this release", where="plan.json:1", fix="generate the agent again from its goal"
            )
        return cls(workspace, plan, config)

    @property
    def has_model(self) -> bool:
        return self._settings.has_model

    def run(self, keys: Mapping[str, str]) -> int:
        """
        Pursue the goal to its end, write the verdict, and give the exit code. `keys` are for the model alone.

        Raises:
            HaymakerError: the goal cannot be run at all, or the verdict cannot be written.
            OSError: the workspace cannot be written to.
        """
        journal = Journal(self._workspace, {**os.environ, **keys})
        with contextlib.suppress(FileExistsError):  # whatever stands there, it is the agent's own
            (self._workspace / OUTPUT).mkdir()
        env = {"PYTHONUNBUFFERED": "1", "HAYMAKER_WORKSPACE": str(self._workspace), **os.environ}
        recorder = Recorder(journal, self._budget, len(self._plan["phases"]))
        with Children() as children:
            if self._planned is not None:
                recorder.planned(self._planned)  # at once: whatever comes of the rest, it was used
            driver = self._driver(children, env, keys)
            driver.prepare()
            attempts = Attempts(self._workspace, self._plan, self._settings, self._budget, journal, recorder)
            self._introduce(journal, driver)
            if self._planned is not None and (reason := self._budget.spent()):
                return self._conclude(journal, recorder, attempts, BUDGET_SPENT, reason, children.stopped_by)
            code, reason = self._pursue(driver, attempts, recorder, journal, children, env)
            if left := children.end_all():
                journal.say(f"Note: {count(left, 'process', 'processes')} could not be ended")
            return self._conclude(journal, recorder, attempts, code, reason, children.stopped_by)

    def _driver(self, children: Children, env: Mapping[str, str], keys: Mapping[str, str]) -> Driver:
        if self.has_model:
            from haymaker_goal_agent.drivers.hosted import HostedDriver

            return HostedDriver(self._settings.sdk, self._workspace, children, env, keys)
        from haymaker_goal_agent.drivers.script import ScriptDriver

        return ScriptDriver(self._plan, children, env, self._place)

    def _introduce(self, journal: Journal, driver: Driver) -> None:
        plan = self._plan
        steps = sum(len(phase["steps"]) for phase in plan["phases"])
        checks = sum(criterion["check"] is not None for criterion in plan["criteria"])
        journal.say(
            f"Goal: {one_line(plan['title'])}",
            f"Plan: {count(len(plan['phases']), 'phase')}, {count(steps, 'step')}, "
            f"{count(checks, 'check')}; {plan['domain']}, sdk {driver.name}",
            *(f"Note: {note}" for note in plan["notes"]),
        )
        journal.event("run", state="started", sdk=driver.name, steps=steps, checks=checks)

    def _pursue(
        self, driver: Driver, attempts: Attempts, recorder: Recorder, journal: Journal, children: Children,
        env: Mapping[str, str],
    ) -> tuple[int, str]:  # fmt: skip
        """Execute and verify until the goal is met, or there is a reason to end; give the exit code and that."""
        failed: list[dict[str, Any]] = []
        reason, idle = "", 0
        while True:
            self._attempts += 1
            outcome = attempts.execute(driver, self._attempts, failed, reason)
            if children.is_stopping() or outcome.how == "broken":
                return outcome.code, outcome.reason
            failed, reason = [], outcome.reason
            if outcome.how != "failed":
                verification = self._verify(recorder, journal, children, env)
                failed, reason = verification.failed, verification.reason
            if children.is_stopping():
                return NOT_MET, reason
            if not reason and self._is_met(outcome, recorder):
                if not attempts.has_instructions() or self._budget.spent(ending=True):
                    return MET, ""
            elif not reason and outcome.how == "done":
                reason = "the agent called no tool, and no check tells that there was nothing to do"
            idle = idle + 1 if self._settings.has_model and not recorder.new_calls else 0
            if spent := self._budget.spent(ending=True):
                return self._out_of(spent, reason)
            if idle >= _IDLE_ATTEMPTS:
                return NOT_MET, f"{reason}; the agent did nothing new in {idle} attempts"

    def _is_met(self, outcome: Outcome, recorder: Recorder) -> bool:
        """Whether no failed check is enough: where none passed either, work has to have been done, to its end."""
        if any(check["status"] == "passed" for check in self._checks):
            return True
        return outcome.how == "done" and (not self._settings.has_model or recorder.calls > 0)

    def _out_of(self, spent: str, reason: str) -> tuple[int, str]:
        if not self._settings.has_model and self._budget.turns >= self._budget.max_turns:
            return NOT_MET, reason  # its turns cost nothing: the last attempt simply failed
        return BUDGET_SPENT, f"{spent}; {reason or 'the agent was not done'}"

    def _verify(self, recorder: Recorder, journal: Journal, children: Children, env: Mapping[str, str]) -> Verification:
        number, name = len(self._plan["phases"]), self._plan["phases"][-1]["name"]
        recorder.phase(Phase(number, name, "started"))
        verification = Verification(self._plan["criteria"], self._settings.check_timeout_seconds, self._place)
        verification.run(journal, children, env)
        state = "stopped" if children.is_stopping() else "failed" if verification.failed else "done"
        recorder.phase(Phase(number, name, state))
        self._checks = verification.checks
        return verification

    def _conclude(
        self, journal: Journal, recorder: Recorder, attempts: Attempts, code: int, reason: str, stopped_by: int
    ) -> int:
        verdict = _VERDICTS.get(code, "not met")
        if stopped_by:
            code, verdict = 128 + stopped_by, "stopped"
            reason = f"{signal.Signals(stopped_by).name}: {reason or 'stopped at its end'}"
        ended = time.time()
        attempts.conclude(verdict, reason)
        steps = sum(len(phase["steps"]) for phase in self._plan["phases"])
        journal.event("run", state="ended", verdict=verdict, exit_code=code, reason=reason)
        journal.result(
            {
                "verdict": verdict,
                "reason": reason,
                "exit_code": code,
                "sdk": self._settings.sdk,
                "model": self._budget.model or None,
                "session_id": attempts.session_id or None,
                "attempts": self._attempts,
                "turns": self._budget.turns,
                "tool_calls": recorder.calls,
                "steps": {"done": recorder.steps_done, "total": steps if not self._settings.has_model else 0},
                "checks": self._checks,
                "usage": self._budget.usage(),
                "cost_usd": self._budget.cost_usd,
                "started_at": timestamp(self._began),
                "ended_at": timestamp(ended),
                "seconds": round(ended - self._began, 3),
            }
        )
        journal.say("")
        if used := recorder.summary():
            journal.say(used)
        unchecked = sum(check["status"] == "not checked" for check in self._checks)
        if unchecked and code == MET:
            journal.say(f"{count(unchecked, 'criterion', 'criteria')} not checked: no machine check tells")
        journal.say(f"Goal not achieved: {one_line(reason)}" if reason else "Goal achieved", f"Exit code: {code}")
        return code


def main() -> int:
    """Run the agent whose directory `main.py` stands in; give its exit code. No error becomes a traceback."""
    workspace, keys = Path(sys.argv[0]).absolute().parent, {}
    try:
        agent = AutoMode.from_folder(workspace)
        keys = take() if agent.has_model else {}  # the steps of a script get what the manifest names
        os.chdir(workspace)
        return agent.run(keys)
    except HaymakerError as error:
        return refuse(error, workspace, keys=keys)
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else None
        told = HaymakerError(f"the agent cannot go on: {error.strerror}", where=where)
        return refuse(told, workspace, NOT_MET, keys=keys)
    except (KeyError, TypeError, ValueError) as error:
        damaged = ManifestError(
            f"the plan is damaged: {error!r}", where="plan.json", fix="generate the agent again from its goal"
        )
        return refuse(damaged, workspace, keys=keys)


def refuse(
    error: HaymakerError, workspace: Path, code: int | None = None, *, used: Budget | None = None,
    keys: Mapping[str, str] | None = None,
) -> int:  # fmt: skip
    """
    Say why the goal was not pursued, or not to an end, in the log and in result.json; give the exit code.

    `used` is what it cost all the same; `keys` are kept out of the result, as every secret.
    """
    if code is None:
        code = MISCONFIGURED if isinstance(error, ManifestError) else NOT_MET
    reason = one_line(error.what) + (f" ({error.where})" if error.where else "")
    record: dict[str, Any] = {"verdict": _VERDICTS.get(code, "not met"), "reason": reason, "exit_code": code}
    if used is not None:
        record |= {"model": used.model or None, "turns": used.turns, "usage": used.usage(), "cost_usd": used.cost_usd}
    with contextlib.suppress(OSError, HaymakerError):  # the log says it too
        write_refusal(workspace, record, {**os.environ, **(keys or {})})
    with contextlib.suppress(OSError):  # the exit code says it too
        os.write(1, f"Error: {error}\n\nGoal not achieved: {reason}\nExit code: {code}\n".encode("utf-8", "replace"))
    return code


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise ManifestError(
            f"it cannot be read: {error.strerror}", where=path.name, fix="generate the agent again from its goal"
        ) from error
    except ValueError as error:
        raise ManifestError(f"it is not JSON: {error}", where=path.name, fix="generate the agent again") from error
    if not isinstance(record, dict):
        raise ManifestError("it is not a JSON object", where=f"{path.name}:1", fix="generate the agent again")
    return record
