"""
`haymaker wait`: until deployments reach a state, or cannot any more. It looks, and makes no pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from agent_haymaker.engines import Handle
from agent_haymaker.errors import DeploymentNotFoundError, UsageError
from agent_haymaker.lean import dataclass
from reconciler.app import App
from reconciler.cli.common import SELECTOR, seconds
from reconciler.cli.show import checks_lines, status_of
from reconciler.cli.spec import Argument, Command, Option
from reconciler.exitcodes import ExitCode
from reconciler.health import CONDITIONS, Health, Sync, left_behind
from reconciler.inventory import applied
from reconciler.lookup import Found, find_all, find_one, find_thoroughly
from reconciler.model.finding import Verdict
from reconciler.model.observed import RunPhase

if TYPE_CHECKING:
    from typing import TextIO

    from reconciler.inventory import Entry

LOOK_SECONDS = 0.2  # between two looks at whether anything was written
FULL_LOOK_SECONDS = 2.0
HEALTHS = tuple(Health)
STATUSES = ("pending", "running", "stopped", "completed", "failed")
FIX = "write --for health=Healthy, condition=GoalMet, condition=Ready=False, status=completed or deleted"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for: `kind` is health, status, condition or deleted."""

    kind: str
    word: str = ""
    value: str = "True"

    def __str__(self) -> str:
        if self.kind == "condition":
            return self.word if self.value == "True" else f"{self.word}={self.value}"
        return self.word or self.kind


def parse(text: str) -> Goal:
    """
    Read what --for says.

    Raises:
        UsageError: it makes no sense.
    """
    kind, _, rest = text.partition("=")
    word, _, value = rest.partition("=")
    known = {"health": HEALTHS, "status": STATUSES, "condition": CONDITIONS}
    if kind == "deleted" and not rest:
        return Goal("deleted")
    if kind not in known:
        raise UsageError(f"--for {text!r} cannot be waited for", fix=FIX)
    chosen = next((k for k in known[kind] if k.lower() == word.lower()), None)
    if chosen is None:
        raise UsageError(f"there is no {kind} {word!r}", fix=f"choose one of {', '.join(known[kind])}")
    if kind != "condition":
        if value:
            raise UsageError(f"--for {text!r} cannot be waited for", fix=FIX)
        return Goal(kind, chosen)
    if (value or "True").capitalize() not in ("True", "False", "Unknown"):
        raise UsageError(f"a condition is True, False or Unknown, not {value!r}", fix=FIX)
    return Goal(kind, chosen, (value or "True").capitalize())


def run(*, names: tuple[str, ...], selector: str, wanted: str, timeout: str) -> int:
    goal = parse(wanted)
    limit = seconds(timeout, "--timeout")
    if bool(names) == bool(selector):
        raise UsageError(
            "it takes names, or a selector with -l", fix="`haymaker wait NAME`, or `haymaker wait -l team=a`"
        )
    app = App()
    chosen = list(dict.fromkeys(names)) or [one.name for one in find_all(app, selector=selector)]
    if not chosen:
        raise DeploymentNotFoundError(f"no deployment has labels that {selector!r} chooses", fix="see `haymaker list`")
    waiter = _Waiter(app, goal, chosen)
    asyncio.run(waiter.wait(limit))
    for name, why in waiter.hopeless.items():
        print(f"error: {name} will not be {goal}: {why}", file=sys.stderr)
        _print_checks(goal, waiter.found[name], sys.stderr)
    if waiter.hopeless:
        return int(ExitCode.ERROR)
    if not waiter.open:
        return int(ExitCode.OK)
    for name, standing in waiter.open.items():
        print(f"error: timed out after {timeout}: {name} is not {goal}: {standing}", file=sys.stderr)
    if waiter.unrecorded:
        print(
            "  fix: a run has ended that no pass has recorded; run `haymaker apply`, which runs its checks",
            file=sys.stderr,
        )
    return int(ExitCode.TIMEOUT)


class _Waiter:
    """Looks at what is still open whenever something was written or a run ended."""

    def __init__(self, app: App, goal: Goal, names: list[str]) -> None:
        self.app, self.goal = app, goal
        self.open = dict.fromkeys(names, "")
        self.hopeless: dict[str, str] = {}
        self.found: dict[str, Found] = {}
        self.unrecorded = False
        self._undecidable: dict[tuple[str, str, str], str] = {}  # name, digest, settings -> why no check decides it
        self._ends: dict[str, asyncio.Task[object]] = {}
        self._over: set[str] = set()

    async def wait(self, limit: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        try:
            while True:
                self._look()
                if not self.open or loop.time() >= deadline:
                    return
                if self.hopeless:
                    return  # no use in waiting for the others
                await self._change(min(deadline, loop.time() + FULL_LOOK_SECONDS))
        finally:
            for task in self._ends.values():
                task.cancel()
            await asyncio.gather(*self._ends.values(), return_exceptions=True)

    async def _change(self, until: float) -> None:
        """Return when a run has ended, haymaker's records changed, or it is `until`."""
        loop = asyncio.get_running_loop()
        before = _stamp(self.app)
        while (left := until - loop.time()) > 0:
            pause = min(left, LOOK_SECONDS)
            running = {key: task for key, task in self._ends.items() if key not in self._over}
            if running:
                done, _ = await asyncio.wait(running.values(), timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    self._over |= {key for key, task in running.items() if task in done}
                    return
            else:
                await asyncio.sleep(pause)
            if _stamp(self.app) != before:
                return

    def _look(self) -> None:
        self.unrecorded = False
        for name in list(self.open):
            try:
                found = find_one(self.app, name)
            except DeploymentNotFoundError:
                if self.goal.kind != "deleted":
                    raise
                self._reached(name)
                continue
            self.found[name] = found
            status = status_of(found)
            if _holds(self.goal, found):
                self._reached(name)
                if _is_good(self.goal) and status.sync is Sync.OUT_OF_SYNC and found.entry is not None:
                    print(f"note: {name} is out of sync: {found.entry.behind.get('reason')}", file=sys.stderr)
                _print_checks(self.goal, found, sys.stdout)
                continue
            self.open[name] = f"{status.health.value}, {found.status} ({status.message})"
            why = self._why_undecidable(found) or _hopeless(self.app, self.goal, found)
            if why:
                self.hopeless[name] = why
                continue
            self._watch(found)

    def _why_undecidable(self, found: Found) -> str:
        """Say why no check will ever decide the goal that is waited for; each spec is read once."""
        entry, seen = found.entry, found.seen
        if entry is None or seen is None or seen.stuck or seen.goal_met is not None or self.goal.word != "GoalMet":
            return ""
        key = (entry.name, entry.digest, entry.settings)
        if self.goal.value != "Unknown" and key not in self._undecidable:
            whole = entry if entry.desired else find_thoroughly(self.app, entry.name).entry  # a state record has none
            self._undecidable[key] = _never_checked(whole)
        return self._undecidable.get(key, "")

    def _reached(self, name: str) -> None:
        del self.open[name]
        print(f"{name}: {self.goal}", flush=True)

    def _watch(self, found: Found) -> None:
        run = found.entry.run if found.entry is not None else None
        if found.seen is not None and found.seen.phase is RunPhase.ENDED and not found.seen.recorded:
            self.unrecorded = True
        if run is None or run.handle is None or found.seen is None or found.seen.phase is not RunPhase.RUNNING:
            return
        if run.key not in self._ends:
            self._ends[run.key] = asyncio.create_task(self._end(Handle.from_json(run.handle)))

    async def _end(self, handle: Handle) -> object:
        # An engine that cannot tell leaves it to the looks in between.
        with contextlib.suppress(Exception):
            return await self.app.engine.wait(handle)
        return None


def _print_checks(goal: Goal, found: Found, out: TextIO) -> None:
    """Print each check's verdict, and what a failed one said, where it was these that were waited for."""
    run = found.entry.run if found.entry is not None else None
    if goal.word == "GoalMet" and run is not None and run.checks:
        print("\n".join(checks_lines(run)), file=out, flush=True)


def _stamp(app: App) -> list[tuple[str, int, int]]:
    """Give what changes when a pass writes anything."""
    stamps = []
    for folder in ("journal", "state"):
        with contextlib.suppress(OSError):
            found = os.stat(app.home / folder)
            stamps.append((folder, found.st_mtime_ns, found.st_nlink))
    with contextlib.suppress(OSError), os.scandir(app.home / "journal") as segments:
        stamps += sorted((s.name, s.stat().st_size, 0) for s in segments)
    return stamps


def _holds(goal: Goal, found: Found) -> bool:
    status = status_of(found)
    match goal.kind:
        case "health":
            return status.health.value == goal.word
        case "status":
            return found.status == goal.word
        case "condition":
            return any(c.type == goal.word and c.status == goal.value for c in status.conditions)
        case _:
            return False


def _hopeless(app: App, goal: Goal, found: Found) -> str:
    """Say why this will not come to pass by itself, "" where it may."""
    entry, seen = found.entry, found.seen
    if entry is None or seen is None:
        return "haymaker did not deploy it" if goal.kind != "deleted" else ""
    if seen.stuck and (_is_good(goal) or (goal.kind, goal.word) == ("status", "running")):
        return f"it is not started: {seen.stuck}"
    left = left_behind(entry) if not found.edits else None
    if left is not None and left.blocked and goal == Goal("condition", "Reconciling", "False"):
        return left.reason
    if not _is_good(goal):
        return ""
    if seen.phase is RunPhase.NONE and left is not None and left.verdict in (Verdict.UNRESOLVED, Verdict.OVER_BUDGET):
        return status_of(found).message
    if seen.doubt:
        return seen.doubt
    if seen.suspended:
        return "suspend: true; haymaker leaves it alone"
    if seen.held and seen.phase is RunPhase.RUNNING:
        return status_of(found).message
    if not seen.recorded and not seen.stalled:
        return ""
    entry = entry if entry.desired else find_thoroughly(app, entry.name).entry  # a state record has no spec
    if entry is None or not entry.desired:
        return ""

    from reconciler.classify import classify

    finding = classify(applied(entry), seen, fleet=entry.fleet, now=app.now())
    hopeless = (Verdict.GIVEN_UP, Verdict.OVER_BUDGET, Verdict.IN_DOUBT, Verdict.HELD, Verdict.IDLE, Verdict.STALLED)
    if finding.verdict in hopeless:
        return finding.reason
    if finding.verdict is Verdict.COMPLETED:
        if goal.word == "GoalMet" and seen.goal_met is None:
            return "its run ended, and no check has decided it"
        return status_of(found).message or finding.reason
    return ""


def _never_checked(entry: Entry | None) -> str:
    """Say why what was applied has nothing that decides GoalMet, "" where it has."""
    if entry is None or not entry.desired:
        return ""
    if entry.service:
        return "it is a service, and only the end of a task is checked"
    if not applied(entry).has_checks:
        return "it has no checks and no success criteria that could decide it"
    return ""


def _is_good(goal: Goal) -> bool:
    """Tell whether the goal is one that a failure rules out."""
    return (goal.kind, goal.word) in (("health", "Healthy"), ("status", "completed")) or (
        goal.kind == "condition" and goal.word in ("Ready", "GoalMet") and goal.value == "True"
    )


COMMAND = Command(
    run,
    help="""Wait until every NAME, or all with these labels, reach a state.

    A failure that rules it out ends the wait at once (exit code 1).

    It looks, and makes no pass: the end of a task is recorded, and its checks are run, by the next apply. So
    status=completed can hold before that, condition=GoalMet cannot. Exit code 4 when the time is over.
    """,
    takes=(
        Argument("names", "[NAME...]", multiple=True, required=False, completes="deployment"),
        SELECTOR,
        Option("wanted", "--for", default="health=Healthy", metavar="WHAT",
               help="health=Healthy, condition=GoalMet, condition=X=False, status=completed or deleted."),
        Option("timeout", "--timeout", default="60s", metavar="60s", help="The longest to wait."),
    ),
)  # fmt: skip
