"""
The errors of a call to a model. Each class answers one question: who acts?

    LLMError
    ├── LLMAuthenticationError    whoever owns the key: it is missing, wrong, or may not do this
    ├── LLMRateLimitError         nobody: wait, `retry_after` seconds where the provider says how long
    ├── LLMInvalidRequestError    the caller, or whoever configured model and endpoint
    └── LLMProviderError          the provider: a fault, a cut connection, a timeout, an empty answer

What a call raises was retried already, where that may help. No message holds a key.
"""

from __future__ import annotations

from agent_haymaker.errors import HaymakerError


class LLMError(HaymakerError):
    """A model could not be asked. `status` is that of HTTP, `usage` the tokens that the failed answer cost."""

    def __init__(
        self,
        *what: object,
        where: str | None = None,
        fix: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        usage: dict[str, int] | None = None,
    ) -> None:
        super().__init__(*what, where=where, fix=fix)
        self.status = status
        self.retry_after = retry_after
        self.usage = usage or {}


class LLMAuthenticationError(LLMError):
    """The key is missing, wrong, or not allowed to do this."""


class LLMRateLimitError(LLMError):
    """Too much was asked; `retry_after` is in seconds, None where the provider does not say."""


class LLMInvalidRequestError(LLMError):
    """The request is wrong, and asking it again would not help."""


class LLMProviderError(LLMError):
    """The provider, or the way to it, failed."""
