"""The files that manifests name: found inside the repository, read once, known by their content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.manifest.cache import Reference
from reconciler.manifest.trees import Unreadable, blob_name, is_inside

if TYPE_CHECKING:
    from reconciler.manifest.trees import Tree

_MAX_BYTES = 64 << 20


@dataclass(slots=True)
class References:
    """The files that manifests name: each read once, with the stamp that vouches for it."""

    tree: Tree
    digests: dict[str, Reference] = field(default_factory=dict)  # by absolute path

    def digest(self, folder: str, path: str, *, trusted: str = "") -> tuple[str, str]:
        """
        Return (absolute path, sha256) of a file named in a manifest of `folder`.

        Raises:
            Unreadable: it is missing, a folder, or outside both the repository and `trusted`.
        """
        absolute = self._place(folder, path, trusted)
        if absolute not in self.digests:
            self._read(absolute)
        return absolute, self.digests[absolute].sha256

    def content(self, folder: str, path: str) -> tuple[str, bytes]:
        absolute = self._place(folder, path, "")
        return absolute, self._read(absolute)

    def text(self, absolute: str) -> str:
        """Return the text of a file that `digest` has placed. Raises UnicodeDecodeError, Unreadable."""
        return self._read(absolute).decode("utf-8")

    def _read(self, absolute: str) -> bytes:
        content, stamp = self.tree.read(absolute, _MAX_BYTES)
        self.digests[absolute] = Reference(stamp, hashlib.sha256(content).hexdigest(), blob_name(content))
        return content

    def check_place(self, folder: str, path: str) -> None:
        """Refuse a path that leaves the repository; the file need not be there yet."""
        self._place(folder, path, "")

    def _place(self, folder: str, path: str, trusted: str) -> str:
        if "\0" in path:
            raise Unreadable("a path cannot hold a NUL character", "correct the path")
        absolute = os.path.normpath(os.path.join(folder, path))
        if not (trusted and is_inside(absolute, trusted)):
            if not is_inside(absolute, self.tree.base):
                raise Unreadable(f"the path leads out of {self.tree.base}", "keep the file inside the repository")
            self.tree.real(absolute)
        return absolute
