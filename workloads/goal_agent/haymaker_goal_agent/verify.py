"""
Verify: run the machine checks of the success criteria, and put into words what failed.

Every check runs, also behind one that failed. Checks run without the credentials of a model's provider, and whatever
they leave behind is ended. It refuses to look at what the agent says of itself.
"""

from __future__ import annotations

import contextlib
import os

from agent_haymaker.goals.commands import argv_of
from haymaker_goal_agent.journal import FOLDER
from haymaker_goal_agent.words import count, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from agent_haymaker.goals.place import Place
    from haymaker_goal_agent.children import Children
    from haymaker_goal_agent.journal import Journal

OUTPUT_BYTES = 4000
"""So much of a check's output is kept, its end: what failed is told there."""


class Verification:
    """One pass over all criteria. `checks` is what came of each, in order; `reason` why the goal is not met."""

    def __init__(self, criteria: Sequence[Mapping[str, Any]], timeout_seconds: float, place: Place) -> None:
        self._criteria = criteria
        self._place = place
        self._timeout = timeout_seconds
        self.checks: list[dict[str, Any]] = []
        self.reason = ""

    def run(self, journal: Journal, children: Children, env: Mapping[str, str]) -> None:
        """
        Check every criterion; from then on `reason` says why the goal is not met, and is "" when it is.

        Raises:
            OSError: events cannot be written.
        """
        if not self._criteria:
            journal.say("   nothing to check: the goal states no success criteria")
        for number, criterion in enumerate(self._criteria, 1):
            record = self._check(criterion, children, env)
            self.checks.append(record)
            outcome = f" ({record['outcome']})" if record["status"] == "failed" else ""
            journal.say(f"   {record['status']:<11}  {one_line(criterion['text'])}{outcome}")
            if record["status"] == "failed":
                journal.say(*(f"      {line}" for line in record["output"].splitlines()))
            journal.event("check", number=number, total=len(self._criteria), **record)
            if children.is_stopping():
                place = self._place.at(criterion["line"])
                self.reason = f"stopped in check {number} of {len(self._criteria)} ({place})"
                return
        if failed := self.failed:
            first, checked = failed[0], sum(check["status"] != "not checked" for check in self.checks)
            self.reason = (
                f"{len(failed)} of {count(checked, 'check')} failed: "
                f"{one_line(first['criterion'])} ({self._place.at(first['line'])}, {first['outcome']})"
            )

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [check for check in self.checks if check["status"] == "failed"]

    def _check(self, criterion: Mapping[str, Any], children: Children, env: Mapping[str, str]) -> dict[str, Any]:
        check = criterion["check"]
        record = {"criterion": criterion["text"], "line": criterion["line"], "status": "not checked"}
        if check is None:
            return record
        timeout = check["timeout_seconds"] or self._timeout
        argv = argv_of(check["language"], check["code"], check["line"], self._place)
        with _scratch() as output:
            try:
                ended = children.run(argv, env, timeout, alone=True, output=output)
            except OSError as error:
                outcome = f"could not be started: {error.strerror}"
                return record | {"status": "failed", "outcome": outcome, "output": ""}
            said = _tail(output)
        status = "stopped" if children.is_stopping() else "passed" if ended.is_success else "failed"
        record |= {"status": status, "outcome": str(ended), "exit_code": ended.code}
        return record | {"seconds": round(ended.seconds, 3), "output": said}


def feedback(failed: Sequence[Mapping[str, Any]], reason: str) -> str:
    """Say in markdown what failed, each check with its output: what the next attempt has to mend."""
    if not failed:
        return f"- {reason}\n" if reason else ""
    parts = []
    for check in failed:
        said = check["output"].strip()
        quoted = "".join(f"\n      {line}" for line in said.splitlines())
        parts.append(f"- {one_line(check['criterion'])} ({check['outcome']}){quoted}\n")
    return "".join(parts)


@contextlib.contextmanager
def _scratch() -> Iterator[int]:
    """A file without a name, for what a check says."""
    path = f"{FOLDER}/check.out"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.unlink(path)
        yield fd
    finally:
        os.close(fd)


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    text = os.pread(fd, OUTPUT_BYTES, max(0, size - OUTPUT_BYTES)).decode("utf-8", "replace")
    return text if size <= OUTPUT_BYTES else "…" + text.partition("\n")[2]
