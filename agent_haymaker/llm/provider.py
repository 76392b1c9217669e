"""What every client can do, whoever wrote it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_haymaker.llm.types import LLMMessage, LLMResponse, LLMTool


class BaseLLMProvider(ABC):
    """
    Asks one model. `with` and `async with` close the connections at the end; so do `close` and `aclose`.

    Both calls raise `LLMError` and nothing else that is the provider's fault. `temperature` is not sent where it is
    None, or where the model takes none.

    A provider of your own writes `create_message`; it needs no `config`, and `tools` only if it is to be given some.
    """

    @abstractmethod
    def create_message(
        self,
        messages: Sequence[LLMMessage],
        system: str | None = None,
        max_tokens: int = 1024,
        temperature: float | None = 0.7,
        *,
        tools: Sequence[LLMTool] = (),
    ) -> LLMResponse:
        """Ask, and wait for the whole answer."""

    async def create_message_async(
        self,
        messages: Sequence[LLMMessage],
        system: str | None = None,
        max_tokens: int = 1024,
        temperature: float | None = 0.7,
        *,
        tools: Sequence[LLMTool] = (),
    ) -> LLMResponse:
        """
        Ask without blocking the loop.

        Here it asks by `create_message` in a thread. Those of haymaker ask natively: cancelling it ends the request.
        """
        import asyncio

        given = {"tools": tools} if tools else {}
        return await asyncio.to_thread(self.create_message, messages, system, max_tokens, temperature, **given)

    def close(self) -> None:  # noqa: B027 - a client without connections has nothing to close
        """Close what the blocking calls opened."""

    async def aclose(self) -> None:
        """Close everything, also what the calls in this loop opened."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
