"""
The chat completions that OpenAI, Azure OpenAI, Azure AI Foundry and most model servers speak.

Models differ in two fields: newer ones want `max_completion_tokens` for `max_tokens`, and some take no `temperature`.
Lists of model names would be wrong next month, so `Manner` holds what a model was found to take.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent_haymaker.llm.sdk import SDKProvider
from agent_haymaker.llm.types import LLMResponse, LLMToolCall

if TYPE_CHECKING:
    from agent_haymaker.llm.faults import Fault
    from agent_haymaker.llm.sdk import Question
    from agent_haymaker.llm.types import LLMMessage

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_REFUSED = re.compile(
    r"unsupported|not support|deprecated|not permitted|not allowed|unrecognized|unknown|unexpected|extra"
)


@dataclass(frozen=True)
class Manner:
    """How a model wants to be asked; `limit` is the field that bounds its answer, `tried` those it refused."""

    limit: str = "max_tokens"
    temperature: bool = True
    tried: frozenset[str] = frozenset()

    def after(self, fault: Fault) -> Manner | None:
        """Give the manner to try next, None where the fault is not about one of these fields."""
        if fault.status not in (400, 422) or not _REFUSED.search(f"{fault.code} {fault.words}".lower()):
            return None
        if self.temperature and _names("temperature", fault):
            return replace(self, temperature=False)
        other = _OTHER_LIMIT[self.limit]
        if other not in self.tried and _names(self.limit, fault):
            return replace(self, limit=other, tried=self.tried | {self.limit})
        return None


def _names(field: str, fault: Fault) -> bool:
    return fault.parameter == field or (fault.parameter is None and re.search(rf"\b{field}\b", fault.words) is not None)


def write(question: Question, model: str, manner: Manner) -> dict[str, Any]:
    """Give the body of the request."""
    messages = [{"role": "system", "content": question.system}] if question.system else []
    body: dict[str, Any] = {"model": model} if model else {}
    body |= {
        "messages": [*messages, *(_message(message) for message in question.messages)],
        manner.limit: question.max_tokens,
    }
    if question.temperature is not None and manner.temperature:
        body["temperature"] = question.temperature
    if question.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in question.tools
        ]
    return body


def read(answer: dict[str, Any], model: str) -> LLMResponse:
    """Read the body of an answer; what is missing there is empty here."""
    choice = (answer.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    calls = tuple(_call(call) for call in message.get("tool_calls") or ())
    reason = choice.get("finish_reason") or "stop"
    reason = "tool_use" if calls and reason == "stop" else _STOP_REASONS.get(reason, reason)
    if refusal := message.get("refusal"):
        reason = "refusal"
    return LLMResponse(
        content=message.get("content") or refusal or "",
        model=answer.get("model") or model,
        usage=_usage(answer.get("usage") or {}),
        stop_reason=reason,
        tool_calls=calls,
    )


class ChatProvider(SDKProvider):
    """Asks in chat completions, in the manner that the model was found to take."""

    manner = Manner()

    def _write(self, question: Question) -> dict[str, Any]:
        return write(question, self.model, self.manner)

    def _read(self, answer: dict[str, Any]) -> LLMResponse:
        return read(answer, self.model)

    def _learns_from(self, fault: Fault) -> bool:
        learned = self.manner.after(fault)
        if learned is None:
            return False
        self.manner = learned
        return True


def _message(message: LLMMessage) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["content"] = message.content or None
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.malformed or json.dumps(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return written


def _call(call: dict[str, Any]) -> LLMToolCall:
    function = call.get("function") or {}
    text = function.get("arguments") or "{}"
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    is_object = isinstance(arguments, dict)
    return LLMToolCall(
        id=call.get("id") or "",
        name=function.get("name") or "",
        arguments=arguments if is_object else {},
        malformed=None if is_object else text,
    )


def _usage(usage: dict[str, Any]) -> dict[str, int]:
    details = usage.get("prompt_tokens_details") or {}
    counted = {
        "input_tokens": usage.get("prompt_tokens") or 0,
        "output_tokens": usage.get("completion_tokens") or 0,
        "cached_tokens": details.get("cached_tokens"),
        "cache_write_tokens": details.get("cache_write_tokens"),
    }
    return {name: count for name, count in counted.items() if count is not None}
