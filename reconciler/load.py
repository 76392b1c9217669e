"""
Loading: a folder of YAML files → `Desired`, the fleet's policy, and everything that is wrong.

Loading never fails halfway: each document is judged alone, what is wrong is listed, what is right is returned. It
writes nothing but its cache, starts nothing, and knows nothing of what runs.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from agent_haymaker.errors import ManifestError
from agent_haymaker.lean import dataclass, field
from reconciler.manifest.cache import Folder, cache_path, load_cache, save_cache
from reconciler.manifest.problems import Problem
from reconciler.manifest.trees import Tree, WorkTree
from reconciler.model.desired import FleetPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.manifest.workloads import WorkloadDeclaration
    from reconciler.model.desired import Desired

__all__ = ["Loaded", "Problem", "Tree", "WorkTree", "load"]


@dataclass(frozen=True)
class Loaded:
    """What a folder asks for, as far as it could be understood."""

    fleet: FleetPolicy
    desired: dict[str, Desired]  # sorted by name
    problems: tuple[Problem, ...]  # sorted by file and line
    broken_names: frozenset[str]  # a manifest exists but is wrong: the last good spec stays in force
    complete: bool  # False: something could not be understood, so that nothing may be removed on its account
    root: str  # the folder, absolute
    files: int
    digest: str  # sha256 over everything that was read: the revision
    single_file: bool  # `-f` named one file: never prunes
    declared_workloads: dict[str, WorkloadDeclaration]
    folder: Folder = field(default_factory=Folder)  # what was read, file by file


def load(path: Path, *, home: Path | None, strict: bool = False, write_cache: bool = True) -> Loaded:
    """
    Read a folder (or one file) of manifests.

    `home` is where the cache lives; None reads everything anew and writes nothing. `write_cache=False` takes what
    the cache has and adds nothing. `strict` makes errors of warnings.

    Of one file, its own deployments count, with the Fleet and the workloads that its folder declares.

    Raises:
        ManifestError: there is no such folder or file.
    """
    if not os.path.exists(path):
        raise ManifestError("there is no such folder or file", where=str(path), fix=_instead(str(path)))
    tree = WorkTree(path)
    try:
        tree.root.encode()
    except UnicodeEncodeError:
        raise ManifestError("the path of this folder is not UTF-8", where=tree.root, fix="rename the folder") from None
    started_ns = time.time_ns()
    cache = cache_path(home, tree) if home is not None else None
    kept = load_cache(cache, tree) if cache is not None else Folder()
    folder = _read(tree, kept, home, strict=strict, write=write_cache)
    if folder is not kept and cache is not None and write_cache and not strict:
        from reconciler.manifest.defaults import default_spec

        save_cache(cache, tree, folder, started_ns, default_spec())
    return _loaded(folder, tree, str(path))


def load_gone(path: Path, fleet: str) -> Loaded:
    """Give what a folder asks for that is there no more, and that `fleet` was applied from: nothing."""
    return Loaded(
        fleet=FleetPolicy(fleet),
        desired={},
        problems=(),
        broken_names=frozenset(),
        complete=True,
        root=os.path.realpath(path),
        files=0,
        digest="",
        single_file=False,
        declared_workloads={},
    )


def _instead(path: str) -> str:
    """Say what to pass to -f in place of a path where nothing is."""
    if path == "-":
        return "manifests are not read from standard input: put them into a folder, and pass that to -f"
    if ":/" in path:
        return "-f takes a folder or a file of this machine: clone or download it first"
    if any(char in path for char in "*?["):
        return "-f takes one folder, or one file: pass the folder, and all of its manifests are read"
    return "pass -f DIR, or set HAYMAKER_MANIFESTS; without them ./manifests is read"


def load_base(path: Path, revision: str, loaded: Loaded, *, home: Path | None) -> Loaded:
    """
    Read the same folder as a commit has it, for `plan --base`. A file that `loaded` has with the same content is not
    read again.

    Raises:
        UsageError: there is no such revision.
        ManifestError: the folder is in no git repository.
    """
    from reconciler.manifest.gittree import GitTree

    with GitTree(path, revision) as tree:
        return _loaded(_read(tree, loaded.folder, home, strict=False, write=False), tree, str(path))


def _read(tree: Tree, kept: Folder, home: Path | None, *, strict: bool, write: bool) -> Folder:
    """Give `kept` itself where nothing changed since, else the folder read anew, as far as it changed."""
    listing = tree.list_files(kept.listing)
    if kept.is_current(listing, tree, home, write=write) and not (strict and kept.has_flaws()):
        kept.replay(tree.root)
        return kept
    from reconciler.manifest.folder import FolderReader  # YAML and pydantic: only for a change

    return FolderReader(tree, listing, kept, home, strict=strict, write=write).read()


def prefix_of(shown: str, *, is_file: bool) -> str:
    """Give what stands before a file of the folder where a person is told of it: `shown` is the path as typed."""
    prefix = os.path.dirname(shown) if is_file else shown
    return "" if prefix in ("", ".") else prefix.rstrip("/") + "/"


def _loaded(folder: Folder, tree: Tree, shown: str) -> Loaded:
    prefix = prefix_of(shown, is_file=bool(tree.only))
    flaws = sorted(folder.flaws, key=lambda flaw: flaw.sort_key())
    desired, broken = folder.desired, folder.broken
    if tree.only:
        flaws = [flaw for flaw in flaws if flaw.file == tree.only or flaw.is_shared]
        desired = {name: want for name, want in desired.items() if want.source.file == tree.only}
    return Loaded(
        fleet=folder.fleet,
        desired=desired,
        problems=tuple(dict.fromkeys(flaw.as_problem(prefix) for flaw in flaws)),
        broken_names=broken,
        complete=not any(flaw.severity == "error" or flaw.unreadable for flaw in flaws),
        root=tree.root,
        files=folder.file_count,
        digest=folder.revision,
        single_file=bool(tree.only),
        declared_workloads=folder.workloads,
        folder=folder,
    )
