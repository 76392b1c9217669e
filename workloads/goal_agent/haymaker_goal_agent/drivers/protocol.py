"""
What AutoMode and a driver say to each other: a task down, events up. Pure data, and the two shapes of a driver.

A driver starts or resumes a session in the working directory, tells what happens while it happens, keeps to the cap on
turns, and ends in order when it is interrupted. It refuses to judge: whether the goal is met, checks decide.
Stdlib only, and little of it: this stays in memory while an agent runs.
"""

from __future__ import annotations

from agent_haymaker.lean import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from typing import Any, Protocol

    class Driver(Protocol):
        """A driver as AutoMode sees it: one attempt at a time, in the agent's own process."""

        name: str

        def prepare(self) -> None:
            """
            Make sure that an attempt can begin.

            Raises:
                ManifestError: it cannot; says what is missing.
            """

        def attempt(self, task: Task) -> Iterator[Event]:
            """
            Carry out one prompt and give what happens; the last event is Ended or Failed.

            A stop that arrives at the agent ends it too: what is under way is interrupted, and the events end.
            """

        def interrupt(self) -> None:
            """End the attempt under way in order. Its events go on to their end."""

    class SdkDriver(Protocol):
        """A driver of an SDK, inside its worker process. Made anew for each attempt."""

        def __init__(self, environment: Mapping[str, str]) -> None:
            """`environment` is that of the process and the keys of the model, which only this one holds."""

        def attempt(self, task: Task) -> AsyncIterator[Event]:
            """
            As above. To interrupt it, its task is cancelled: it then leaves the session fit to be resumed.

            Raises:
                DriverError: the SDK or the provider failed, or something that it needs is missing.
            """


@dataclass(frozen=True, slots=True)
class Task:
    """
    One prompt to carry out. `system` says who the agent is and how it works here. `opening` is what a session that
    begins is given; `prompt` goes on with one that is resumed.

    `session` is the session to resume, "" for a new one; `session_cost_usd` is what that session has cost so far.
    `turns`, `tokens`, `cost_usd` and `seconds` are what is left of the caps, None without one; a turn is one answer of
    the model, and for `script` one pass through the steps. `tools` are those of the plan, by the SDK's own names.
    `folder` is where the driver may keep files of its own.
    """

    prompt: str = ""
    opening: str = ""
    system: str = ""
    model: str = ""
    session: str = ""
    session_cost_usd: float = 0.0
    turns: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None
    tools: Sequence[str] = ()
    folder: str = ".agent"
    environment: Mapping[str, str] = field(default_factory=dict)  # what `script` adds to that of its steps


@dataclass(frozen=True, slots=True)
class Session:
    """The session has begun, or goes on where `resumed`."""

    id: str
    resumed: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person should know: a session could not be resumed, a tool was denied."""

    text: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the plan: started, done, failed or stopped."""

    number: int
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the plan: started, done, failed or stopped. `facts` are further fields of its event."""

    number: int
    total: int
    title: str
    language: str
    line: int
    place: str  # of that line, as people are told it
    state: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """The model is about to answer."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """The model calls a tool. `id` pairs it with what came of it."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Returned:
    """What a tool call gave."""

    id: str
    output: str
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Used:
    """
    What was used since the last such event. `input_tokens` include `cached_tokens`, which were read from a cache.

    `cost_usd` is None where the driver cannot tell; then prices, where given, do.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """
    The attempt is over. `how` is done (it ended by itself), failed (a step did), turns, interrupted.

    `text` is the agent's last word, or with `failed` what failed.
    """

    how: str = "done"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt could not be finished: the SDK or the provider failed, or with `setup` something is missing."""

    what: str
    fix: str = ""
    setup: bool = False


Event = Session | Note | Phase | Step | Turn | Said | Called | Returned | Used | Ended | Failed

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Session, Note, Turn, Said, Called, Returned, Used, Ended, Failed)
}


class DriverError(Exception):
    """The SDK or the provider failed. With `setup` nothing was wrong but the surroundings: a key, a CLI, an extra."""

    def __init__(self, what: str, *, fix: str = "", setup: bool = False) -> None:
        super().__init__(what)
        self.what, self.fix, self.setup = what, fix, setup


def to_json(event: Event) -> dict[str, Any]:
    """Give an event as a worker sends it."""
    return {"event": type(event).__name__, **words_of(event)}


def words_of(record: Any) -> dict[str, Any]:
    """Give the fields of one of these records by name, not copied."""
    return {name: getattr(record, name) for name in type(record).__match_args__}


def from_json(record: Mapping[str, Any]) -> Event:
    """
    Read an event that a worker sent.

    Raises:
        KeyError, TypeError: it is none.
    """
    words = dict(record)
    return _KINDS[words.pop("event")](**words)  # type: ignore[no-any-return]  # one of the classes above
