"""
What a scripted model does: one `Turn` for each request, whatever wire format the request comes in.

    say("Hello")                          text, and the end of the turn
    call("bash", command="ls")            a tool call
    fail(429, retry_after=0.1)            an HTTP error
    cut("Half of this arrives")           the connection breaks in the middle of the answer
    hang()                                no answer comes, until the server is closed
    empty()                               HTTP 200, and nothing in it

Each takes the other fields of `Turn` too: `say("Hello", usage=Usage(1000, 20), times=3, delay_seconds=0.1)`.
A request takes the first turn that is not used up and whose `when` fits it. Everything a `Turn` holds can stand in JSON
too, under the same names, for `python -m model_server --scenario FILE`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FOREVER = math.inf


@dataclass(frozen=True)
class Usage:
    """Tokens. `cached` and `cache_written` are parts of `input`, as every provider's bill has it in the end."""

    input: int = 10
    output: int = 5
    cached: int = 0
    cache_written: int = 0


@dataclass(frozen=True)
class Call:
    """A tool that the model calls. `arguments` may be a string, to send what is not JSON."""

    tool: str
    arguments: dict[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """One message of a request. `role` is system, user, assistant or tool; `calls` names the tools it called."""

    role: str
    text: str
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A request, the same for every wire format. `tools` are the names offered."""

    wire: str
    model: str
    messages: tuple[Said, ...]
    tools: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = True

    @property
    def text(self) -> str:
        """Everything that was said, one message a line."""
        return "\n".join(said.text for said in self.messages)

    @property
    def news(self) -> tuple[Said, ...]:
        """What was said after the model's last own message."""
        since = 0
        for index, said in enumerate(self.messages):
            if said.role == "assistant":
                since = index + 1
        return self.messages[since:]


@dataclass(frozen=True)
class When:
    """
    What a request must be like for a turn to fit; what is left out does not matter.

    `news` is a part of what was said since the model's last message, `anywhere` of anything said, `lacks` of nothing
    said. `after_tool`: the news hold a tool's result. `tools`: tools are offered. `model` is a part of its name.
    """

    news: str | None = None
    anywhere: str | None = None
    lacks: str | None = None
    model: str | None = None
    after_tool: bool | None = None
    tools: bool | None = None

    def __call__(self, asked: Asked) -> bool:
        """Tell whether `asked` fits."""
        news = "\n".join(said.text for said in asked.news)
        return (
            (self.news is None or self.news in news)
            and (self.anywhere is None or self.anywhere in asked.text)
            and (self.lacks is None or self.lacks not in asked.text)
            and (self.model is None or self.model in asked.model)
            and (self.after_tool is None or self.after_tool == any(said.role == "tool" for said in asked.news))
            and (self.tools is None or self.tools == bool(asked.tools))
        )


def _any_request(_: Asked) -> bool:
    return True


@dataclass(frozen=True)
class Turn:
    """
    One answer.

    `page` is sent as it is instead of an answer. `http` other than 200 is an error answer with `message` and
    perhaps `retry_after` (seconds) in its head. `stop` replaces the reason why the model ends: "length" or "refusal".
    `cut` is "start" (the connection closes and nothing was answered) or "middle"; `hang` keeps it open: at once, or in
    the middle where the answer is a stream.
    """

    say: str = ""
    calls: tuple[Call, ...] = ()
    usage: Usage = Usage()
    stop: str | None = None
    page: str | None = None
    page_type: str = "text/html"
    http: int = 200
    message: str = "the scenario says so"
    retry_after: float | None = None
    cut: str | None = None
    hang: bool = False
    delay_seconds: float = 0
    times: float = 1
    when: Callable[[Asked], bool] = _any_request

    @property
    def reason(self) -> str:
        """Why the model ends: "length", "refusal", "tools" or "end"."""
        return self.stop or ("tools" if self.calls else "end")


def say(text: str, **more: Any) -> Turn:
    """Text, and the end of the turn."""
    return Turn(say=text, **more)


def call(tool: str, _turn: dict[str, Any] | None = None, /, **arguments: Any) -> Turn:
    """One tool call; what concerns the turn itself comes in a dict: `call("bash", {"times": 3}, command="ls")`."""
    return Turn(calls=(Call(tool, arguments),), **(_turn or {}))


def calls(*several: Call, **more: Any) -> Turn:
    """Several tool calls at once."""
    return Turn(calls=several, **more)


def fail(http: int, message: str = "the scenario says so", **more: Any) -> Turn:
    """An HTTP error."""
    return Turn(http=http, message=message, **more)


def cut(text: str = "this text does not arrive whole", at: str = "middle", **more: Any) -> Turn:
    """An answer whose connection breaks."""
    return Turn(say=text, cut=at, **more)


def hang(text: str = "", **more: Any) -> Turn:
    """An answer that never comes to its end."""
    return Turn(say=text, hang=True, **more)


def empty(**more: Any) -> Turn:
    """HTTP 200 without any content."""
    return Turn(**more)


def turn_from_json(entry: dict[str, Any]) -> Turn:
    """
    Read a turn from its JSON form; `times` may be "forever".

    Raises:
        ValueError: an unknown field, in `entry` or in a part of it.
    """
    parts = dict(entry)
    if "calls" in parts:
        parts["calls"] = tuple(_make(Call, one) for one in parts["calls"])
    if "usage" in parts:
        parts["usage"] = _make(Usage, parts["usage"])
    if "when" in parts:
        parts["when"] = _make(When, parts["when"])
    if parts.get("times") == "forever":
        parts["times"] = FOREVER
    made: Turn = _make(Turn, parts)
    return made


def _make(kind: Any, parts: dict[str, Any]) -> Any:
    known = [f.name for f in dataclasses.fields(kind)]
    unknown = sorted(set(parts) - set(known))
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(known)}")
    return kind(**parts)
