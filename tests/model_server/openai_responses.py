"""OpenAI's Responses API: `POST /v1/responses`, whole or as server-sent events."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from . import openai_chat
from .stream import event, halves
from .turns import Asked, Said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .turns import Turn

_CREATED = 1_700_000_000  # seconds

error = openai_chat.error


def read(body: dict[str, Any]) -> Asked:
    """Give the request in the common form; calls and their results are items of the input."""
    messages = [Said("system", body["instructions"])] if body.get("instructions") else []
    items = body["input"]
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        match item.get("type", "message"):
            case "message":
                role = "system" if item["role"] == "developer" else item["role"]
                messages.append(Said(role, openai_chat.text_of(item["content"])))
            case "function_call":
                messages.append(Said("assistant", "", (item["name"],)))
            case "function_call_output":
                messages.append(Said("tool", openai_chat.text_of(item["output"])))
            case _:  # reasoning and the like: nothing was said
                pass
    return Asked(
        wire="responses",
        model=body.get("model") or "",
        messages=tuple(messages),
        tools=tuple(tool["name"] for tool in body.get("tools") or () if "name" in tool),
        stream=bool(body.get("stream")),
    )


def whole(turn: Turn, asked: Asked, serial: int) -> dict[str, Any]:
    """Give the answer as one JSON object."""
    items: list[dict[str, Any]] = []
    if turn.say:
        part = {"type": "output_text", "text": turn.say, "annotations": [], "logprobs": []}
        items.append(
            {"id": f"msg_{serial}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        )
    for number, call in enumerate(turn.calls):
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        items.append(
            {
                "id": f"fc_{serial}_{number}",
                "type": "function_call",
                "call_id": f"call_{serial}_{number}",
                "name": call.tool,
                "arguments": arguments,
                "status": "completed",
            }
        )
    short = {"length": "max_output_tokens", "refusal": "content_filter"}.get(turn.reason)
    return {
        **_head(asked, serial),
        "status": "incomplete" if short else "completed",
        "incomplete_details": {"reason": short} if short else None,
        "output": items,
        "usage": {
            "input_tokens": turn.usage.input,
            "input_tokens_details": {"cached_tokens": turn.usage.cached},
            "output_tokens": turn.usage.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": turn.usage.input + turn.usage.output,
        },
    }


def events(turn: Turn, asked: Asked, serial: int) -> Iterator[bytes]:
    """Give the answer as server-sent events, numbered in sequence."""
    number = itertools.count()

    def tell(kind: str, **fields: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(number), **fields}, kind)

    done = whole(turn, asked, serial)
    begun = {**_head(asked, serial), "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield tell("response.created", response=begun)
    yield tell("response.in_progress", response=begun)
    for index, item in enumerate(done["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        yield tell("response.output_item.added", output_index=index, item={**item, **empty, "status": "in_progress"})
        if item["type"] == "message":
            part = item["content"][0]
            at["content_index"] = 0
            yield tell("response.content_part.added", **at, part={**part, "text": ""})
            for text in halves(part["text"]):
                yield tell("response.output_text.delta", **at, delta=text, logprobs=[])
            yield tell("response.output_text.done", **at, text=part["text"], logprobs=[])
            yield tell("response.content_part.done", **at, part=part)
        else:
            for text in halves(item["arguments"]):
                yield tell("response.function_call_arguments.delta", **at, delta=text)
            named = {"name": item["name"], "arguments": item["arguments"]}
            yield tell("response.function_call_arguments.done", **at, **named)
        yield tell("response.output_item.done", output_index=index, item=item)
    yield tell(f"response.{done['status']}", response=done)


def _head(asked: Asked, serial: int) -> dict[str, Any]:
    return {
        "id": f"resp_{serial}",
        "object": "response",
        "created_at": _CREATED,
        "model": asked.model,
        "error": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
