"""
One way to ask a language model, whoever serves it.

    config = LLMConfig.from_env()  # LLM_PROVIDER and the provider's own variables
    with create_llm_client(config) as client:
        response = client.create_message([LLMMessage(role="user", content="What next?")], system="Be brief.")

Importing it loads no SDK and no third party: each name is imported when it is first asked for, and an SDK when a
client of its provider is made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_haymaker.llm.client import create_llm_client
    from agent_haymaker.llm.config import LLMConfig
    from agent_haymaker.llm.errors import (
        LLMAuthenticationError,
        LLMError,
        LLMInvalidRequestError,
        LLMProviderError,
        LLMRateLimitError,
    )
    from agent_haymaker.llm.provider import BaseLLMProvider
    from agent_haymaker.llm.types import LLMMessage, LLMResponse, LLMTool, LLMToolCall

__all__ = [
    "BaseLLMProvider",
    "LLMAuthenticationError",
    "LLMConfig",
    "LLMError",
    "LLMInvalidRequestError",
    "LLMMessage",
    "LLMProviderError",
    "LLMRateLimitError",
    "LLMResponse",
    "LLMTool",
    "LLMToolCall",
    "create_llm_client",
]

_HOME = {
    "BaseLLMProvider": "provider",
    "LLMConfig": "config",
    "LLMMessage": "types",
    "LLMResponse": "types",
    "LLMTool": "types",
    "LLMToolCall": "types",
    "create_llm_client": "client",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
