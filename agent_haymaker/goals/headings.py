"""
The headings of a goal that mean something, and those that only look like one. Pure.

It refuses to know what stands under them.
"""

from __future__ import annotations

import re

_ROLES = {
    "goal": ("goal", "goals", "objective", "objectives", "task", "mission", "purpose"),
    "constraints": ("constraints", "constraint", "requirements", "rules", "limits", "boundaries"),
    "criteria": ("success criteria", "success criterion", "acceptance criteria", "definition of done", "done when"),
    "steps": ("steps", "plan", "phases", "procedure", "instructions"),
    "context": ("context", "background", "notes", "references", "examples"),
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}
_SHORT = {"success": "success criteria", "criteria": "success criteria", "acceptance": "acceptance criteria"}
_NEAR = 0.85  # of difflib's ratio; below it are words of their own, such as roles beside rules
_LONGEST = 48
"""Of a heading that may be a mistyped one, in characters."""


def role_of(heading: str) -> str:
    """Give what a heading says its section is for, one of goal, constraints, criteria, steps, context; "" for none."""
    return _ROLE_OF.get(_words(heading), "")


def meant_by(heading: str) -> str:
    """
    Give the heading that one without a meaning was probably meant to be, "" where it is far from all of them.

    A single `Step` or `Note` is a heading of its own, and one near to a name for context would only have informed.
    """
    words = _words(heading)
    if not words or len(words) > _LONGEST or words in _ROLE_OF or f"{words}s" in _ROLE_OF or words[:-1] in _ROLE_OF:
        return ""
    held = (name for name in _ROLES["criteria"] if f" {name} " in f" {words} ")
    near = _SHORT.get(words) or next(held, None) or _nearest(words)
    return near.title().replace(" Of ", " of ") if near else ""


def _nearest(words: str) -> str | None:
    import difflib

    names = [name for name, role in _ROLE_OF.items() if role != "context"]
    return next(iter(difflib.get_close_matches(words, names, n=1, cutoff=_NEAR)), None)


def _words(heading: str) -> str:
    return re.sub(r"[^a-z ]", "", heading.lower()).strip()
