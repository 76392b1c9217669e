"""OpenAI's chat completions, and those of every server that speaks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import openai

from agent_haymaker.llm.attempts import backoff
from agent_haymaker.llm.chat import ChatProvider, Manner
from agent_haymaker.llm.pooled import PooledProvider, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_haymaker.llm.config import LLMConfig

DEFAULT_ENDPOINT = "https://api.openai.com/v1"


class OpenAIChatProvider(ChatProvider, PooledProvider):
    """What OpenAI's SDK does, wherever it asks."""

    sdk = openai
    sdk_errors: ClassVar[tuple[type[Exception], ...]] = (openai.OpenAIError,)

    def _send(self, body: dict[str, Any], seconds: float) -> object:
        return plain(self.client.chat.completions.create(**body, timeout=self._timeout(seconds)))

    async def _send_async(self, body: dict[str, Any], seconds: float) -> object:
        return plain(await self.async_client.chat.completions.create(**body, timeout=self._timeout(seconds)))


class OpenAIProvider(OpenAIChatProvider):
    """Asks OpenAI, or a server of the same kind at `config.endpoint`, where a key may be left out."""

    def __init__(self, config: LLMConfig, *, backoff: Callable[[int], float] = backoff) -> None:
        super().__init__(
            config, endpoint=config.endpoint or DEFAULT_ENDPOINT, model=config.model or "", backoff=backoff
        )
        if config.endpoint is None:  # OpenAI itself has all of its models take the newer name
            self.manner = Manner(limit="max_completion_tokens")

    def _open(self, http_client: Any, *, blocking: bool) -> Any:
        make = openai.OpenAI if blocking else openai.AsyncOpenAI
        key = self.config.key() or "none"  # the SDK insists on one
        return make(api_key=key, base_url=self.endpoint, max_retries=0, http_client=http_client)
