"""JSON objects as a pass holds them: read only, and parsed when somebody looks inside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]


class LazyJson(Mapping[str, Any]):
    """A JSON object kept as its text until somebody looks inside: a pass that changes nothing never does."""

    __slots__ = ("_text", "_value")

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._value: Json | None = None

    @property
    def text(self) -> str:
        """The object as it was written; "" where there is none."""
        return self._text

    def _parsed(self) -> Json:
        if self._value is None:
            self._value = json.loads(self.text) if self.text else {}
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __bool__(self) -> bool:
        return bool(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazyJson) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class AppliedSpec(LazyJson):
    """The `spec` inside a whole desired state."""

    __slots__ = ("_whole",)

    def __init__(self, whole: LazyJson) -> None:
        super().__init__()
        self._whole = whole

    @property
    def text(self) -> str:
        return self._whole.text

    def _parsed(self) -> Json:
        if self._value is None:
            self._value = dict(self._whole.get("spec", {}))
        return self._value
