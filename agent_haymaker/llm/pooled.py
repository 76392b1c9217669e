"""
What the SDKs that are made alike (`anthropic`, `openai`) have in common: their HTTP clients and their errors.

There is a client for blocking calls, and one for each loop: a pool of connections belongs to the loop that opened it,
and a program may run several.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from agent_haymaker.llm.config import is_loopback
from agent_haymaker.llm.faults import Fault, words_of
from agent_haymaker.llm.sdk import CONNECT_SECONDS, SDKProvider

if TYPE_CHECKING:
    from types import ModuleType

    from agent_haymaker.llm.config import LLMConfig


class PooledProvider(SDKProvider):
    """Keeps the SDK's clients, and their connections, from call to call."""

    sdk: ModuleType

    def __init__(self, config: LLMConfig, **more: Any) -> None:
        super().__init__(config, **more)
        self._blocking: Any = None
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

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
        if loop not in self._of_loop:
            self._of_loop[loop] = self._open(self.sdk.DefaultAsyncHttpxClient(**self._http_options()), blocking=False)
        return self._of_loop[loop]

    def close(self) -> None:
        if self._blocking is not None:
            self._blocking.close()
            self._blocking = None

    async def aclose(self) -> None:
        self.close()
        client = self._of_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

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
