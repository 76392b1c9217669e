"""
Where files come from: a folder on disk. (`gittree` reads the same folder as a commit has it.)

A tree lists the YAML files under its root, reads a file only when it holds still, and keeps every path inside the
repository. It knows nothing of what the files say.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Any, Protocol

from agent_haymaker.errors import ManifestError
from agent_haymaker.lean import dataclass, field
from reconciler.manifest.problems import Flaw

Stamp = list[Any]  # a file's identity: what changes when its content does
IGNORE_FILE = ".haymakerignore"
SETTLE_NS = 50_000_000  # a file younger than this may change again within one tick of its clock
MOST_FOLDERS = 30_000  # a folder with more is a disk or a home, named by mistake
_MAX_REFERENCED = 64 << 20
_READS = 5


class Unreadable(Exception):  # noqa: N818 - what happened, in a word; it never leaves this package
    """A file that cannot be read; `what` says why and `fix` what to do."""

    def __init__(self, what: str, fix: str) -> None:
        self.what = what
        self.fix = fix
        super().__init__(what)


@dataclass(slots=True)
class Listing:
    """The YAML files of a tree, sorted by their path relative to its root, and what could not be listed."""

    files: list[tuple[str, Stamp | None]] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    ignores: dict[str, Stamp | None] = field(default_factory=dict)  # folder -> its .haymakerignore
    verdicts: dict[str, bool] = field(default_factory=dict)  # path -> ignored, for paths under an ignore file


class Tree(Protocol):
    root: str  # the folder, absolute, symlinks resolved
    base: str  # the repository's root, or `root`: no path may leave it
    only: str  # the one file that `-f` named, in root, or ""

    def list_files(self, known: Listing | None = None) -> Listing: ...

    def read(self, path: str, limit: int) -> tuple[bytes, Stamp]:
        """Read a file by its absolute path. Raises Unreadable."""
        ...

    def names(self, folder: str) -> tuple[list[str], Stamp | None]:
        """
        Give what a folder holds, sorted, folders with a / behind them, and its stamp; nothing where there is none.

        Hidden names, links to folders and whatever is no file are left out. Raises Unreadable.
        """
        ...

    def stamp(self, path: str) -> Stamp | None:
        """Give a file's or folder's identity just now, or None where there is none."""
        ...

    def real(self, path: str) -> str:
        """Resolve symlinks. Raises Unreadable when that leads out of `base`."""
        ...


def blob_name(content: bytes) -> str:
    """Return the name that git gives this content."""
    import hashlib  # as in `digest`

    blob = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    blob.update(content)
    return blob.hexdigest()


def names_digest(names: list[str]) -> str:
    """Return what stands for the names in a folder, as `blob_name` does for a file's content."""
    return blob_name("\0".join(names).encode("utf-8", "surrogateescape"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder, or a link to one; a link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def stamp_of(status: os.stat_result) -> Stamp:
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def is_settled(stamp: Stamp, now_ns: int) -> bool:
    """Say whether a file with this stamp is old enough for the stamp to vouch for its content."""
    return bool(max(stamp[2], stamp[3]) < now_ns - SETTLE_NS)


def find_base(folder: str) -> str:
    """Return the nearest parent with a `.git`, or the folder itself."""
    at = folder
    while True:
        if os.path.lexists(os.path.join(at, ".git")):
            return at
        parent = os.path.dirname(at)
        if parent == at:
            return folder
        at = parent


def is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith("/") else folder + "/")


class WorkTree:
    """Files as they stand on disk."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        real = os.path.realpath(path)
        is_file = os.path.isfile(real)
        self.root = os.path.realpath(os.path.dirname(os.path.abspath(path))) if is_file else real
        self.only = os.path.basename(os.path.abspath(path)) if is_file else ""
        self.base = find_base(self.root)
        self._real_folders: dict[str, str] = {}
        self._entered = 0

    def list_files(self, known: Listing | None = None) -> Listing:
        """List the YAML files; `known` is an earlier listing, whose ignore verdicts hold where nothing changed."""
        listing, self._entered = Listing(), 0
        self._walk("", listing, _Ignore(self, listing, known or Listing()), set())
        if self.only and not any(file == self.only for file, _ in listing.files):
            listing.files.append((self.only, self.stamp(os.path.join(self.root, self.only))))
        listing.files.sort()
        return listing

    def _walk(self, folder: str, listing: Listing, ignore: _Ignore, above: set[tuple[int, int]]) -> None:
        self._entered += 1
        if self._entered > MOST_FOLDERS:
            raise ManifestError(
                f"this folder holds more than {MOST_FOLDERS} others",
                where=self.root,
                fix="pass the folder that holds the manifests, or list the others in .haymakerignore",
            )
        path = os.path.join(self.root, folder)
        try:
            with os.scandir(path) as entries:
                children = list(entries)
        except OSError as error:
            listing.flaws.append(_cannot(folder or ".", "folder", error))
            return
        judged = ignore.enter(folder, children)
        prefix = folder + "/" if folder else ""
        for entry in children:
            name = entry.name
            if name.startswith("."):
                continue
            if not name.isascii() and not _is_text(name) and (_is_folder(entry) or name.endswith((".yaml", ".yml"))):
                listing.flaws.append(Flaw("its name is not UTF-8", "rename it", prefix + name, unreadable=True))
                continue
            if name.endswith((".yaml", ".yml")) and not _is_folder(entry):
                if name == self.only:
                    pass  # asked for by name
                elif judged and ignore.covers(prefix + name):
                    continue
                try:
                    listing.files.append((prefix + name, stamp_of(entry.stat())))
                except OSError:
                    listing.files.append((prefix + name, None))
            elif self.only:
                continue  # beside one file count its folder's Fleet and workloads, not what is further down
            elif _is_folder(entry):
                if judged and ignore.covers(prefix + name + "/"):
                    continue
                if entry.is_symlink() and not self._may_enter(entry.path, above):
                    continue
                identity = (entry.inode(), 0) if not entry.is_symlink() else _identity(entry.path)
                if identity in above:
                    continue
                self._walk(prefix + name, listing, ignore, above | {identity})

    def _may_enter(self, path: str, above: set[tuple[int, int]]) -> bool:
        real = os.path.realpath(path)
        return is_inside(real, self.base) and not is_inside(self.root, real) and _identity(real) not in above

    def read(self, path: str, limit: int = _MAX_REFERENCED) -> tuple[bytes, Stamp]:
        try:
            for attempt in range(_READS):
                if attempt:
                    time.sleep(0.01)
                if (result := _read_once(path, limit)) is not None:
                    return result
        except FileNotFoundError:
            raise Unreadable("there is no such file", "create it, or correct the path") from None
        except OSError as error:
            raise Unreadable(f"it cannot be read: {error.strerror}", "correct its type or its permissions") from None
        raise Unreadable("it is being written to", "try again when it holds still")

    def names(self, folder: str) -> tuple[list[str], Stamp | None]:
        stamp = self.stamp(folder)
        try:
            with os.scandir(folder) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
                if not all(_is_text(entry.name) for entry in shown):
                    raise Unreadable("a name in this folder is not UTF-8", "rename what has it")
                folders = [entry.name + "/" for entry in shown if entry.is_dir(follow_symlinks=False)]
                return sorted([*folders, *(entry.name for entry in shown if entry.is_file())]), stamp
        except (FileNotFoundError, NotADirectoryError):
            return [], stamp
        except OSError as error:
            raise Unreadable(f"the folder cannot be read: {error.strerror}", "correct its permissions") from None

    def stamp(self, path: str) -> Stamp | None:
        try:
            return stamp_of(os.stat(path))
        except OSError:
            return None

    def real(self, path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        real = f"{self._real_folders[folder]}/{name}"
        if os.path.islink(real):
            real = os.path.realpath(real)
        if not is_inside(real, self.base):
            raise Unreadable(f"the path leads out of {self.base}", "keep the file inside the repository")
        return real


def _read_once(path: str, limit: int) -> tuple[bytes, Stamp] | None:
    """Read a file, or give None when it changed meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if stat.S_ISDIR(before.st_mode):
            raise Unreadable("it is a folder", "name a file")
        if not stat.S_ISREG(before.st_mode):
            raise Unreadable("it is not a regular file", "put a regular file there")
        if before.st_size > limit:
            raise Unreadable(f"it is larger than {limit >> 20} MiB", "split it, or leave it out")
        content = b""
        while len(content) <= before.st_size:
            block = os.read(descriptor, before.st_size + 1 - len(content))
            if not block:
                break
            content += block
    finally:
        os.close(descriptor)
    stamp = stamp_of(before)
    if len(content) != before.st_size or stamp != stamp_of(os.stat(path)):
        return None
    return content, stamp


def _identity(path: str) -> tuple[int, int]:
    try:
        return (os.stat(path).st_ino, 0)
    except OSError:
        return (-1, -1)


def _is_text(name: str) -> bool:
    """Tell whether a name is UTF-8: no record could hold another."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cannot(path: str, what: str, error: OSError) -> Flaw:
    return Flaw(
        f"this {what} cannot be read: {error.strerror}", "correct its permissions, or list it in .haymakerignore",
        path, unreadable=True,
    )  # fmt: skip


class _Ignore:
    """Which paths the `.haymakerignore` files leave out. Remembers verdicts, so that nothing is matched twice."""

    def __init__(self, tree: WorkTree, listing: Listing, known: Listing) -> None:
        self._tree = tree
        self._listing = listing
        self._known = known
        self._specs: list[tuple[str, Any]] = []  # folder prefix, lines or the compiled spec
        self._changed: list[str] = []  # prefixes under which remembered verdicts are void

    def enter(self, folder: str, children: list[os.DirEntry[str]]) -> bool:
        """Take note of a folder's own ignore file; say whether any ignore file bears on its children."""
        prefix = folder + "/" if folder else ""
        here = next((child for child in children if child.name == IGNORE_FILE), None)
        stamp = self._tree.stamp(here.path) if here is not None else None
        if here is not None:
            self._listing.ignores[folder] = stamp
            self._specs.append((prefix, None))
        if stamp != self._known.ignores.get(folder):
            self._changed.append(prefix)
        return any(prefix.startswith(above) for above, _ in self._specs)

    def covers(self, path: str) -> bool:
        known = self._known.verdicts.get(path)
        if known is not None and not any(path.startswith(prefix) for prefix in self._changed):
            self._listing.verdicts[path] = known
            return known
        verdict = False
        for index, (prefix, spec) in enumerate(self._specs):
            if path.startswith(prefix):
                if spec is None:
                    spec = self._compile(prefix)
                    self._specs[index] = (prefix, spec)
                result = spec.check_file(path.removeprefix(prefix)).include
                verdict = verdict if result is None else result
        self._listing.verdicts[path] = verdict
        return verdict

    def _compile(self, prefix: str) -> Any:
        import pathspec

        file = prefix + IGNORE_FILE
        try:
            content, _ = self._tree.read(os.path.join(self._tree.root, file), 1 << 20)
            return pathspec.GitIgnoreSpec.from_lines(content.decode().splitlines())
        except (Unreadable, ValueError) as error:
            what = error.what if isinstance(error, Unreadable) else f"it cannot be understood: {error}"
            self._listing.flaws.append(Flaw(what, "write it in gitignore's syntax", file, unreadable=True))
            return pathspec.GitIgnoreSpec.from_lines([])
