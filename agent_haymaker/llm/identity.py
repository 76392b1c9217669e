"""Azure's side of things: the identity that stands in for a key, and the errors of Azure's SDKs."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from azure.core.exceptions import ClientAuthenticationError, DecodeError, IncompleteReadError

from agent_haymaker.llm.faults import NO_MODEL, Fault, words_of

COGNITIVE_SERVICES = "https://cognitiveservices.azure.com/.default"


class Identity:
    """
    Who this is to Azure: a workload or managed identity, `az login`, and what else azure-identity finds.

    It is an async credential too. Tokens are kept until they expire; getting one may run a program or ask the network,
    so that a loop leaves it to a thread.
    """

    def __init__(self, scope: str) -> None:
        from azure.identity import DefaultAzureCredential

        self.scope = scope
        self.credential = DefaultAzureCredential()

    def token(self) -> str:
        """Give a token that is valid now."""
        given: str = self.credential.get_token(self.scope).token
        return given

    async def token_async(self) -> str:
        """Do what `token` does, in a thread."""
        return await asyncio.to_thread(self.token)

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """Give the token as Azure's SDKs hold it."""
        return await asyncio.to_thread(self.credential.get_token, *scopes, **options)

    async def close(self) -> None:
        """Keep the tokens: the next client wants them."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Keep the tokens: the next client wants them."""


def explain_azure(error: Exception) -> Fault:
    """Put an error of Azure's SDKs into words; an identity that finds nothing counts as a refusal."""
    if isinstance(error, DecodeError) and not isinstance(error, IncompleteReadError):
        return NO_MODEL
    response: Any = None if isinstance(error, IncompleteReadError) else getattr(error, "response", None)
    if response is None:
        lines = str(error).splitlines() or [type(error).__name__]
        if isinstance(error, ClientAuthenticationError):
            return Fault(f"no identity of Azure to act as: {lines[0]}", status=401)
        return Fault(f"no answer: {lines[0]}")
    try:
        body: object = response.json()
    except (ValueError, AttributeError):
        body = response.text()
    headers = {name.lower(): value for name, value in response.headers.items()}
    found = {"words": f"HTTP {response.status_code}", **words_of(body)}
    return Fault(status=response.status_code, headers=headers, **found)
