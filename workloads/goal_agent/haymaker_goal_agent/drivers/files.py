"""
The file tools of a driver whose SDK brings none. Errors are words for the model, never exceptions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from haymaker_goal_agent.drivers.shell import Ran

READ = "Read a text file of the working directory."
WRITE = "Write a text file, whole; folders on its way are made."
_PATH = {"type": "string", "description": "The path, from the working directory."}
_TEXT = {"type": "string", "description": "The whole content."}
PATH: dict[str, Any] = {
    "type": "object", "properties": {"path": _PATH}, "required": ["path"], "additionalProperties": False,
}  # fmt: skip
PATH_AND_TEXT: dict[str, Any] = {
    "type": "object", "properties": {"path": _PATH, "content": _TEXT}, "required": ["path", "content"],
    "additionalProperties": False,
}  # fmt: skip
_MOST_BYTES = 100_000


def read(path: str) -> Ran:
    """Give a file's text, or why it cannot be read."""
    try:
        file = Path(path)
        if not file.is_file():
            return Ran(f"error: {path} is not there, or not a file", ok=False)
        with file.open("rb") as content:
            text = content.read(_MOST_BYTES).decode("utf-8", "replace")
        left = file.stat().st_size - _MOST_BYTES
        return Ran(
            text if left <= 0 else f"{text}\n[... {left} bytes left out; use the shell to see them ...]", ok=True
        )
    except (OSError, ValueError) as error:
        return Ran(f"error: {error}", ok=False)


def write(path: str, content: str) -> Ran:
    """Write a file, and say so, or why not."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content, encoding="utf-8")
    except (OSError, ValueError) as error:
        return Ran(f"error: {error}", ok=False)
    return Ran(f"wrote {len(content.encode('utf-8', 'replace'))} bytes to {path}", ok=True)
