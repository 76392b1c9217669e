"""
What the SDKs that are made alike (`anthropic`, `openai`) have in common: their HTTP clients and their errors.

There is a client for blocking calls, and one for the running loop: a pool of connections belongs to the loop that
opened it, and a program may run several loops, one after the other.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent_haymaker.llm.config import is_loopback
from agent_haymaker.llm.faults import Fault, words_of
from agent_haymaker.llm.sdk import CONNECT_SECONDS, SDKProvider

if TYPE_CHECKING:
    from types import ModuleType


class PooledProvider(SDKProvider):
    """Keeps the SDK's clients, and their connections, from call to call."""

    sdk: ModuleType

    _blocking: Any = None
    _of_loop: Any = None
    _loop: asyncio.AbstractEventLoop | None = None

    @abstractmethod
    def _open(self, http_client: Any, *, blocking: bool) -> Any:
        """Make the SDK's client, around this HTTP client and without retries of its own."""

    @property
    def client(self) -> Any:
        """The SDK's client for blocking calls."""
        if self._blocking is None:
            self._blocking = self._open(self.sdk.DefaultHttpxClient(**self._http_options()), blocking=True)
        return self._blocking

    @property
    def async_client(self) -> Any:
        """The SDK's client for the running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._of_loop = self._open(self.sdk.DefaultAsyncHttpxClient(**self._http_options()), blocking=False)
            self._loop = loop
        return self._of_loop

    def close(self) -> None:
        if self._blocking is not None:
            self._blocking.close()
            self._blocking = None

    async def aclose(self) -> None:
        self.close()
        if self._loop is asyncio.get_running_loop():
            await self._of_loop.close()
            self._of_loop = self._loop = None

    def _http_options(self) -> dict[str, Any]:
        """Follow no redirect, since the key would go along; and let no proxy stand before our own machine."""
        host = urlsplit(self.endpoint).hostname or ""
        direct = {f"all://[{host}]" if ":" in host else f"all://{host}": None} if is_loopback(self.endpoint) else {}
        return {"follow_redirects": False, "mounts": direct}

    def _timeout(self, seconds: float) -> Any:
        return self.sdk.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))

    def _explain(self, error: Exception) -> Fault:
        response = getattr(error, "response", None)
        if response is None:  # nothing came back: what lies below the SDK's error says why
            cause = error.__cause__ or error
            return Fault(f"no answer: {cause}".rstrip(": "))
        headers = {name.lower(): value for name, value in response.headers.items()}
        found = {"words": f"HTTP {response.status_code}", **words_of(getattr(error, "body", None))}
        return Fault(status=response.status_code, headers=headers, **found)


def plain(answer: Any) -> object:
    """Give the body of an answer as the SDK got it; text, where it was not JSON."""
    return answer.to_dict(warnings=False) if hasattr(answer, "to_dict") else answer
