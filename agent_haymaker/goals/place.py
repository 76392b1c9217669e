"""
Where a goal stands for the person who wrote it: its own file, not the copy that its agent reads. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

COPY = "prompt.md"
"""What a goal is called in the workspace of its agent."""

VARIABLE = "HAYMAKER_GOAL"
"""The variable that tells an agent, and the checks of its goal, where that goal stands."""


class Place(NamedTuple):
    """A file, and the line there of the goal's first line: above 1 for a goal that is a part of a manifest."""

    file: str = COPY
    first: int = 1

    def line(self, number: int) -> int:
        """Give the line of the file where this line of the goal stands."""
        return self.first + number - 1

    def at(self, number: int) -> str:
        """Give the place of a line of the goal as people are told it: goals/tidy.md:12."""
        return f"{self.file}:{self.line(number)}"

    def __str__(self) -> str:
        return self.at(1)

    @classmethod
    def read(cls, text: str) -> Place:
        """Give back what was a Place as text; the copy's for what was none."""
        file, _, first = text.rpartition(":")
        return cls(file, int(first)) if file and first.isascii() and first.isdigit() else cls()


AT_COPY = Place()
"""Where a goal stands of which only the agent's copy is known."""
