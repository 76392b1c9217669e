"""The fixture: import it into a conftest.py, as `from model_server.fixtures import serve`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import pytest

from .server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .turns import Turn


class Serve(Protocol):
    """Start a server with these turns; see `ModelServer`."""

    def __call__(self, *turns: Turn, key: str | None = None) -> ModelServer: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that end with the test, and fail it where a client asked more than its scenario tells."""
    with contextlib.ExitStack() as running:
        servers: list[ModelServer] = []

        def start(*turns: Turn, key: str | None = None) -> ModelServer:
            servers.append(running.enter_context(ModelServer(*turns, key=key)))
            return servers[-1]

        yield start
        for server in servers:
            assert not server.unscripted, [request.body for request in server.unscripted]
