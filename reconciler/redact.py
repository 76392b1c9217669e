"""
Take secret values out of a stream of bytes, also where one lies across the border of two pieces. Pure.

A value is known as it is and in the forms that programs give it: escaped as in JSON or a repr, quoted for a URL, in
base64. It refuses to guess what else may be a secret.
"""

from __future__ import annotations

MASK = b"[redacted]"
SHORTEST_TORN = 4  # what is left of a value at a cut, in bytes
SHORTEST_IN_BASE64 = 8  # a shorter one's base64 would be found in the midst of others


def forms(secret: str) -> set[bytes]:
    """Give the bytes that show a value: itself, and as programs encode it."""
    import json
    from base64 import b64encode, urlsafe_b64encode
    from urllib.parse import quote, quote_plus

    raw = secret.encode(errors="surrogateescape")
    found = {raw}
    found |= {json.dumps(secret, ensure_ascii=plain)[1:-1].encode(errors="surrogateescape") for plain in (True, False)}
    found |= {repr(secret)[1:-1].encode(errors="backslashreplace"), quote_plus(raw).encode()}
    found |= {quote(raw).encode(), quote(raw, safe="").encode()}
    if len(raw) >= SHORTEST_IN_BASE64:
        for encode in (b64encode, urlsafe_b64encode):
            for before in range(3):  # what stands before it, `user:` say, moves it within the groups of three
                first, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
                found.add(encode(bytes(before) + raw)[first:end])
    return found


class Redactor:
    """Masks every occurrence of some values. `feed` holds back only what may be the beginning of one."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = sorted({form for s in secrets if s for form in forms(s)}, key=len, reverse=True)
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

    def masked(self, text: bytes, *, cut: bool = False) -> bytes:
        """Give a text with every secret masked; of one that was `cut`, also what is left of a secret at its ends."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        if not cut:
            return text
        if (size := self._beginning_at_end(text)) >= SHORTEST_TORN:
            text = text[:-size] + MASK
        sizes = (n for s in self._secrets for n in range(len(s) - 1, SHORTEST_TORN - 1, -1) if text.startswith(s[-n:]))
        return MASK + text[size:] if (size := max(sizes, default=0)) else text

    def _beginning_at_end(self, text: bytes) -> int:
        """Give how many bytes at the end are the beginning of a secret, at most."""
        best = 0
        for secret in self._secrets:
            for size in range(min(len(secret) - 1, len(text)), best, -1):
                if text.endswith(secret[:size]):
                    best = size
                    break
        return best
