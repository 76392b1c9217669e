"""One way to ask each provider, blocking and async, against a model of our own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from model_server.fixtures import serve

from agent_haymaker.llm import LLMConfig, LLMMessage, create_llm_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model_server import ModelServer

    from agent_haymaker.llm import BaseLLMProvider, LLMResponse

__all__ = ["serve"]

KEY = "sk-this-is-the-secret"
HI = [LLMMessage("user", "hi")]
PROVIDERS = ("anthropic", "openai", "azure_openai", "azure_ai_foundry")


def config_for(provider: str, server: ModelServer, **more: Any) -> LLMConfig:
    """Point `provider` at `server`."""
    endpoint = {"openai": server.openai_url, "azure_ai_foundry": f"{server.url}/models"}.get(provider, server.url)
    given = {"model": "the-model", "deployment": "the-model", "api_key": KEY, "endpoint": endpoint, **more}
    return LLMConfig(provider=provider, **given)


class Asker:
    """Asks one provider in one of the two ways, keeping its clients until `end`; pauses between attempts are short."""

    def __init__(self, provider: str, how: str) -> None:
        self.provider = provider
        self.how = how
        self._clients: dict[LLMConfig, BaseLLMProvider] = {}
        self._loop = asyncio.Runner()

    def __call__(self, server: ModelServer, messages: list[LLMMessage] = HI, **question: Any) -> LLMResponse:
        return self.with_config(config_for(self.provider, server), messages, **question)

    def with_config(self, config: LLMConfig, messages: list[LLMMessage] = HI, **question: Any) -> LLMResponse:
        if config not in self._clients:
            self._clients[config] = create_llm_client(config, backoff=lambda _: 0.001)
        client = self._clients[config]
        if self.how == "blocking":
            return client.create_message(messages, **question)
        return self._loop.run(client.create_message_async(messages, **question))

    def end(self) -> None:
        for client in self._clients.values():
            client.close() if self.how == "blocking" else self._loop.run(client.aclose())
        self._loop.close()


@pytest.fixture(params=["blocking", "async"])
def how(request: pytest.FixtureRequest) -> str:
    """Which of the two calls is made."""
    return request.param


@pytest.fixture(params=PROVIDERS)
def ask(request: pytest.FixtureRequest, how: str) -> Iterator[Asker]:
    """Ask a provider; a test with it is run for each, both ways. `indirect` parameters choose among them."""
    asker = Asker(request.param, how)
    yield asker
    asker.end()
