"""Where a field comes from that a Deployment has and does not say: its workload.yaml, or its Fleet's defaults."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from reconciler.manifest.trees import Unreadable
from reconciler.manifest.validate import field_text
from reconciler.manifest.yamlreader import MAX_BYTES, read_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.manifest.defaults import FleetView
    from reconciler.manifest.trees import Tree
    from reconciler.manifest.validate import Path
    from reconciler.manifest.workloads import WorkloadDeclaration


def find_origin(path: Path, fleet: FleetView, workload: WorkloadDeclaration, tree: Tree) -> str:
    """Give the place of a field of the spec as "file:line field", "" where neither says it."""
    if says(fleet.defaults, path):
        return _place(tree, fleet.source, [("spec", "defaults", *path)])
    key = path[1:2]
    if path[0] == "config" and says(workload.config_schema, (*key, "default")):
        tails: list[Path] = [("config_schema", *key, "default"), ("spec", "configSchema", *key, "default")]
    elif says({"run": workload.run, "budget": workload.budget}, path):
        tails = [path, ("spec", *path)]
    else:
        return ""
    return _place(tree, workload.source, tails)


def says(spec: Any, path: Path) -> bool:
    """Tell whether something stands at `path`, be it nothing."""
    for step in path:
        try:
            spec = spec[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _place(tree: Tree, source: str, paths: list[Path]) -> str:
    """Give the place of the first of `paths` that the document at `source` ("file:line", or a file alone) has."""
    file, _, line = source.rpartition(":")
    if not line.isdigit():
        file, line = source, ""
    for document in _documents(tree, os.path.join(tree.root, file)):
        for path in paths if not line or document.line == int(line) else ():
            if says(document.value, path):
                return f"{file}:{document.locate(path)[0]} {field_text(path)}"
    return ""


def _documents(tree: Tree, path: str) -> Iterator[Any]:
    try:
        content, _ = tree.read(path, MAX_BYTES)
        yield from read_documents(content.decode("utf-8-sig"))[0]
    except (Unreadable, UnicodeDecodeError):
        return
