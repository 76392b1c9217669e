"""
Take secret values out of a stream of bytes, also where one lies across the border of two pieces. Pure.
"""

from __future__ import annotations

MASK = b"[redacted]"


class Redactor:
    """Masks every occurrence of some values. `feed` holds back only what may be the beginning of one."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = sorted({s.encode() for s in secrets if s}, key=len, reverse=True)
        self._held = b""

    @property
    def longest(self) -> int:
        """The length of the longest value, in bytes."""
        return len(self._secrets[0]) if self._secrets else 0

    def feed(self, piece: bytes) -> bytes:
        """Give what can be shown now."""
        if not self._secrets:
            return piece
        text = self.masked(self._held + piece)
        keep = self._beginning_at_end(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> bytes:
        """Give what was held back; nothing comes after it."""
        held, self._held = self._held, b""
        return held

    def spans(self, text: bytes) -> list[tuple[int, int]]:
        """Give where secrets lie in a text: (from, to), in order."""
        found: list[tuple[int, int]] = []
        for secret in self._secrets:
            at = text.find(secret)
            while at >= 0:
                found.append((at, at + len(secret)))
                at = text.find(secret, at + 1)
        return sorted(found)

    def masked(self, text: bytes) -> bytes:
        """Give a text that is whole with every secret masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def _beginning_at_end(self, text: bytes) -> int:
        """Give how many bytes at the end are the beginning of a secret, at most."""
        best = 0
        for secret in self._secrets:
            for size in range(min(len(secret) - 1, len(text)), best, -1):
                if text.endswith(secret[:size]):
                    best = size
                    break
        return best
