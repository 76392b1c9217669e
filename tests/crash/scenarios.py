"""
The changes during which `haymaker apply` is killed, and what must be true once the next one has run.

A scenario is a loop: `change` asks for something, an `apply` that is to do it is killed, the next one converges, and
`check` looks. `begin` makes the world in which the loop starts. Each turn leaves the world ready for the next.
"""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

from agent_haymaker.testing import eventually

if TYPE_CHECKING:
    from support.world import Said, World

INJECT = os.path.join(os.path.dirname(__file__), "inject")
MANY = {"backoffLimit": 100000}


class Scenario:
    """`kinds` are the effects that its apply must have made, and `least` how many there are at the least."""

    name = ""
    command: tuple[str, ...] = ("apply",)
    kinds: frozenset[str] = frozenset({"write", "rename", "sync", "create", "mkdir"})
    least = 25
    rest = "nothing to do"  # what an apply says once everything is done

    def __init__(self, world: World) -> None:
        self.world = world
        self.turn = 0

    def begin(self) -> None:
        raise NotImplementedError

    def change(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError

    def act(self, *, code: int | None = 0, **env: str) -> Said:
        verb, *flags = self.command
        return (self.world.apply if verb == "apply" else self.world.delete)(*flags, code=code, **env)

    def started(self, who: str, before: int, times: int) -> None:
        now = self.world.starts(who)
        assert now - before == times, f"{who} was started {now - before} times, {times} were asked for"


class Create(Scenario):
    """A home that does not exist yet, a service, and a task that must not run twice."""

    name = "create"
    kinds = Scenario.kinds | {"spawn", "connect"}
    least = 60
    fresh = True

    def begin(self) -> None:
        self.world.fleet()

    def change(self) -> None:
        if self.turn:
            self.world.delete()
            self.world.check_exactly()
        if self.fresh:
            shutil.rmtree(self.world.home, ignore_errors=True)
        self.before = {who: self.world.starts(who) for who in ("web", "job")}
        self.world.declare("web")
        self.world.declare("job", run={"mode": "task"})

    def check(self) -> None:
        self.world.check_exactly("web", "job")
        for who, before in self.before.items():
            self.started(who, before, 1)


class CreateAgain(Create):
    """The same in a home that has seen others, where the journal is long and the shim may be ending."""

    name = "create again"
    kinds = Scenario.kinds | {"connect"}
    least = 40
    fresh = False


class Replace(Scenario):
    name = "replace"
    kinds = Scenario.kinds | {"signal", "connect", "unlink"}
    least = 45

    def begin(self) -> None:
        self.world.declare("web", config={"size": 1})
        self.world.apply()

    def change(self) -> None:
        self.before = self.world.starts("web")
        self.generation = self.world.entries()["web"]["generation"]
        self.old = self.world.one("web").run_id
        self.world.declare("web", config={"colour": f"shade {self.turn}"})

    def check(self) -> None:
        self.world.check_exactly("web")
        self.started("web", self.before, 1)
        assert self.world.entries()["web"]["generation"] == self.generation + 1
        assert self.world.one("web").run_id != self.old
        record = self.world.record("web")
        assert record["config"]["colour"] == f"shade {self.turn}"
        assert record["status"] == "running"


class Stop(Scenario):
    name = "stop"
    kinds = Scenario.kinds | {"signal"}

    def begin(self) -> None:
        self.world.declare("web")

    def change(self) -> None:
        self.world.declare("web")
        self.world.apply()
        self.before = self.world.starts("web") if self.world.one("web") else 0
        self.world.declare("web", desiredState="stopped")

    def check(self) -> None:
        self.world.check_exactly()
        self.started("web", self.before, 0)
        assert self.world.record("web")["status"] == "stopped"


class Start(Scenario):
    name = "start"
    kinds = Scenario.kinds | {"connect"}

    def begin(self) -> None:
        self.world.declare("web")
        self.world.apply()
        self.world.one("web")

    def change(self) -> None:
        self.world.declare("web", desiredState="stopped")
        self.world.apply()
        self.before = self.world.starts("web")
        self.world.declare("web")

    def check(self) -> None:
        self.world.check_exactly("web")
        self.started("web", self.before, 1)


class Heal(Scenario):
    """A service that died: its end is put on record once, and it is started once."""

    name = "restart"
    kinds = Scenario.kinds | {"connect"}

    def begin(self) -> None:
        self.world.declare("web", run=MANY)
        self.world.apply()

    def change(self) -> None:
        agent = self.world.one("web")
        self.before = self.world.starts("web")
        self.failures = self.world.entries()["web"].get("failures", 0)
        self.world.kill(agent.pid)
        self.dead = agent.run_id

    def check(self) -> None:
        self.world.check_exactly("web")
        self.started("web", self.before, 1)
        assert self.world.entries()["web"]["failures"] == self.failures + 1
        told = {h["key"]: h["exit"] for h in self.world.history("web") if h["event"] == "ended"}
        assert told[self.dead] == "signal SIGKILL"


class Delete(Scenario):
    """Its manifest is gone, and pruning is on."""

    name = "delete"
    command = ("apply", "--prune")
    kinds = Scenario.kinds | {"signal", "unlink"}

    def begin(self) -> None:
        self.world.fleet(sync={"maxDeletions": "100%"})
        self.world.declare("stays")
        self.world.apply()

    def change(self) -> None:
        self.world.declare("web")
        self.world.apply()
        self.before = self.world.starts("web") if self.world.one("web") else 0
        self.world.remove("web")

    def check(self) -> None:
        self.world.check_exactly("stays")
        self.started("web", self.before, 0)
        assert self.world.starts("stays") == 1


class DeleteAll(Scenario):
    name = "delete -f"
    command = ("delete",)
    kinds = Scenario.kinds | {"signal", "unlink"}

    def begin(self) -> None:
        self.world.declare("web")
        self.world.declare("other")

    def change(self) -> None:
        self.world.apply()
        assert self.world.one("web")
        assert self.world.one("other")

    def check(self) -> None:
        self.world.check_exactly()


class Rename(Scenario):
    """The name changes; the process does not notice."""

    name = "rename"
    least = 20

    def begin(self) -> None:
        self.world.declare("name-0", who="web")
        self.world.apply()
        self.pid = self.world.one("web").pid

    def change(self) -> None:
        old, new = f"name-{self.turn}", f"name-{self.turn + 1}"
        self.world.remove(old)
        self.world.declare(new, who="web", renamedFrom=[old])

    def check(self) -> None:
        self.world.check_exactly("web")
        assert self.world.one("web").pid == self.pid
        assert self.world.record(f"name-{self.turn + 1}")["status"] == "running"


class Record(Scenario):
    """A task ended: its checks run, once, and its end is put on record."""

    name = "record"
    kinds = Scenario.kinds | {"connect"}

    def begin(self) -> None:
        self.declare("none")

    def declare(self, colour: str) -> None:
        checked = f"echo {colour} >> {self.world.ledger}/checked; grep -q well report.md"
        checks = [
            {"name": "report", "file": {"path": "report.md", "minBytes": 5}},
            {"name": "says", "command": ["sh", "-c", checked]},
        ]
        self.world.declare("job", "report", run={"mode": "task"}, success={"checks": checks}, config={"colour": colour})

    def change(self) -> None:
        self.declare(f"shade {self.turn}")
        self.world.apply()
        eventually(lambda: len(self.world.lines("reported")) == self.turn + 1)
        eventually(lambda: not self.world.everybody())
        self.runs = self.world.starts("job")

    def check(self) -> None:
        self.world.check_exactly()
        self.started("job", self.runs, 0)
        run = self.world.entries()["job"]["run"]
        assert run["goal_met"] is True, run
        assert run["exit_code"] == 0
        assert self.world.record("job")["status"] == "completed"
        checked = self.world.lines("checked")
        assert checked.count(f"shade {self.turn}") == 1, checked
        assert any(h["key"] == run["key"] and h["goal_met"] for h in self.world.history("job"))


class Bill(Scenario):
    """A task ended and told what it used: the ledger has it once."""

    name = "bill"

    def begin(self) -> None:
        self.world.declare("job", "bill", run={"mode": "task"}, config={"size": 1})

    def change(self) -> None:
        self.world.declare("job", "bill", run={"mode": "task"}, config={"colour": f"shade {self.turn}"})
        self.world.apply()
        eventually(lambda: len(self.world.lines("caps.inf")) == self.turn + 1)
        eventually(lambda: not self.world.everybody())

    def check(self) -> None:
        self.world.check_exactly()
        total = self.world.run("usage", "-o", "json").json["total"]
        assert total["runs"] == self.turn + 1, total
        assert total["costUSD"] == 0.5 * (self.turn + 1), total


class StopSpender(Stop):
    """The same of a run that is stopped, and told what it used until then."""

    name = "stop a spender"

    def change(self) -> None:
        self.world.declare("web", "spend")
        self.world.apply()
        self.before = self.world.starts("web") if self.world.one("web") else 0
        eventually(lambda: len(self.world.lines("spent")) == self.turn + 1)
        self.world.declare("web", "spend", desiredState="stopped")

    def check(self) -> None:
        super().check()
        total = self.world.run("usage", "-o", "json").json["total"]
        assert total["runs"] == self.turn + 1, total


class StopStalled(Scenario):
    """A service that makes no progress is to be stopped, and to stay so: what it was stopped for is not lost."""

    name = "stop-stalled"
    kinds = frozenset({"write", "rename", "sync", "signal"})
    rest = "1 blocked"

    def begin(self) -> None:
        self.world.fleet()

    def change(self) -> None:
        run = {"progressDeadline": "100ms", "onStalled": "stop"}
        self.world.declare("web", run=run, config={"colour": f"shade {self.turn}"})
        self.world.apply()
        self.world.one("web")
        self.before = self.world.starts("web") - 1
        self.stalled()

    def stalled(self) -> None:
        eventually(lambda: self.world.run("status", "web", "-o", "json").json["health"] == "Stalled")

    def check(self) -> None:
        self.world.check_exactly()
        self.started("web", self.before, 1)
        assert self.world.entries()["web"]["run"]["stalled"]
        self.stalled()


class StopOverspent(Scenario):
    """A run goes on beyond its budget: it is stopped, and what it was stopped for is not lost."""

    name = "stop-overspent"
    kinds = frozenset({"write", "rename", "sync", "signal"})

    def begin(self) -> None:
        self.world.fleet()

    def change(self) -> None:
        budget = {"maxTokens": 250}
        self.world.task("job", "squander", budget=budget, config={"colour": f"shade {self.turn}"})
        self.world.apply()
        self.world.one("job")
        eventually(lambda: self.world.run("why", "job", "-o", "json").json["verdict"] == "Overspent")
        self.before = self.world.starts("job")

    def check(self) -> None:
        self.world.check_exactly()
        self.started("job", self.before, 0)
        assert self.world.entries()["job"]["run"]["exit_reason"] == "budget"
        assert self.world.run("status", "job", "-o", "json").json["reason"] == "BudgetExceeded"


class StopOvertime(Scenario):
    """A run goes on beyond its timeout of an hour, since its shim was killed: it is ended as by its timeout."""

    name = "stop-overtime"
    kinds = frozenset({"write", "rename", "sync", "signal"})

    def begin(self) -> None:
        self.world.fleet()

    def change(self) -> None:
        self.world.env.pop("CLOCK_AHEAD", None)
        self.world.task("job", "stay", run={"timeout": "1h"}, config={"colour": f"shade {self.turn}"})
        self.world.apply()
        self.world.one("job")
        self.world.kill(self.world.shim)
        self.world.env |= {"PYTHONPATH": INJECT, "CLOCK_AHEAD": "7200"}
        assert self.world.run("why", "job", "-o", "json").json["verdict"] == "Overtime"
        self.before = self.world.starts("job")

    def check(self) -> None:
        self.world.check_exactly()
        self.started("job", self.before, 0)
        assert self.world.entries()["job"]["run"]["exit_reason"] == "timeout"


class Revert(Scenario):
    """A service's new digest failed: the last healthy one takes its place, once, and stays."""

    name = "revert"
    kinds = frozenset({"write", "rename", "sync", "unlink", "connect"})
    rest = "1 blocked"

    def begin(self) -> None:
        self.world.fleet()
        self.declare("stay", 0)
        self.world.apply()
        self.good = self.world.entries()["web"]["digest"]

    def declare(self, workload: str, turn: int) -> None:
        run = {"backoffLimit": 0}
        update = {"autoRevert": True}
        self.world.declare("web", workload, run=run, update=update, config={"colour": f"shade {turn}"})

    def change(self) -> None:
        assert self.world.one("web")
        self.declare("fail", self.turn)
        self.world.apply()
        eventually(lambda: self.world.starts("web") == 2 * self.turn + 2 and not self.world.everybody())
        self.before = self.world.starts("web")

    def check(self) -> None:
        self.world.check_exactly("web")
        self.started("web", self.before, 1)
        entry = self.world.entries()["web"]
        assert entry["digest"] == self.good
        assert "last: exit code 1" in entry["held"]["reason"]
        assert f"shade {self.turn}" in self.world.manifests.joinpath("web.yaml").read_text()
        kept = [p.name for p in (self.world.home / "kept").glob("*/*")]
        assert self.good.replace(":", "-") in kept
        assert len(kept) <= 3, kept


SCENARIOS: dict[str, type[Scenario]] = {
    s.name: s
    for s in (
        Create,
        CreateAgain,
        Replace,
        Stop,
        Start,
        Heal,
        Delete,
        DeleteAll,
        Rename,
        Record,
        Bill,
        StopSpender,
        StopStalled,
        StopOverspent,
        StopOvertime,
        Revert,
    )
}


def kill_at(scenario: Scenario, number: int, *, kind: str = "", when: str = "before") -> list[str]:
    """
    Do one turn: ask for the change, kill the apply at its `number`-th effect (0: never), converge, look.

    With `kind` only effects of that kind count.

    Returns the effects that it came to make, "kind about" each; the last is the one it was killed at.
    """
    world = scenario.world
    scenario.change()
    log = world.folder / "effects"
    log.unlink(missing_ok=True)
    at = f"{kind}:{number}" if kind else str(number)
    said = scenario.act(code=None, PYTHONPATH=INJECT, CRASH_LOG=str(log), CRASH_AT=at, CRASH_WHEN=when)
    effects = log.read_text().splitlines()
    killed = said.code == -signal.SIGKILL
    place = f"{scenario.name} killed {when} effect {number} ({effects[-1]})" if killed else f"{scenario.name} whole"
    try:
        made = sum(1 for e in effects if not kind or e.startswith(f"{kind} "))
        assert killed == (0 < number <= made), str(said)
        if not killed:
            assert said.code == 0, str(said)
        after = scenario.act()
        again = scenario.act()
        assert scenario.rest in again.out, f"{after}{again}"
        scenario.check()
    except AssertionError as error:
        raise AssertionError(f"{place}: {error}") from error
    scenario.turn += 1
    return effects
