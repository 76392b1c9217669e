"""
The lines of the benchmark: each measures one thing that a person waits for, or that stays, and holds it to its target.

A target is a bound on the median. Where it is a ratio, the floor was measured in turn with it, in the same minute.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import kernel, machine
from benchmarks.measure import BenchmarkError, Spread, cpus, in_turn, timed, walls
from benchmarks.world import World, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.measure import Timing

IDLE_SECONDS = 20.0
LOG_BYTES = 10 << 30
LOG_REAL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One measured line. `target` bounds the median, or with `over_floor` its ratio to the floor's median."""

    key: str
    what: str
    count: int
    unit: str  # s, ms, %, KB
    ours: Spread
    target: float | None = None
    floor: Spread | None = None
    floor_is: str = ""
    over_floor: bool = False
    cpu: dict[str, float] = field(default_factory=dict)  # median CPU seconds by process
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours.median / self.floor.median if self.floor else None

    @property
    def is_met(self) -> bool | None:
        if self.target is None:
            return None
        value = self.ratio if self.over_floor else self.ours.median
        return value is not None and value <= self.target

    def to_json(self) -> dict[str, object]:
        record: dict[str, object] = {"key": self.key, "what": self.what, "n": self.count, "unit": self.unit}
        record |= {
            "ours": self.ours.to_json(),
            "target": self.target,
            "over_floor": self.over_floor,
            "met": self.is_met,
        }
        if self.floor:
            record |= {"floor": self.floor.to_json(), "floor_is": self.floor_is, "ratio": self.ratio}
        return record | {"cpu": self.cpu, "note": self.note}


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure: runs of each line, how long to wait for a quiet machine before each, and which lines."""

    runs: int
    patience: float
    parent: Path | None
    wants: Callable[[str], bool]
    say: Callable[[str], None]

    def settle(self) -> None:
        share = machine.wait_until_quiet(self.patience)
        if share > machine.QUIET:
            self.say(f"the machine is {share:.0%} busy with something else")


def empty_home(plan: Plan) -> Iterator[Line]:
    """Commands that look, where nothing was ever deployed."""
    with World(0, parent=plan.parent) as world:
        world.home.mkdir(mode=0o700)
        yield from _looks(plan, world)


def fleet(plan: Plan, count: int) -> Iterator[Line]:
    """From files to all running, looked at and left alone, and away again: `count` deployments."""
    cold: list[_Cold] = []
    deleted: list[Timing] = []
    with World(count, parent=plan.parent) as world:
        for run in range(plan.runs if plan.wants("cold") else 1):
            if run:
                world.empty()
            cold.append(_converge_cold(plan, world))
            if run + 1 < plan.runs and plan.wants("delete"):
                deleted.append(_delete(plan, world))
        if plan.wants("cold"):
            yield from _cold_lines(cold, count)
        if not world.sleepers():
            _converge_cold(plan, world)
        if plan.wants("noop"):
            yield _noop(plan, world)
        yield from _looks(plan, world)
        if plan.wants("idle"):
            yield from _idle(plan, world)
        if plan.wants("delete"):
            deleted.append(_delete(plan, world))
            yield Line(
                "delete", "`delete -f`, all of them", count, "s", walls(deleted), cpu={"command": cpus(deleted).median}
            )


# ---- cold -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cold:
    to_exec: float
    to_return: float
    cpu: dict[str, float]
    how: str


def _converge_cold(plan: Plan, world: World) -> _Cold:
    plan.settle()
    execs = kernel.Execs()
    try:
        applied = world.apply()
        pids = world.expect_running()
        last = execs.last(pids)
        how = execs.how
    finally:
        execs.close()
    cpu = {"apply": applied.cpu, "shim": sum(map(kernel.cpu_seconds, world.beside()))}
    cpu["agents"] = sum(map(kernel.cpu_seconds, pids))
    return _Cold((last - applied.start_ns) / 1e9, applied.wall, cpu, how)


def _cold_lines(cold: Sequence[_Cold], count: int) -> Iterator[Line]:
    cpu = {name: Spread.of([one.cpu[name] for one in cold]).median for name in cold[0].cpu}
    target = 1.9 * count / 1000 if count >= 1000 else None
    to_exec, to_return = Spread.of([c.to_exec for c in cold]), Spread.of([c.to_return for c in cold])
    yield Line(
        "cold",
        "cold converge, to the last agent's exec",
        count,
        "s",
        to_exec,
        target,
        cpu=cpu,
        note=f"by {cold[0].how}",
    )
    yield Line("cold-return", "cold converge, to the command's return", count, "s", to_return, target, cpu=cpu)


def _noop(plan: Plan, world: World) -> Line:
    before = sorted(world.expect_running())
    world.apply()
    plan.settle()
    taken = [world.apply() for _ in range(plan.runs)]
    if sorted(world.sleepers()) != before:
        raise BenchmarkError("an apply with nothing to do started or ended something")
    target = {1000: 0.15, 10_000: 0.6}.get(world.count)
    return Line(
        "noop",
        "no-op `apply`, whole process",
        world.count,
        "s",
        walls(taken),
        target,
        cpu={"command": cpus(taken).median},
    )


def _delete(plan: Plan, world: World) -> Timing:
    plan.settle()
    taken = world.run("delete", "-f", str(world.manifests), "--yes")
    if world.sleepers():
        raise BenchmarkError("a delete left agents running")
    return taken


# ---- looks ------------------------------------------------------------------------------------------------


def _looks(plan: Plan, world: World) -> Iterator[Line]:
    """`status NAME` and `list`, each in turn with the smallest Python command that could tell as much."""
    wanted = [key for key in ("status", "list") if plan.wants(key)]
    if not wanted:
        return
    commands = {
        "status": [world.haymaker, "status", name_of(world.count // 2)],
        "status floor": _floor(world),
        "list": [world.haymaker, "list"],
        "list floor": [world.python, "-c", _READ_RECORDS, str(world.home / "state")],
    }
    plan.settle()
    runs = max(15, plan.runs)
    codes = (0,) if world.count else (0, 1)  # no such name: it says so, and that is timed
    chosen = {name: command for name, command in commands.items() if name.split()[0] in wanted}
    taken = in_turn(chosen, runs=runs, env=world.env, cwd=world.root, codes=codes)
    if "status" in wanted:
        yield _over_floor(
            "status", "`status NAME`, whole process", world.count, taken["status"], taken["status floor"], 1.3
        )
    if "list" in wanted:
        yield _over_floor(
            "list", "`list`, whole process", world.count, taken["list"], taken["list floor"],
            1.8 if world.count <= 1000 else 4.0, floor_is="`import click`, and N state records read",
        )  # fmt: skip


_READ_RECORDS = """
import json, os, sys
import click
if os.path.isdir(sys.argv[1]):
    for item in os.scandir(sys.argv[1]):
        with open(item, "rb") as file:
            json.loads(file.read())
"""


def _floor(world: World) -> list[str]:
    return [world.python, "-c", "import click"]


def _over_floor(
    key: str,
    what: str,
    count: int,
    taken: Sequence[Timing],
    floor: Sequence[Timing],
    target: float,
    note: str = "",
    floor_is: str = "`import click`",
) -> Line:
    return Line(
        key,
        what,
        count,
        "ms",
        _in_ms(walls(taken)),
        target,
        _in_ms(walls(floor)),
        floor_is,
        over_floor=True,
        cpu={"command": cpus(taken).median, "floor": cpus(floor).median},
        note=note,
    )


def _in_ms(spread: Spread) -> Spread:
    return Spread(spread.median * 1000, spread.lowest * 1000, spread.highest * 1000, spread.runs)


def _idle(plan: Plan, world: World) -> Iterator[Line]:
    """What of ours stays beside the agents: its memory, shared out among them, and what it burns doing nothing."""
    plan.settle()
    stay = world.beside()
    held, cpu = [], []
    for _ in range(5):
        held.append(sum(map(kernel.pss_bytes, stay)) / 1024 / world.count)
        time.sleep(0.1)
    before, start = sum(map(kernel.cpu_seconds, stay)), time.monotonic()
    time.sleep(IDLE_SECONDS)
    cpu.append(100 * (sum(map(kernel.cpu_seconds, stay)) - before) / (time.monotonic() - start))
    # One shim serves all: its own size counts whole at N=1, so the bound on each agent is for a fleet.
    target = 100.0 if world.count > 1 else None
    yield Line(
        "memory", "PSS beside an agent", world.count, "KB", Spread.of(held), target, note=f"{len(stay)} process for all"
    )
    yield Line("idle-cpu", f"idle CPU over {IDLE_SECONDS:g} s", world.count, "%", Spread.of(cpu), 0.02)


# ---- offline, and logs ------------------------------------------------------------------------------------


def base(plan: Plan, count: int, changed: int = 10) -> Iterator[Line]:
    """`plan --base REV` in a real repository: from a checkout alone, and where the folder was applied before."""
    for applied in (False, True):
        with World(count, parent=plan.parent) as world:
            _git(world, "init", "-q", "-b", "main")
            _git(world, "add", "manifests")
            _git(world, "commit", "-q", "-m", "as deployed")
            if applied:
                world.apply()
            for number in range(0, count, max(1, count // changed)):
                world.write(number, level="debug")
            plan.settle()
            ours = [world.haymaker, "plan", "-f", str(world.manifests), "--base", "HEAD"]
            commands = {"floor": ["git", "diff", "--stat", "HEAD"], "base": ours}
            taken = in_turn(commands, runs=plan.runs, env=world.env, cwd=world.root)
            if f"{changed} to replace" not in taken["base"][-1].output:
                raise BenchmarkError(f"the plan is not of {changed} replacements:\n{taken['base'][-1].output[-400:]}")
        yield Line(
            "base-applied" if applied else "base",
            f"`plan --base REV`, {changed} changed, {'applied before' if applied else 'a fresh checkout'}",
            count,
            "s",
            walls(taken["base"]),
            0.4 if count == 1000 else None,
            walls(taken["floor"]),
            "git diff --stat REV",
            cpu={"command": cpus(taken["base"]).median},
        )


def _git(world: World, *words: str) -> None:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    subprocess.run(["git", *who, *words], cwd=world.root, env=world.env, check=True, stdout=subprocess.DEVNULL)


def logs(plan: Plan) -> Iterator[Line]:
    """`logs -n 100` of a log of 10 GiB: a hole, and a real last MiB."""
    with World(1, parent=plan.parent) as world:
        world.apply()
        (log,) = world.home.glob("agents/*/agent.log")
        text = "".join(f"2026-01-01T00:00:00Z step {n:06d} of a long piece of work\n" for n in range(20_000)).encode()
        with log.open("r+b") as file:
            file.truncate(LOG_BYTES - LOG_REAL_BYTES)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + text[1 - LOG_REAL_BYTES :])
        plan.settle()
        commands = {
            "floor": _floor(world),
            "logs": [world.haymaker, "logs", "-n", "100", name_of(0)],
            "tail": ["tail", "-n", "100", str(log)],
        }
        taken = in_turn(commands, runs=max(15, plan.runs), env=world.env, cwd=world.root)
        shown = timed(commands["logs"], env=world.env, cwd=world.root).output.splitlines()
        if len(shown) < 100 or "step 019999" not in shown[-1]:
            raise BenchmarkError("these are not the log's last lines")
        note = f"`tail -n 100` {walls(taken['tail']).median * 1000:.1f} ms"
        yield _over_floor("logs", "`logs -n 100` of 10 GiB", 1, taken["logs"], taken["floor"], 1.3, note)


def alone(plan: Plan) -> Iterator[Line]:
    """What stays beside a single agent."""
    with World(1, parent=plan.parent) as world:
        world.apply()
        yield from _idle(plan, world)
