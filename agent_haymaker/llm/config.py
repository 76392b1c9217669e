"""Which model is asked, where and with which key; from the environment or by hand."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Provider = Literal["anthropic", "openai", "azure_openai", "azure_ai_foundry"]

# The variables of each field; where there are two, the first that is set counts.
_VARIABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "anthropic": {
        "api_key": ("ANTHROPIC_API_KEY",),
        "model": ("ANTHROPIC_MODEL",),
        "endpoint": ("ANTHROPIC_BASE_URL",),
    },
    "openai": {
        "api_key": ("OPENAI_API_KEY",),
        "model": ("OPENAI_MODEL",),
        "endpoint": ("OPENAI_BASE_URL",),
    },
    "azure_openai": {
        "api_key": ("AZURE_OPENAI_API_KEY",),
        "endpoint": ("AZURE_OPENAI_ENDPOINT",),
        "deployment": ("AZURE_OPENAI_DEPLOYMENT",),
        "api_version": ("AZURE_OPENAI_API_VERSION",),
    },
    "azure_ai_foundry": {
        "api_key": ("AZURE_AI_FOUNDRY_API_KEY",),
        "endpoint": ("AZURE_AI_ENDPOINT", "AZURE_AI_FOUNDRY_ENDPOINT"),
        "model": ("AZURE_AI_FOUNDRY_MODEL",),
    },
}
_COMMON = {
    "provider": ("LLM_PROVIDER",),
    "timeout_seconds": ("LLM_TIMEOUT_SECONDS",),
    "max_retries": ("LLM_MAX_RETRIES",),
}
# Without a key Azure uses the identity of its environment, and a model server of one's own may need none.
_REQUIRED = {
    "anthropic": ("api_key",),
    "openai": ("model",),
    "azure_openai": ("endpoint", "deployment"),
    "azure_ai_foundry": ("endpoint",),
}


def is_loopback(url: str) -> bool:
    """Tell whether `url` stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise ValueError("must start with https:// (http:// only for an address of this machine)")
    if not parts.hostname:
        raise ValueError("must name a host")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password")
    if parts.query or parts.fragment:
        raise ValueError("must not hold a query; the API version has a field of its own")
    return url.rstrip("/")


def _check_key(key: SecretStr | None) -> SecretStr | None:
    """Refuse what no header can hold: the HTTP client would quote it, key and all, when it fails."""
    if key is None or not (text := key.get_secret_value().strip()):
        return None
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("must be one line of ASCII without spaces")
    return SecretStr(text)


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class LLMConfig(BaseModel):
    """
    How a model is reached.

    `timeout_seconds` bounds a whole call, with its retries and the pauses between them. `max_retries` counts the
    attempts after the first. Without `endpoint`, `anthropic` and `openai` mean the provider's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    provider: Provider = "anthropic"
    model: Text | None = None
    api_key: Annotated[SecretStr | None, AfterValidator(_check_key)] = None
    endpoint: Annotated[Text, AfterValidator(_check_endpoint)] | None = None
    deployment: Text | None = None
    api_version: Text | None = None
    timeout_seconds: float = Field(default=120, ge=1, le=600)
    max_retries: int = Field(default=3, ge=0, le=10)

    @model_validator(mode="after")
    def _has_what_its_provider_needs(self) -> Self:
        needed = list(_REQUIRED[self.provider])
        if self.provider == "openai" and self.endpoint is None:
            needed.append("api_key")
        missing = [name for name in needed if not self._value_of(name)]
        if missing:
            names = " and ".join(" or ".join(_VARIABLES[self.provider][name]) for name in missing)
            fields = ", ".join(missing)
            raise ValueError(f"set {names}: the provider {self.provider} needs it (LLMConfig: {fields})")
        return self

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> Self:
        """
        Read the variables of the provider that LLM_PROVIDER names, `anthropic` where it names none.

        A variable that is empty counts as not set. `environment` stands in for that of this process.

        Raises:
            ValueError: something is missing or wrong; names the variables, and never shows a value.
        """
        environment = os.environ if environment is None else environment
        provider = environment.get("LLM_PROVIDER", "").strip() or "anthropic"
        if provider not in get_args(Provider):
            raise ValueError(f"LLM_PROVIDER is {provider!r}; it has to be one of {', '.join(get_args(Provider))}")
        variables = {**_COMMON, **_VARIABLES[provider]}
        fields: dict[str, Any] = {}
        for field, names in variables.items():
            found = next((value for name in names if (value := environment.get(name, "").strip())), None)
            if found is not None:
                fields[field] = found
        try:
            return cls(**fields)
        except ValidationError as error:
            raise ValueError(_in_words(error, variables)) from None

    def with_model(self, name: str) -> Self:
        """Give the same way to another model; Azure OpenAI knows models by their deployments."""
        return self.model_copy(update={"deployment" if self.provider == "azure_openai" else "model": name})

    def key(self) -> str:
        """Give the key itself, empty where there is none."""
        return self.api_key.get_secret_value() if self.api_key else ""

    def _value_of(self, name: str) -> str | None:
        return self.key() if name == "api_key" else getattr(self, name)


def variables_of(provider: str, *fields: str) -> str:
    """Name the variables that set those of `fields` which this provider has, for a person."""
    known = _VARIABLES[provider]
    return ", ".join(" or ".join(known[field]) for field in fields if field in known)


def _in_words(error: ValidationError, variables: Mapping[str, tuple[str, ...]]) -> str:
    """Say what is wrong under the names of the variables, without the values that pydantic would quote."""
    lines = []
    for fault in error.errors(include_input=False, include_context=False, include_url=False):
        words = fault["msg"].removeprefix("Value error, ")
        where = " or ".join(variables[str(fault["loc"][0])]) if fault["loc"] else ""
        lines.append(f"{where} {words[0].lower()}{words[1:]}" if where else words)
    return "; ".join(lines)
