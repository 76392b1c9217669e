"""
Small helpers for what is said to people.
"""

from __future__ import annotations


def one_line(text: str) -> str:
    return " ".join(text.split())


def count(number: int, one: str, many: str = "") -> str:
    """Give a number and its noun: 1 check, 2 checks."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def shortened(text: str, most: int) -> str:
    """Give the text on one line, cut where it is longer than `most` characters."""
    line = one_line(text)
    return line if len(line) <= most else line[: most - 1] + "…"
