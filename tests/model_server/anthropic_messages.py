"""The Anthropic Messages API: `POST /v1/messages`, whole or as server-sent events, and `/v1/messages/count_tokens`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .stream import event, halves
from .turns import Asked, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .turns import Turn

_STOP = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refusal": "refusal"}
_ERROR = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def read(body: dict[str, Any]) -> Asked:
    """Give the request in the common form; each tool result is a message of its own."""
    messages = [Said("system", _text(body["system"]))] if body.get("system") else []
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        messages += [Said("tool", _text(b.get("content", ""))) for b in blocks if b["type"] == "tool_result"]
        names = tuple(b["name"] for b in blocks if b["type"] == "tool_use")
        text = _text(blocks)
        if text or names or message["role"] == "assistant":
            messages.append(Said(message["role"], text, names))
    return Asked(
        wire="anthropic",
        model=body["model"],
        messages=tuple(messages),
        tools=tuple(tool["name"] for tool in body.get("tools") or ()),
        stream=bool(body.get("stream")),
    )


def whole(turn: Turn, asked: Asked, serial: int) -> dict[str, Any]:
    """Give the answer as one JSON object."""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": turn.say}] if turn.say else []
    for number, call in enumerate(turn.calls):
        arguments = call.arguments if isinstance(call.arguments, dict) else {"malformed": call.arguments}
        blocks.append({"type": "tool_use", "id": f"toolu_{serial}_{number}", "name": call.tool, "input": arguments})
    return {
        "id": f"msg_{serial}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": blocks,
        "stop_reason": _STOP[turn.reason],
        "stop_sequence": None,
        "usage": _usage(turn),
    }


def events(turn: Turn, asked: Asked, serial: int) -> Iterator[bytes]:
    """Give the answer as server-sent events."""
    message = whole(turn, asked, serial)
    blocks, reason, usage = message["content"], message["stop_reason"], message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _event("message_start", message=begun)
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
            for part in halves(block["text"]):
                yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": part})
        else:
            yield _event("content_block_start", index=index, content_block={**block, "input": {}})
            call = turn.calls[index - len(blocks)]
            text = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
            for part in halves(text):
                delta = {"type": "input_json_delta", "partial_json": part}
                yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)
    yield _event("message_stop")


def error(turn: Turn) -> dict[str, Any]:
    """Give the body of an error answer."""
    kind = _ERROR.get(turn.http, "api_error" if turn.http >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": turn.message}, "request_id": "req_scripted"}


def _usage(turn: Turn) -> dict[str, int]:
    usage = turn.usage
    return {
        "input_tokens": usage.input - usage.cached - usage.cache_written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.cache_written,
        "output_tokens": usage.output,
    }


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)
