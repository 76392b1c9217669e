"""
Asking through an SDK: the loop of attempts, deadlines and errors that all of our providers share.

The SDKs' own retries are off. They differ in what they retry and for how long, and none of them knows our deadline.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, ClassVar

from agent_haymaker.llm.attempts import Attempts, backoff
from agent_haymaker.llm.config import variables_of
from agent_haymaker.llm.errors import (
    LLMAuthenticationError,
    LLMError,
    LLMInvalidRequestError,
    LLMProviderError,
    LLMRateLimitError,
)
from agent_haymaker.llm.faults import NO_MODEL, Fault
from agent_haymaker.llm.provider import BaseLLMProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_haymaker.llm.config import LLMConfig
    from agent_haymaker.llm.types import LLMMessage, LLMResponse, LLMTool

CONNECT_SECONDS = 10.0  # nobody who is there takes longer to say so


@dataclass(frozen=True)
class Question:
    """What is asked, before it takes the form of an API."""

    messages: Sequence[LLMMessage]
    system: str | None
    max_tokens: int
    temperature: float | None
    tools: Sequence[LLMTool]


class SDKProvider(BaseLLMProvider):
    """
    Asks through an SDK.

    A provider says how a question is written and an answer read, sends it once, and puts the SDK's errors into words.
    `endpoint` and `model` are what it asks in the end, defaults filled in.
    """

    sdk_errors: ClassVar[tuple[type[Exception], ...]]

    def __init__(
        self, config: LLMConfig, *, endpoint: str, model: str, backoff: Callable[[int], float] = backoff
    ) -> None:
        self.config = config
        self.endpoint = endpoint
        self.model = model
        self._backoff = backoff

    @abstractmethod
    def _write(self, question: Question) -> dict[str, Any]:
        """Give the body of the request."""

    @abstractmethod
    def _read(self, answer: dict[str, Any]) -> LLMResponse:
        """Read the body of an answer."""

    @abstractmethod
    def _send(self, body: dict[str, Any], seconds: float) -> object:
        """Send it once and give the answer's body: a dict, where it is one."""

    @abstractmethod
    async def _send_async(self, body: dict[str, Any], seconds: float) -> object:
        """Do what `_send` does, without blocking the loop."""

    @abstractmethod
    def _explain(self, error: Exception) -> Fault:
        """Put an error of the SDK into words."""

    def _learns_from(self, fault: Fault) -> bool:  # noqa: ARG002 - for those who can ask in several ways
        """Tell whether the fault taught it to ask otherwise; then it asks again at once."""
        return False

    def create_message(
        self,
        messages: Sequence[LLMMessage],
        system: str | None = None,
        max_tokens: int = 1024,
        temperature: float | None = 0.7,
        *,
        tools: Sequence[LLMTool] = (),
    ) -> LLMResponse:
        question = Question(messages, system, max_tokens, temperature, tools)
        attempts = Attempts(self.config.max_retries, self.config.timeout_seconds, self._backoff)
        while True:
            try:
                return self._accept(self._send(self._write(question), attempts.seconds_left()))
            except JSONDecodeError:
                fault = NO_MODEL
            except self.sdk_errors as error:
                fault = self._explain(error)
            time.sleep(self._pause(fault, attempts))

    async def create_message_async(
        self,
        messages: Sequence[LLMMessage],
        system: str | None = None,
        max_tokens: int = 1024,
        temperature: float | None = 0.7,
        *,
        tools: Sequence[LLMTool] = (),
    ) -> LLMResponse:
        question = Question(messages, system, max_tokens, temperature, tools)
        attempts = Attempts(self.config.max_retries, self.config.timeout_seconds, self._backoff)
        while True:
            try:
                seconds = attempts.seconds_left()
                async with asyncio.timeout(seconds):  # the SDK's own bounds each read, not their sum
                    answer = await self._send_async(self._write(question), seconds)
                return self._accept(answer)
            except TimeoutError:
                fault = Fault("no answer in time")
            except JSONDecodeError:
                fault = NO_MODEL
            except self.sdk_errors as error:
                fault = self._explain(error)
            await asyncio.sleep(self._pause(fault, attempts))

    def _pause(self, fault: Fault, attempts: Attempts) -> float:
        """Give the seconds until the next attempt, or raise what the fault means if there is none."""
        if self._learns_from(fault):
            return 0
        pause = attempts.pause_after(fault)
        if pause is None:
            raise self._error(fault)
        return pause

    def _error(self, fault: Fault) -> LLMError:
        return fault.kind(
            self._without_key(fault.words),
            where=self._where,
            fix=self._fix(fault),
            status=fault.status,
            retry_after=fault.retry_after(datetime.now(UTC)),
        )

    def _accept(self, answer: object) -> LLMResponse:
        """Read an answer; one without content is an error, since whoever asked could do nothing with it."""
        if not isinstance(answer, dict):
            raise self._error(NO_MODEL)
        response = self._read(answer)
        if response.content or response.tool_calls:
            return response
        why = {
            "max_tokens": "all of max_tokens went before the model said anything; ask with more",
            "refusal": "the model refused to answer; change what it is asked",
        }.get(response.stop_reason or "", "ask again; if it stays so, try another model")
        raise LLMProviderError("the answer is empty", where=self._where, fix=why, usage=response.usage)

    @property
    def _where(self) -> str:
        return f"{self.config.provider}, model {self.model}, at {self.endpoint}"

    def _fix(self, fault: Fault) -> str:
        provider = self.config.provider
        if fault.kind is LLMAuthenticationError:
            return f"check {variables_of(provider, 'api_key')}, and what it is allowed to do"
        if fault.kind is LLMRateLimitError:
            return "wait, ask less at once, or raise the limit or quota with the provider"
        if fault is NO_MODEL or fault.status in (301, 302, 303, 307, 308, 404):
            return f"check {variables_of(provider, 'endpoint', 'model', 'deployment')}, and what stands before it"
        if fault.kind is LLMInvalidRequestError:
            return "change the request, or ask another model"
        return "try again later; LLM_TIMEOUT_SECONDS and LLM_MAX_RETRIES say how long a call tries"

    def _without_key(self, text: str) -> str:
        """Take the key out of what a server said: some quote it."""
        key = self.config.key()
        return text.replace(key, "***") if key else text
