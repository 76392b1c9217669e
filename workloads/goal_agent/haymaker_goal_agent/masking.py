"""
Secrets, kept out of what an agent writes down: its events, its transcript, its sessions, its memory.

What an agent's programs write into its workspace and its log is theirs, and passes by here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MASK = "[redacted]"
SECRET_ENV = "HAYMAKER_SECRET_ENV"  # noqa: S105 - the name of a variable
"""The variable that names, comma-separated, the variables that hold secrets."""
_SECRET_NAMES = ("API_KEY", "TOKEN", "SECRET", "PASSWORD")
_SHORTEST_SECRET = 6


class Mask:
    """Knows the secrets of an environment: values that are named as such, and those whose names say so."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        named = set(environ.get(SECRET_ENV, "").split(","))
        found = {v for k, v in environ.items() if k in named or k.upper().endswith(_SECRET_NAMES)}
        self._secrets = sorted((v for v in found if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)

    def over(self, value: Any) -> Any:
        """Give a JSON value with every secret in its texts masked."""
        return _masked(value, self._secrets) if self._secrets else value


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {_masked(key, secrets): _masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, secrets) for item in value]
    return value
