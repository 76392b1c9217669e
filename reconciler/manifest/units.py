"""
Durations and sizes as people write them: `15m`, `1h30m`, `512Mi`. Seconds and bytes inside.

Stdlib only: the plan's text uses it on every pass, without YAML or pydantic.
"""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")
_DURATION_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_LONGEST = 100 * 365 * 86400.0

_SIZE = re.compile(r"(\d{1,18})(Ki|Mi|Gi|Ti|k|K|M|G|T)?")
_SIZE_UNITS = {
    None: 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip

DURATION_PATTERN = r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$"
SIZE_PATTERN = r"^\d{1,18}(Ki|Mi|Gi|Ti|k|K|M|G|T)?$"


def parse_duration(text: str) -> float:
    """
    Return the seconds in `1h30m`, `500ms`, `0s`: whole numbers, each unit at most once, largest first.

    Raises:
        ValueError: anything else, a bare number above all, and more than a hundred years.
    """
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        raise ValueError(f"'{_short(text)}' is not a duration; write one such as 30s, 15m, 1h30m or 500ms")
    if len(text) > 40:
        raise ValueError("the duration is too long; write one such as 24h")
    seconds = sum(int(n) * unit for n, unit in zip(match.groups(), _DURATION_UNITS, strict=True) if n)
    if seconds > _LONGEST:
        raise ValueError(f"'{text}' is more than a hundred years; write one such as 24h")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds the way a manifest does: 900.0 is `15m`, 5400.0 is `1h30m`, 0.5 is `500ms`."""
    total = round(seconds * 1000)
    if total == 0:
        return "0s"
    hours, rest = divmod(total, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, millis = divmod(rest, 1000)
    parts = ((hours, "h"), (minutes, "m"), (whole, "s"), (millis, "ms"))
    return "".join(f"{n}{unit}" for n, unit in parts if n)


def parse_size(text: str) -> int:
    """
    Return the bytes in `512Mi` (2**20), `1G` (10**9) or `4096`.

    Raises:
        ValueError: anything else.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"'{_short(text)}' is not a size; write one such as 512Mi, 2Gi, 1G or a number of bytes")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def format_size(count: int) -> str:
    """Write bytes the way a manifest does, with the largest unit that loses nothing."""
    for unit in ("Ti", "Gi", "Mi", "Ki", "T", "G", "M"):
        if count and count % _SIZE_UNITS[unit] == 0:
            return f"{count // _SIZE_UNITS[unit]}{unit}"
    return str(count)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
