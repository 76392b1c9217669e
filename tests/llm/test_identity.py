"""Azure without a key: the real azure-identity, asking a managed identity that stands on the loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from model_server import say

from agent_haymaker.llm import LLMAuthenticationError
from llm.conftest import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a-token-of-azure"


class _Tokens(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = json.dumps({"access_token": TOKEN, "expires_on": "4102444800", "resource": "r", "token_type": "Bearer"})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name in the base class
        """Write no access log."""


@pytest.fixture
def managed_identity(monkeypatch) -> Iterator[None]:
    """An App Service's managed identity, as its environment announces it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tokens) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("managed_identity")
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
