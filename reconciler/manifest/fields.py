"""What a field of a manifest can be: names, durations, sizes, paths; each checked, each with what to say when wrong."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from reconciler.manifest.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size

API_VERSION = "haymaker/v1"
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_WORKLOAD_NAME = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")


class Wrong(ValueError):  # noqa: N818 - what the value is; it never leaves this package
    """What is wrong with a value, how to fix it, and which field inside the value it is (camelCase keys)."""

    def __init__(self, what: str, fix: str, *at: str | int) -> None:
        self.fix = fix
        self.at = at
        super().__init__(what)


class Model(BaseModel):
    """Closed and strict: an unknown key is an error, and `"5"` is not 5."""

    # Built at the first use, so that a folder without a Fleet does not pay for its models.
    model_config = ConfigDict(
        extra="forbid", strict=True, alias_generator=to_camel, hide_input_in_errors=True, defer_build=True
    )


def _as_duration(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError(f"a duration needs its unit, got {_shown(value)}; write one such as 30s or 15m")
    return parse_duration(value)


def _as_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"a size is bytes or text, got {_shown(value)}; write one such as 512Mi")
    if isinstance(value, int):
        if value < 0:
            raise ValueError("a size cannot be negative; write 0 or more")
        return value
    return parse_size(value)


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value[:80]!r} {what}")
        return value

    return AfterValidator(check)


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than 0s; write one such as 30s, or remove it")
    return value


def _inside_workspace(value: str) -> str:
    if not value or value.startswith(("/", "~")) or ".." in value.split("/") or "\0" in value:
        raise ValueError(f"{value[:80]!r} leads out of the agent's workspace; write a relative path without '..'")
    return value


def schema_or_path(value: Any) -> Any:
    if value is not None and not isinstance(value, str | dict):
        raise ValueError("is no JSON Schema; give one, or the path of one")
    return value


_CHECK_NAME = re.compile(r"(?! )[^\x00-\x1f\x7f]{1,80}(?<! )")
_NAME_RULE = "is not a name; use up to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit"
Name = Annotated[str, matching(DNS_LABEL, _NAME_RULE), Field(json_schema_extra={"pattern": f"^{DNS_LABEL.pattern}$"})]
CheckName = Annotated[str, matching(_CHECK_NAME, "is not a check's name; use up to 80 characters on one line")]
WorkloadName = Annotated[
    str, matching(_WORKLOAD_NAME, "is not a workload's name; use letters, digits, '-', '_' and '.'")
]
Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[
    float,
    BeforeValidator(_as_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "x-unit": "duration"}),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Size = Annotated[
    int,
    BeforeValidator(_as_size),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": 0}], "x-unit": "size"}
    ),
]
WorkspacePath = Annotated[str, AfterValidator(_inside_workspace)]
LabelKey = Annotated[
    str,
    matching(
        _LABEL_KEY, "is not a label's key; use letters, digits, '-', '_' and '.', after an optional prefix and '/'"
    ),
]
LabelValue = Annotated[
    str, matching(_LABEL_VALUE, "is not a label's value; use up to 63 letters, digits, '-', '_' and '.'")
]


M = TypeVar("M", bound=Model)


def exactly_one(model: M, *fields: str) -> M:
    given = [to_camel(field) for field in fields if getattr(model, field) is not None]
    if len(given) != 1:
        words = " or ".join(to_camel(field) for field in fields)
        what = f"{' and '.join(given)} are given, where one belongs" if given else f"one of {words} is missing"
        raise Wrong(what, "keep one of them" if given else "add one of them")
    return model


def no_twins(names: list[str], what: str, *at: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Wrong(f"the {what} {name} is given twice", "keep one of the two", *at, index)
