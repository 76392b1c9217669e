"""
AutoMode: plan → execute → verify → summarise, in the process that `main.py` is.

Reads plan.json, which the generator made of the goal; so no markdown parser stays in memory. The goal is met only
if every step worked and every check of the success criteria passed. A criterion without a check is not checked,
and never met.

Exit codes: 0 goal met, 1 not met, 2 misconfigured, 128+n stopped by signal n.
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
from agent_haymaker.goals.commands import argv_of
from haymaker_goal_agent.children import Children
from haymaker_goal_agent.journal import Journal, timestamp
from haymaker_goal_agent.script_driver import ScriptDriver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MET, NOT_MET, MISCONFIGURED = 0, 1, 2
CHECK_TIMEOUT_SECONDS = 60

_NO_MODEL: dict[str, Any] = {
    "model": None,
    "session_id": None,
    "usage": {"input_tokens": 0, "output_tokens": 0},
    "cost_usd": 0.0,
}


class AutoMode:
    """One run of one agent in its workspace, which must be the working directory."""

    def __init__(self, workspace: Path, plan: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._workspace = workspace
        self._plan = plan
        self._check_timeout = float(config.get("check_timeout_seconds", CHECK_TIMEOUT_SECONDS))
        self._began = time.time()
        self._checks: list[dict[str, Any]] = []
        self._steps = {"done": 0, "total": 0}

    @classmethod
    def from_folder(cls, workspace: Path) -> AutoMode:
        """
        Read an agent directory.

        Raises:
            ManifestError: plan.json or config.json is missing or was damaged.
        """
        plan, config = _read(workspace / "plan.json"), _read(workspace / "config.json")
        if plan.get("schema_version") != 1 or not isinstance(plan.get("phases"), list):
            raise ManifestError(
                "this is not a plan of this release", where="plan.json:1", fix="generate the agent again from its goal"
            )
        if plan.get("sdk") != ScriptDriver.name:
            raise ManifestError(
                f"sdk `{plan.get('sdk')}` is not supported yet", where="plan.json sdk", fix="use `sdk: script`"
            )
        return cls(workspace, plan, config)

    def run(self) -> int:
        """
        Pursue the goal to its end, write the verdict, and give the exit code.

        Raises:
            HaymakerError: the goal cannot be run at all, or the verdict cannot be written.
            OSError: the workspace cannot be written to.
        """
        journal = Journal(self._workspace)
        criteria = self._plan["criteria"]
        checkable = sum(criterion["check"] is not None for criterion in criteria)
        env = {"PYTHONUNBUFFERED": "1", "HAYMAKER_WORKSPACE": str(self._workspace), **os.environ}
        with Children() as children:
            driver = ScriptDriver(self._plan, children, journal, env)
            self._steps["total"] = driver.total
            journal.say(
                f"Goal: {_one_line(self._plan['title'])}",
                f"Plan: {_count(len(self._plan['phases']), 'phase')}, {_count(driver.total, 'step')}, "
                f"{_count(checkable, 'check')}; {self._plan['domain']}, sdk {driver.name}",
                *(f"Note: {note}" for note in self._plan["notes"]),
            )
            journal.event("run", state="started", sdk=driver.name, steps=driver.total, checks=checkable)
            driver.prepare()
            reason = driver.execute()
            self._steps["done"] = driver.done
            if not reason:
                reason = self._verify(journal, children, env)
            if left := children.end_all():
                journal.say(f"Note: {_count(left, 'process', 'processes')} could not be ended")
            return self._conclude(journal, reason, children.stopped_by)

    def _verify(self, journal: Journal, children: Children, env: Mapping[str, str]) -> str:
        """Run every check, also behind one that failed; give why the goal is not met, "" when it is."""
        phases, criteria = self._plan["phases"], self._plan["criteria"]
        journal.say("", f"Phase {len(phases)}/{len(phases)}: {phases[-1]['name']}")
        journal.event("phase", number=len(phases), name=phases[-1]["name"], state="started")
        if not criteria:
            journal.say("   nothing to check: the goal states no success criteria")
        for number, criterion in enumerate(criteria, 1):
            self._check(number, criterion, journal, children, env)
            if children.is_stopping():
                journal.event("phase", number=len(phases), name=phases[-1]["name"], state="stopped")
                return f"stopped in check {number} of {len(criteria)} (prompt.md:{criterion['line']})"
        failed = [check for check in self._checks if check["status"] == "failed"]
        state = "failed" if failed else "done"
        journal.event("phase", number=len(phases), name=phases[-1]["name"], state=state)
        if not failed:
            return ""
        first = failed[0]
        return (
            f"{len(failed)} of {_count(sum(c['status'] != 'not checked' for c in self._checks), 'check')} failed: "
            f"{_one_line(first['criterion'])} (prompt.md:{first['line']}, {first['outcome']})"
        )

    def _check(
        self, number: int, criterion: Mapping[str, Any], journal: Journal, children: Children, env: Mapping[str, str]
    ) -> None:
        text, check = criterion["text"], criterion["check"]
        record = {"criterion": text, "line": criterion["line"], "status": "not checked"}
        if check is not None:
            timeout = check["timeout_seconds"] or self._check_timeout
            journal.is_unsure = True
            try:
                ended = children.run(argv_of(check["language"], check["code"], check["line"]), env, timeout, alone=True)
            except OSError as error:
                record |= {"status": "failed", "outcome": f"could not be started: {error.strerror}"}
            else:
                status = "stopped" if children.is_stopping() else "passed" if ended.is_success else "failed"
                record |= {"status": status, "outcome": str(ended), "exit_code": ended.code}
                record |= {"seconds": round(ended.seconds, 3)}
        self._checks.append(record)
        outcome = f" ({record['outcome']})" if record["status"] == "failed" else ""
        journal.say(f"   {record['status']:<11}  {_one_line(text)}{outcome}")
        journal.event("check", number=number, total=len(self._plan["criteria"]), **record)

    def _conclude(self, journal: Journal, reason: str, stopped_by: int) -> int:
        if stopped_by:
            code, verdict = 128 + stopped_by, "stopped"
            reason = f"{signal.Signals(stopped_by).name}: {reason or 'stopped at its end'}"
        else:
            code, verdict = (NOT_MET, "not met") if reason else (MET, "met")
        ended = time.time()
        journal.event("run", state="ended", verdict=verdict, exit_code=code, reason=reason)
        journal.result(
            {
                "verdict": verdict,
                "reason": reason,
                "exit_code": code,
                "sdk": self._plan["sdk"],
                "turns": 1,
                "steps": self._steps,
                "checks": self._checks,
                "started_at": timestamp(self._began),
                "ended_at": timestamp(ended),
                "seconds": round(ended - self._began, 3),
                **_NO_MODEL,
            }
        )
        unchecked = sum(check["status"] == "not checked" for check in self._checks)
        journal.say("")
        if unchecked and code == MET:
            journal.say(f"{_count(unchecked, 'criterion', 'criteria')} not checked: no machine check tells")
        journal.say(f"Goal not achieved: {reason}" if reason else "Goal achieved", f"Exit code: {code}")
        return code


def main() -> int:
    """Run the agent whose directory `main.py` stands in; give its exit code. No error becomes a traceback."""
    try:
        os.chdir(Path(sys.argv[0]).absolute().parent)
        return AutoMode.from_folder(Path.cwd()).run()
    except HaymakerError as error:
        return refuse(error)
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else None
        return refuse(HaymakerError(f"the agent cannot go on: {error.strerror}", where=where), NOT_MET)
    except (KeyError, TypeError, ValueError) as error:
        damaged = ManifestError(
            f"the plan is damaged: {error!r}", where="plan.json", fix="generate the agent again from its goal"
        )
        return refuse(damaged)


def refuse(error: HaymakerError, code: int | None = None) -> int:
    """Say why there is no verdict, with the closing lines that every run ends in; give the exit code."""
    if code is None:
        code = MISCONFIGURED if isinstance(error, ManifestError) else NOT_MET
    place = f" ({error.where})" if error.where else ""
    text = f"Error: {error}\n\nGoal not achieved: {_one_line(error.what)}{place}\nExit code: {code}\n"
    with contextlib.suppress(OSError):  # the exit code says it too
        os.write(1, text.encode("utf-8", "replace"))
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


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
