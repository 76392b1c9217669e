"""What the wire formats share: the frame of a server-sent event, and text that arrives in pieces."""

from __future__ import annotations

import json
from typing import Any


def event(payload: dict[str, Any], kind: str | None = None) -> bytes:
    """Give one server-sent event, named `kind` where the format names its events."""
    name = f"event: {kind}\n" if kind else ""
    return f"{name}data: {json.dumps(payload)}\n\n".encode()


def halves(text: str) -> list[str]:
    """Cut `text` in two, so that a client has to put it together; nothing gives nothing."""
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]
