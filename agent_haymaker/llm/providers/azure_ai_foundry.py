"""Azure AI Foundry: the models of a resource or a project, through Azure's inference API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.aio import ChatCompletionsClient as AsyncChatCompletionsClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import AzureError

from agent_haymaker.llm.attempts import backoff
from agent_haymaker.llm.chat import ChatProvider
from agent_haymaker.llm.config import is_loopback
from agent_haymaker.llm.identity import COGNITIVE_SERVICES, Identity, explain_azure
from agent_haymaker.llm.sdk import CONNECT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_haymaker.llm.config import LLMConfig
    from agent_haymaker.llm.faults import Fault

_MACHINE_LEARNING = "https://ml.azure.com/.default"
_MACHINE_LEARNING_HOSTS = (".models.ai.azure.com", ".inference.ml.azure.com")


class AzureAIFoundryProvider(ChatProvider):
    """Asks `config.model`, which an endpoint with one model does not need; without a key, as an identity."""

    sdk_errors: ClassVar[tuple[type[Exception], ...]] = (AzureError,)

    def __init__(self, config: LLMConfig, *, backoff: Callable[[int], float] = backoff) -> None:
        super().__init__(config, endpoint=models_url(config.endpoint or ""), model=config.model or "", backoff=backoff)
        host = urlsplit(self.endpoint).hostname or ""
        scope = _MACHINE_LEARNING if host.endswith(_MACHINE_LEARNING_HOSTS) else COGNITIVE_SERVICES
        self._identity = None if config.key() else Identity(scope)
        self._client: ChatCompletionsClient | None = None

    def _send(self, body: dict[str, Any], seconds: float) -> object:
        if self._client is None:
            credential = self._identity.credential if self._identity else AzureKeyCredential(self.config.key())
            self._client = ChatCompletionsClient(self.endpoint, credential, **self._options())
        answer: Any = self._client.complete(body, **self._limits(seconds))
        return answer.as_dict()

    async def _send_async(self, body: dict[str, Any], seconds: float) -> object:
        # One client a call: aiohttp complains of sessions that nobody closed, and they belong to one loop.
        credential = self._identity or AzureKeyCredential(self.config.key())
        async with AsyncChatCompletionsClient(self.endpoint, credential, **self._options()) as client:
            answer: Any = await client.complete(body, **self._limits(seconds))
        return answer.as_dict()

    def _options(self) -> dict[str, Any]:
        """Retry nothing, follow no redirect, and let no proxy stand before our own machine."""
        options: dict[str, Any] = {"retry_total": 0, "permit_redirects": False}
        if self.config.api_version:
            options["api_version"] = self.config.api_version
        if self._identity:
            options["credential_scopes"] = [self._identity.scope]
        if is_loopback(self.endpoint):
            options["use_env_settings"] = False
        return options

    def _limits(self, seconds: float) -> dict[str, Any]:
        limits: dict[str, Any] = {"connection_timeout": min(seconds, CONNECT_SECONDS), "read_timeout": seconds}
        if self._identity and is_loopback(self.endpoint):
            limits["enforce_https"] = False  # a token may go to our own machine in the clear
        return limits

    def _explain(self, error: Exception) -> Fault:
        return explain_azure(error)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def models_url(endpoint: str) -> str:
    """Give the URL below which the models of a Foundry resource are, also from that of a project in it."""
    parts = urlsplit(endpoint)
    is_resource = (parts.hostname or "").endswith(".services.ai.azure.com")
    if is_resource and (not parts.path or parts.path.startswith("/api/projects/")):
        return f"{parts.scheme}://{parts.netloc}/models"
    return endpoint
