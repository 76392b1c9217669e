"""
One failed attempt, in words that every SDK can be put into; what it means, and whether to try again. Pure.

Nothing here knows an SDK or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from agent_haymaker.llm.errors import (
    LLMAuthenticationError,
    LLMError,
    LLMInvalidRequestError,
    LLMProviderError,
    LLMRateLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# 408, 409 and 425 ask for another try by their meaning; a used up quota is a 429 that no waiting helps.
_PASSING = frozenset({408, 409, 425})
_LASTING_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_LONGEST_QUOTE = 300


@dataclass(frozen=True)
class Fault:
    """
    Why an attempt failed.

    `status` is None where no answer came at all. `code` and `parameter` are the provider's own words, `headers` have
    names in lower case.
    """

    words: str
    status: int | None = None
    code: str | None = None
    parameter: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> type[LLMError]:
        """The class of error that this is."""
        match self.status:
            case 401 | 403:
                return LLMAuthenticationError
            case 429:
                return LLMRateLimitError
            case int() if 300 <= self.status < 500 and self.status not in _PASSING:
                return LLMInvalidRequestError
            case _:
                return LLMProviderError

    @property
    def is_passing(self) -> bool:
        """Whether another attempt may succeed; the provider's own word on that counts most."""
        if self.status == 200:  # the whole answer came, and it will not read better next time
            return False
        if (said := self.headers.get("x-should-retry")) in ("true", "false"):
            return said == "true"
        if self.code in _LASTING_CODES:
            return False
        return self.kind in (LLMRateLimitError, LLMProviderError)

    def retry_after(self, now: datetime) -> float | None:
        """Give the seconds that the provider asks to wait, None where it does not say."""
        for name, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1)):
            try:
                return max(0.0, float(self.headers[name]) * unit)
            except (KeyError, ValueError):
                continue
        try:
            return max(0.0, (parsedate_to_datetime(self.headers["retry-after"]) - now).total_seconds())
        except (KeyError, ValueError, TypeError):
            return None


NO_MODEL = Fault("the answer is not that of a model", status=200)


def words_of(body: Any) -> dict[str, str]:
    """
    Find what the body of an error answer says: `words`, `code` and `parameter`, those that are there.

    Knows `{"error": {"message": …}}`, its inner part alone, and `{"detail": …}`; other text is quoted, shortened.
    """
    inner = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        text = " ".join(str(inner or "").split())
        return {"words": text[:_LONGEST_QUOTE]} if text else {}
    found = {
        "words": inner.get("message") or inner.get("detail"),
        "code": inner.get("code"),
        "parameter": inner.get("param"),
    }
    return {name: str(value) for name, value in found.items() if value}
