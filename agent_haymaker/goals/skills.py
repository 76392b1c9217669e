"""
Where the skills of a goal stand, agreed between those who hand them over and those who read them.

A skill is a folder with a SKILL.md in it, in the open format; whatever else is in that folder belongs to it.
"""

from __future__ import annotations

SKILL_FILE = "SKILL.md"

BESIDE_A_GOAL = "skills"
"""The folder beside a goal that holds skills."""

IN_A_WORKSPACE = "files/skills"
"""Where a workspace holds those skills as they were handed over; `skills/` there holds the ones that were taken."""


def is_hidden(path: str) -> bool:
    """Say whether a relative path has a part that begins with a dot: editors and version control leave such files."""
    return any(part.startswith(".") for part in path.split("/"))
