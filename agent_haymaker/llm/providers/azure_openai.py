"""Azure OpenAI: a deployment of a model under one's own resource, with a key or an identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
from azure.core.exceptions import AzureError

from agent_haymaker.llm.attempts import backoff
from agent_haymaker.llm.identity import COGNITIVE_SERVICES, Identity, explain_azure
from agent_haymaker.llm.providers.openai import OpenAIChatProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_haymaker.llm.config import LLMConfig
    from agent_haymaker.llm.faults import Fault

DEFAULT_API_VERSION = "2024-10-21"


class AzureOpenAIProvider(OpenAIChatProvider):
    """Asks `config.deployment`; without a key, as the identity that Azure's own tools find here."""

    sdk_errors = (*OpenAIChatProvider.sdk_errors, AzureError)

    def __init__(self, config: LLMConfig, *, backoff: Callable[[int], float] = backoff) -> None:
        super().__init__(config, endpoint=config.endpoint or "", model=config.deployment or "", backoff=backoff)
        self._identity = None if config.key() else Identity(COGNITIVE_SERVICES)

    def _open(self, http_client: Any, *, blocking: bool) -> Any:
        make = openai.AzureOpenAI if blocking else openai.AsyncAzureOpenAI
        if self._identity is None:
            credential: dict[str, Any] = {"api_key": self.config.key()}
        else:
            credential = {"azure_ad_token_provider": self._identity.token if blocking else self._identity.token_async}
        return make(
            **credential,
            azure_endpoint=self.endpoint,
            azure_deployment=self.model,
            api_version=self.config.api_version or DEFAULT_API_VERSION,
            max_retries=0,
            http_client=http_client,
        )

    def _explain(self, error: Exception) -> Fault:
        return explain_azure(error) if isinstance(error, AzureError) else super()._explain(error)
