"""
A session that a driver keeps in the workspace, where its SDK does not: found again by its id, or begun anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = "[interrupted: the agent was stopped]"  # what a tool call gave that a stop left without an answer


class Kept(NamedTuple):
    """Where a session stands. Without messages it has just begun; `note` says so where an older one was asked for."""

    id: str
    path: Path
    messages: list[Any]
    note: str = ""


def reopen(folder: str, file: str, session: str, read: Callable[[Path], list[Any]]) -> Kept:
    """Go on with a session, or begin one. `file` is the name of its file, with `{}` for the id."""
    note = ""
    if session:
        path = Path(folder, file.format(session))
        try:
            return Kept(session, path, read(path))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, a new session does no harm
            note = f"session {session} cannot be resumed ({type(error).__name__}); a new one begins"
    new = os.urandom(8).hex()
    return Kept(new, Path(folder, file.format(new)), [], note)
