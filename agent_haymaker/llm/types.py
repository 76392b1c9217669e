"""What is said to a model and what it says, the same for every provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LLMTool:
    """A tool that the model may call. `parameters` is the JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class LLMToolCall:
    """
    A call that the model asks for; answer it with a message of role "tool" that carries its `id`.

    `malformed` is what the model wrote where that is no JSON object; `arguments` is then empty. Answer it saying so.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    malformed: str | None = None


@dataclass(frozen=True)
class LLMMessage:
    """
    One message. `role` is "user", "assistant", "system", or "tool" for the result of a call.

    An assistant's message may hold `tool_calls`, and `reasoning`: blocks that only its own provider understands and
    gets back as they were. A tool's message names the call it answers in `tool_call_id`; `is_error` says it failed.
    """

    role: str
    content: str = ""
    tool_calls: tuple[LLMToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    reasoning: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class LLMResponse:
    """
    What the model answered.

    `usage` counts tokens: `input_tokens`, `output_tokens` and, where the provider reports them, `cached_tokens` and
    `cache_write_tokens`, which are parts of `input_tokens`. `stop_reason` is "end_turn", "tool_use", "max_tokens",
    "stop_sequence" or "refusal"; a reason that has no such name is given as the provider wrote it, and none is None.
    """

    content: str
    model: str
    usage: dict[str, int] = field(default_factory=dict)
    stop_reason: str | None = None
    tool_calls: tuple[LLMToolCall, ...] = ()
    reasoning: tuple[dict[str, Any], ...] = ()

    def as_message(self) -> LLMMessage:
        """Give the answer as the message to send back in the next request."""
        return LLMMessage("assistant", self.content, self.tool_calls, reasoning=self.reasoning)
