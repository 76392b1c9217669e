"""OpenAI's chat completions, whole or as server-sent events; Azure OpenAI and Azure AI inference speak it too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .stream import event, halves
from .turns import Asked, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .turns import Turn

_STOP = {"end": "stop", "tools": "tool_calls", "length": "length", "refusal": "content_filter"}
_CREATED = 1_700_000_000  # seconds; a fixed time, so that answers are the same each time


def read(body: dict[str, Any]) -> Asked:
    """Give the request in the common form; Azure's deployments name the model in the path, not here."""
    messages = []
    for message in body["messages"]:
        role = "system" if message["role"] == "developer" else message["role"]
        names = tuple(call["function"]["name"] for call in message.get("tool_calls") or ())
        messages.append(Said(role, text_of(message.get("content")), names))
    return Asked(
        wire="chat",
        model=body.get("model") or "",
        messages=tuple(messages),
        tools=tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def whole(turn: Turn, asked: Asked, serial: int) -> dict[str, Any]:
    """Give the answer as one JSON object."""
    message: dict[str, Any] = {"role": "assistant", "content": turn.say or None, "refusal": None}
    if turn.calls:
        message["tool_calls"] = _calls(turn, serial)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _STOP[turn.reason]}
    return {**_head(asked, serial, "chat.completion"), "choices": [choice], "usage": _usage(turn)}


def events(turn: Turn, asked: Asked, serial: int) -> Iterator[bytes]:
    """Give the answer as server-sent events."""
    head = _head(asked, serial, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**head, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for part in halves(turn.say):
        yield chunk({"content": part})
    for index, call in enumerate(_calls(turn, serial)):
        function = call["function"]
        yield chunk({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for part in halves(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, _STOP[turn.reason])
    if asked.include_usage:
        yield event({**head, "choices": [], "usage": _usage(turn)})
    yield b"data: [DONE]\n\n"


def error(turn: Turn) -> dict[str, Any]:
    """Give the body of an error answer."""
    kind = "server_error" if turn.http >= 500 else "invalid_request_error"
    return {"error": {"message": turn.message, "type": kind, "param": None, "code": str(turn.http)}}


def text_of(content: Any) -> str:
    """Give the text of a content that is a string, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if "text" in part)


def _head(asked: Asked, serial: int, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{serial}", "object": kind, "created": _CREATED, "model": asked.model}


def _calls(turn: Turn, serial: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{serial}_{number}",
            "type": "function",
            "function": {
                "name": call.tool,
                "arguments": call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
            },
        }
        for number, call in enumerate(turn.calls)
    ]


def _usage(turn: Turn) -> dict[str, Any]:
    return {
        "prompt_tokens": turn.usage.input,
        "completion_tokens": turn.usage.output,
        "total_tokens": turn.usage.input + turn.usage.output,
        "prompt_tokens_details": {"cached_tokens": turn.usage.cached},
    }
