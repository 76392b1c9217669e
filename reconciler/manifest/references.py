"""The files that manifests name: found inside the repository, read once, known by their content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_haymaker.goals.skills import SKILL_FILE
from reconciler.manifest.cache import Reference
from reconciler.manifest.trees import Unreadable, blob_name, is_inside, names_digest

if TYPE_CHECKING:
    from reconciler.manifest.trees import Tree

_MAX_BYTES = 64 << 20
_MAX_SKILL_FILES = 1000


@dataclass(slots=True)
class References:
    """The files that manifests name: each read once, with the stamp that vouches for it."""

    tree: Tree
    digests: dict[str, Reference] = field(default_factory=dict)  # by absolute path
    known_skills: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)  # by their folder

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

    def skills(self, folder: str, *, trusted: str = "") -> tuple[list[str], list[str]]:
        """
        Return the folders looked into, absolute, and the files of every skill in `folder`, relative to it.

        Raises:
            Unreadable: a folder cannot be read, leads out of the repository, or the skills have too many files.
        """
        if folder not in self.known_skills:
            looked: list[str] = []
            files: list[str] = []
            for name in self._names(folder, "", looked, trusted):
                if name.endswith("/") and SKILL_FILE in self._names(folder, name, looked, trusted):
                    self._walk(folder, name, looked, files, trusted)
            self.known_skills[folder] = looked, files
        return self.known_skills[folder]

    def _walk(self, folder: str, inside: str, looked: list[str], files: list[str], trusted: str) -> None:
        for name in self._names(folder, inside, looked, trusted):
            if name.endswith("/"):
                self._walk(folder, inside + name, looked, files, trusted)
            else:
                files.append(inside + name)
        if len(files) > _MAX_SKILL_FILES:
            raise Unreadable(f"the skills have more than {_MAX_SKILL_FILES} files", "keep only what agents read there")

    def _names(self, folder: str, inside: str, looked: list[str], trusted: str) -> list[str]:
        absolute = self._place(folder, inside, trusted)
        names, stamp = self.tree.names(absolute)
        looked.append(absolute)
        digest = names_digest(names)
        self.digests[absolute] = Reference(stamp, digest, digest)
        return names

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
