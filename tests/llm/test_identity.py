"""Azure without a key: the real azure-identity, asking a managed identity that stands on the loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from model_server import say
from support.azure_identity import TOKEN, managed_identity

from agent_haymaker.llm import LLMAuthenticationError
from llm.conftest import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def identity(monkeypatch) -> Iterator[None]:
    """An App Service's managed identity, as its environment announces it."""
    with managed_identity() as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.usefixtures("identity")
@pytest.mark.parametrize("ask", ["azure_openai", "azure_ai_foundry"], indirect=True)
def test_without_a_key_the_identity_of_the_environment_asks(ask, serve):
    server = serve(say("Hello."))
    assert ask.with_config(config_for(ask.provider, server, api_key=None)).content == "Hello."
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("ask", ["azure_openai", "azure_ai_foundry"], indirect=True)
def test_no_identity_is_an_error_about_authentication(ask, serve, monkeypatch):
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    config = config_for(ask.provider, serve(), api_key=None)
    with pytest.raises(LLMAuthenticationError, match="API_KEY"):
        ask.with_config(config)
