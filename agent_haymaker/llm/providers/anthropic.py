"""Anthropic's Messages API. Since its version 2026-10-21 it takes no temperature, so none is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import anthropic

from agent_haymaker.llm.attempts import backoff
from agent_haymaker.llm.pooled import PooledProvider, plain
from agent_haymaker.llm.types import LLMResponse, LLMToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_haymaker.llm.config import LLMConfig
    from agent_haymaker.llm.sdk import Question
    from agent_haymaker.llm.types import LLMMessage

DEFAULT_MODEL = "claude-sonnet-5-5"
DEFAULT_ENDPOINT = "https://api.anthropic.com"

_REASONING = ("thinking", "redacted_thinking")
_STOP_REASONS = {"model_context_window_exceeded": "max_tokens"}  # the others are called what we call them


class AnthropicProvider(PooledProvider):
    """Asks Anthropic, or whoever speaks its API at `config.endpoint`."""

    sdk = anthropic
    sdk_errors: ClassVar[tuple[type[Exception], ...]] = (anthropic.AnthropicError,)

    def __init__(self, config: LLMConfig, *, backoff: Callable[[int], float] = backoff) -> None:
        super().__init__(
            config,
            endpoint=config.endpoint or DEFAULT_ENDPOINT,
            model=config.model or DEFAULT_MODEL,
            backoff=backoff,
        )

    def _open(self, http_client: Any, *, blocking: bool) -> Any:
        make = anthropic.Anthropic if blocking else anthropic.AsyncAnthropic
        return make(api_key=self.config.key(), base_url=self.endpoint, max_retries=0, http_client=http_client)

    def _send(self, body: dict[str, Any], seconds: float) -> object:
        return plain(self.client.messages.create(**body, timeout=self._timeout(seconds)))

    async def _send_async(self, body: dict[str, Any], seconds: float) -> object:
        return plain(await self.async_client.messages.create(**body, timeout=self._timeout(seconds)))

    def _write(self, question: Question) -> dict[str, Any]:
        spoken = [question.system] if question.system else []
        spoken += [message.content for message in question.messages if message.role == "system"]
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": question.max_tokens,
            "messages": _messages([message for message in question.messages if message.role != "system"]),
        }
        if spoken:
            body["system"] = "\n\n".join(spoken)
        if question.tools:
            body["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in question.tools
            ]
        return body

    def _read(self, answer: dict[str, Any]) -> LLMResponse:
        blocks = answer.get("content") or []
        reason = answer.get("stop_reason") or "end_turn"
        return LLMResponse(
            content="".join(block["text"] for block in blocks if block.get("type") == "text"),
            model=answer.get("model") or self.model,
            usage=_usage(answer.get("usage") or {}),
            stop_reason=_STOP_REASONS.get(reason, reason),
            tool_calls=tuple(_call(block) for block in blocks if block.get("type") == "tool_use"),
            reasoning=tuple(block for block in blocks if block.get("type") in _REASONING),
        )


def _messages(messages: list[LLMMessage]) -> list[dict[str, Any]]:
    """Give the messages as lists of blocks; results of calls made together have to stand in one message."""
    written: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message.role == "tool" else message.role
        if message.role == "tool" and written and written[-1]["role"] == "user":
            written[-1]["content"] += _blocks(message)
        else:
            written.append({"role": role, "content": _blocks(message)})
    return written


def _blocks(message: LLMMessage) -> list[dict[str, Any]]:
    if message.role == "tool":
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        if message.content:
            result["content"] = message.content
        return [{**result, "is_error": True} if message.is_error else result]
    blocks: list[dict[str, Any]] = list(message.reasoning)
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in message.tool_calls
    ]
    return blocks


def _call(block: dict[str, Any]) -> LLMToolCall:
    arguments = block.get("input")
    if isinstance(arguments, dict):
        return LLMToolCall(block["id"], block["name"], arguments)
    return LLMToolCall(block["id"], block["name"], {}, malformed=str(arguments))


def _usage(usage: dict[str, Any]) -> dict[str, int]:
    """Count as everybody else does: Anthropic's `input_tokens` are only those that no cache was involved in."""
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    counted = {
        "input_tokens": (usage.get("input_tokens") or 0) + (read or 0) + (written or 0),
        "output_tokens": usage.get("output_tokens") or 0,
        "cached_tokens": read,
        "cache_write_tokens": written,
    }
    return {name: count for name, count in counted.items() if count is not None}
