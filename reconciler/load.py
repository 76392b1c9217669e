"""
Loading: a folder of YAML files → `Desired`, the fleet's policy, and everything that is wrong.

Loading never fails halfway: each document is judged alone, what is wrong is listed, what is right is returned. It
writes nothing but its cache, starts nothing, and knows nothing of what runs.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_haymaker.errors import ManifestError
from reconciler.manifest.cache import Folder
from reconciler.manifest.problems import Problem
from reconciler.manifest.trees import Tree, WorkTree

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.manifest.workloads import WorkloadDeclaration
    from reconciler.model import Desired, FleetPolicy

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


def load(path: Path, *, home: Path | None, strict: bool = False, tree: Tree | None = None) -> Loaded:
    """
    Read a folder (or one file) of manifests.

    `home` is where the cache lives; None reads everything anew and writes nothing. `strict` makes errors of
    warnings. `tree` reads from elsewhere than the disk; `path` is then only how messages name it.

    Raises:
        ManifestError: there is no such folder or file.
    """
    if tree is None:
        if not os.path.exists(path):
            raise ManifestError("there is no such folder or file", where=str(path), fix="correct the path given to -f")
        tree = WorkTree(path)
    kept = Folder()
    listing = tree.list_files(kept.listing)
    from reconciler.manifest.folder import FolderReader  # noqa: PLC0415 - YAML and pydantic, only where something changed

    folder = FolderReader(tree, listing, kept, home, strict=strict).read()
    return _loaded(folder, tree, str(path))


def _loaded(folder: Folder, tree: Tree, shown: str) -> Loaded:
    prefix = os.path.dirname(shown) if tree.only else shown
    prefix = "" if prefix in ("", ".") else prefix.rstrip("/") + "/"
    flaws = sorted(folder.flaws, key=lambda flaw: flaw.sort_key())
    return Loaded(
        fleet=folder.fleet,
        desired=folder.desired,
        problems=tuple(dict.fromkeys(flaw.as_problem(prefix) for flaw in flaws)),
        broken_names=folder.broken,
        complete=not any(flaw.severity == "error" or flaw.unreadable for flaw in flaws),
        root=tree.root,
        files=len(folder.sums),
        digest=_revision(folder, tree),
        single_file=bool(tree.only),
        declared_workloads=folder.workloads,
    )


def _revision(folder: Folder, tree: Tree) -> str:
    total = hashlib.sha256()
    for file, digest in folder.sums:
        total.update(f"{file}\0{digest}\n".encode("utf-8", "surrogateescape"))
    for path in sorted(folder.references):
        shown = os.path.relpath(path, tree.root)
        total.update(f"{shown}\0{folder.references[path][1]}\n".encode("utf-8", "surrogateescape"))
    for name in sorted(folder.installed):
        total.update(f"{name}\0{folder.installed[name]}\n".encode())
    return total.hexdigest()
