"""
The same folder as a commit has it, read from git's own store: no checkout, nothing written.

File names and identities come from one `git ls-tree`; contents from one `git cat-file --batch`, for what is asked.
"""

from __future__ import annotations

import os
import subprocess
from typing import IO, Any, Self

from agent_haymaker.errors import ManifestError, UsageError
from reconciler.manifest.trees import IGNORE_FILE, Listing, Stamp, Unreadable, find_base, is_inside, names_digest

_LINK, _SUBMODULE = "120000", "160000"
_GIT_SECONDS = 30.0
_HOPS = 40


class GitTree:
    """
    A folder of a repository at a revision.

    Raises:
        UsageError: there is no such revision.
        ManifestError: `path` is in no git repository.
    """

    def __init__(self, path: str | os.PathLike[str], revision: str) -> None:
        real = os.path.realpath(path)
        # A file that is there now says that the path names one; at the revision it may be gone.
        is_file = os.path.isfile(real)
        self.root = os.path.dirname(real) if is_file else real
        self.only = os.path.basename(real) if is_file else ""
        self.base = find_base(self.root)
        if not os.path.lexists(os.path.join(self.base, ".git")):
            raise ManifestError("this folder is in no git repository", where=str(path), fix="run it in a repository")
        commit = "" if revision.startswith("-") else self._git("rev-parse", "--verify", "-q", revision + "^{commit}")
        if not commit:
            self._git("rev-parse", "--git-dir", must=True)
            raise UsageError(
                f"there is no revision {revision!r}", where=self.base,
                fix="name a commit, tag or branch; `git fetch` (of a shallow clone, with --unshallow) brings others",
            )  # fmt: skip
        self.commit = commit.strip()
        self._entries: dict[str, tuple[str, str]] = {}  # path relative to base -> mode, blob
        for line in self._git("ls-tree", "-r", "-z", "--full-tree", self.commit).split("\0"):
            if line:
                facts, _, name = line.partition("\t")
                mode, _, blob = facts.split(" ")
                self._entries[name] = (mode, blob)
        self._reader: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End git's reader, if one was needed."""
        if self._reader is not None:
            for stream in (self._reader.stdin, self._reader.stdout):
                if stream is not None:
                    stream.close()
            self._reader.wait(_GIT_SECONDS)
            self._reader = None

    def list_files(self, known: Listing | None = None) -> Listing:
        del known  # verdicts of the disk's ignore files say nothing about this revision
        listing = Listing()
        prefix = "" if self.root == self.base else os.path.relpath(self.root, self.base) + "/"
        ignores = self._ignores(prefix, listing)
        for name, (mode, blob) in self._entries.items():
            inside = name.removeprefix(prefix)
            if not name.startswith(prefix) or not inside.endswith((".yaml", ".yml")) or mode == _SUBMODULE:
                continue
            if any(part.startswith(".") for part in inside.split("/")) or (self.only and "/" in inside):
                continue
            if _is_ignored(inside, ignores):
                continue
            listing.files.append((inside, self.stamp(os.path.join(self.base, name)) if mode == _LINK else [blob]))
        listing.files.sort()
        return listing

    def _ignores(self, prefix: str, listing: Listing) -> list[tuple[str, Any]]:
        found = []
        for name in self._entries:
            inside = name.removeprefix(prefix)
            if name.startswith(prefix) and (inside == IGNORE_FILE or inside.endswith("/" + IGNORE_FILE)):
                import pathspec

                content, stamp = self.read(os.path.join(self.base, name), 1 << 20)
                folder = inside.removesuffix(IGNORE_FILE)
                listing.ignores[folder.rstrip("/")] = stamp
                lines = content.decode("utf-8", "replace").splitlines()
                found.append((folder, pathspec.GitIgnoreSpec.from_lines(lines)))
        return sorted(found, key=lambda item: item[0])

    def read(self, path: str, limit: int) -> tuple[bytes, Stamp]:
        _, blob = self._find(path)
        content = self._blob(blob)
        if len(content) > limit:
            raise Unreadable(f"it is larger than {limit >> 20} MiB", "split it, or leave it out")
        return content, [blob]

    def names(self, folder: str) -> tuple[list[str], Stamp | None]:
        try:
            prefix = self._follow(folder) + "/"
        except Unreadable:
            return [], None
        inside = [
            name.removeprefix(prefix)
            for name, (mode, _) in self._entries.items()
            if name.startswith(prefix) and mode != _SUBMODULE and (mode != _LINK or self._is_file(name))
        ]
        names = sorted(
            {first + slash for first, slash, _ in (name.partition("/") for name in inside) if first[0] != "."}
        )
        return names, [names_digest(names)] if names else None

    def stamp(self, path: str) -> Stamp | None:
        try:
            return [self._find(path)[1]]
        except Unreadable:
            return self.names(path)[1]

    def real(self, path: str) -> str:
        if not is_inside(path, self.base):
            raise Unreadable(f"the path leads out of {self.base}", "keep the file inside the repository")
        return path

    def _find(self, path: str) -> tuple[str, str]:
        """Return mode and blob of a file, through the symbolic links that the commit holds."""
        entry = self._entries.get(self._follow(path))
        if entry is None:
            raise Unreadable("there is no such file at that revision", "create it, or correct the path")
        return entry

    def _is_file(self, link: str) -> bool:
        try:
            return self._follow(os.path.join(self.base, link)) in self._entries
        except Unreadable:
            return False

    def _follow(self, path: str) -> str:
        """Return the name below `base` that a path comes to, through the commit's symbolic links."""
        for _ in range(_HOPS):
            if not is_inside(path, self.base):
                raise Unreadable(f"the path leads out of {self.base}", "keep the file inside the repository")
            name = os.path.relpath(path, self.base)
            parts = name.split("/")
            for count in range(1, len(parts) + 1):
                link = self._entries.get("/".join(parts[:count]))
                if link is not None and link[0] == _LINK:
                    target = self._blob(link[1]).decode("utf-8", "surrogateescape")
                    folder = os.path.join(self.base, *parts[: count - 1])
                    path = os.path.normpath(os.path.join(folder, target, *parts[count:]))
                    break
            else:
                return name
        raise Unreadable("its symbolic links lead in a circle", "correct the links")

    def _blob(self, blob: str) -> bytes:
        if self._reader is None:
            self._reader = subprocess.Popen(
                ["git", "-C", self.base, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._reader.stdin is not None
        assert self._reader.stdout is not None
        self._reader.stdin.write(blob.encode() + b"\n")
        self._reader.stdin.flush()
        header = self._reader.stdout.readline().split()
        if len(header) != 3 or header[1] != b"blob":
            raise Unreadable("git cannot give its content", "fetch the whole history, then try again")
        return _exactly(self._reader.stdout, int(header[2]) + 1)[:-1]

    def _git(self, *args: str, must: bool = False) -> str:
        """Give what git printed, "" where it failed; where it `must` not, that it is git which refuses is the error."""
        try:
            done = subprocess.run(
                ["git", "-C", self.base, *args], capture_output=True, timeout=_GIT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ManifestError(f"git cannot be run: {error}", where=self.base, fix="install git") from None
        if must and done.returncode:
            said = (done.stderr.decode(errors="replace").splitlines() or [f"exit code {done.returncode}"])[0]
            raise ManifestError(
                f"git does not read this repository: {said.removeprefix('fatal: ')}", where=self.base,
                fix=f"make `git -C {self.base} status` work for this user",
            )  # fmt: skip
        return os.fsdecode(done.stdout) if done.returncode == 0 else ""


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise Unreadable("git stopped in the middle of it", "run `git fsck`")
    return content


def _is_ignored(path: str, ignores: list[tuple[str, Any]]) -> bool:
    verdict = False
    for folder, spec in ignores:
        if path.startswith(folder):
            result = spec.check_file(path.removeprefix(folder)).include
            verdict = verdict if result is None else result
    return verdict
