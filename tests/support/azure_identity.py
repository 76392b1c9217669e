"""A managed identity of Azure on the loopback: the real azure-identity gets its tokens there."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

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


@contextlib.contextmanager
def managed_identity() -> Iterator[dict[str, str]]:
    """Run an App Service's managed identity; give the environment that announces it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tokens) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield {"IDENTITY_ENDPOINT": f"http://127.0.0.1:{server.server_port}/token", "IDENTITY_HEADER": "header"}
        finally:
            server.shutdown()
            thread.join()
