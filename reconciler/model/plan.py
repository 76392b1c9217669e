"""What is to be done: the actions of a plan."""

from __future__ import annotations

from enum import StrEnum

from agent_haymaker.lean import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from reconciler.model.finding import LeftAlone


class Verb(StrEnum):
    """What can be done to one deployment. A restart is a stop and a start, never one verb that hides two."""

    CREATE = "create"  # a new deployment, started unless desiredState is stopped
    START = "start"
    STOP = "stop"
    UPDATE = "update"  # in place: labels, protection, policies; no process is touched
    RENAME = "rename"
    RECORD = "record"  # the run ended: run its checks, write its end down
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan. `number` counts from 1; `after` are the numbers that must succeed first."""

    number: int
    verb: Verb
    name: str
    cause: str
    after: tuple[int, ...] = ()
    replaces: bool = False  # a stop or start that is half of a replacement
    starts: bool = False  # a CREATE or START after which a new run exists
    stalled: bool = False  # a STOP that ends a run because it makes no progress
    overspent: str = ""  # of a STOP that ends a run which goes on beyond its budget: by how much
    overtime: bool = False  # a STOP that ends a run because its timeout is over
    reverts: str = ""  # of a START that runs the last healthy digest: why the manifest's is held
    needs_consent: bool = False
    old_name: str = ""  # of a RENAME
    changes: tuple[str, ...] = ()  # field by field, "config.workers 10 → 25"
    waits: str = ""  # of a CREATE that starts nothing yet: what for

    @property
    def reason(self) -> str:
        """Why it is done, and why no more, in one line."""
        return f"{self.cause}; it waits: {self.waits}" if self.waits else self.cause


@dataclass(frozen=True, slots=True)
class Plan:
    fleet: str
    actions: tuple[Action, ...]
    left: tuple[LeftAlone, ...]
    recheck_in: float | None = None
    notes: tuple[str, ...] = ()  # one line each, for a person: removals suspended, a delete and create with equal specs

    @property
    def is_empty(self) -> bool:
        return not self.actions
