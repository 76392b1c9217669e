"""From a config to the client of its provider."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from agent_haymaker.llm.errors import LLMError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_haymaker.llm.config import LLMConfig
    from agent_haymaker.llm.provider import BaseLLMProvider

# provider: (module, class, the extra that installs what it needs)
_PROVIDERS = {
    "anthropic": ("anthropic", "AnthropicProvider", "anthropic"),
    "openai": ("openai", "OpenAIProvider", "openai"),
    "azure_openai": ("azure_openai", "AzureOpenAIProvider", "azure"),
    "azure_ai_foundry": ("azure_ai_foundry", "AzureAIFoundryProvider", "azure"),
}


def create_llm_client(config: LLMConfig, *, backoff: Callable[[int], float] | None = None) -> BaseLLMProvider:
    """
    Give the client that `config` asks for; it can be used at once, from any thread.

    `backoff` gives the pause in seconds after so many failures in a row, where the provider asks for none itself.

    Raises:
        LLMError: the provider's SDK is not installed; says which extra holds it.
    """
    module, name, extra = _PROVIDERS[config.provider]
    try:
        make: Callable[..., BaseLLMProvider] = getattr(
            importlib.import_module(f"agent_haymaker.llm.providers.{module}"), name
        )
    except ModuleNotFoundError as error:
        raise LLMError(
            f"the provider {config.provider} needs the package {error.name}, which is not installed",
            fix=f"pip install 'agent-haymaker[{extra}]'",
        ) from error
    return make(config) if backoff is None else make(config, backoff=backoff)
