"""
What an agent's config may say, checked once for everybody who reads one: the workload, the generator, the agent.

Stdlib only: a running agent reads its config with this.
"""

from __future__ import annotations

from agent_haymaker.errors import ManifestError
from agent_haymaker.lean import dataclass, field
from haymaker_goal_agent.drivers import SDKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEYS = ("goal_file", "sdk", "model", "max_turns", "check_timeout_seconds", "enable_memory", "plan_with_model", "prices")
CHECK_TIMEOUT_SECONDS = 60
MODEL_TURNS = 30
"""So many answers may a model give in one run where nobody says otherwise."""

_WHOLE = {"check_timeout_seconds": 86400, "max_turns": 10000}
_PRICES = ("input", "output", "cached")


@dataclass(frozen=True, slots=True)
class Settings:
    """The config of one agent, defaults filled in. Prices are in US dollars for a million tokens."""

    sdk: str = "script"
    model: str = ""
    max_turns: int = 1
    check_timeout_seconds: float = CHECK_TIMEOUT_SECONDS
    enable_memory: bool = False
    prices: Mapping[str, float] = field(default_factory=dict)

    @property
    def has_model(self) -> bool:
        return self.sdk != "script"


def read_settings(config: Mapping[str, object]) -> Settings:
    """
    Give the settings that a config stands for.

    Raises:
        ManifestError: something in it is wrong; says all of it.
    """
    if problems := list(problems_of(config)):
        raise ManifestError(
            "; ".join(what for _, what in problems),
            where=f"config.{problems[0][0]}",
            fix="correct the config; `haymaker workload info goal-agent` shows what it may hold",
        )
    sdk = str(config.get("sdk", "script"))
    prices: Mapping[str, float] = config.get("prices", {})  # type: ignore[assignment]  # checked above
    return Settings(
        sdk=sdk,
        model=str(config.get("model", "")),
        max_turns=_number(config, "max_turns", 1 if sdk == "script" else MODEL_TURNS),
        check_timeout_seconds=_number(config, "check_timeout_seconds", CHECK_TIMEOUT_SECONDS),
        enable_memory=config.get("enable_memory", False) is True,
        prices=prices,
    )


def problems_of(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Give what is wrong with a config, each with its key. Keys that are not known here are not looked at."""
    sdk = config.get("sdk", "script")
    if sdk not in SDKS:
        yield "sdk", f"`sdk` must be one of {', '.join(SDKS)}, got {sdk!r}"
    for key, most in _WHOLE.items():
        value = config.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            yield key, f"`{key}` must be a whole number from 1 to {most}, got {value!r}"
    if not isinstance(config.get("model", ""), str):
        yield "model", f"`model` must be the name of a model, got {config['model']!r}"
    if not isinstance(config.get("enable_memory", False), bool):
        yield "enable_memory", f"`enable_memory` must be true or false, got {config['enable_memory']!r}"
    planned = config.get("plan_with_model", False)
    if not isinstance(planned, bool):
        yield "plan_with_model", f"`plan_with_model` must be true or false, got {planned!r}"
    elif planned and sdk == "script":
        yield (
            "plan_with_model",
            "`plan_with_model` needs an sdk with a model; `script` runs the steps as they stand",
        )
    prices = config.get("prices", {})
    if not isinstance(prices, dict) or any(key not in _PRICES or not _is_price(prices[key]) for key in prices):
        yield "prices", f"`prices` must map {', '.join(_PRICES)} to US dollars for a million tokens"
    elif prices and not {"input", "output"} <= prices.keys():
        yield "prices", "`prices` must hold both `input` and `output`"


def _number(config: Mapping[str, object], key: str, default: int) -> int:
    value = config.get(key, default)
    assert isinstance(value, int)
    return value


def _is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
