"""
Env references that lead nowhere on this machine, each with its place in the manifest.

What another machine has is not known here, so this is no fault of the manifest: `validate` warns, a plan does not start
what needs them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent_haymaker.records import read_regular
from reconciler.manifest.problems import Flaw
from reconciler.values import unresolved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.manifest.yamlreader import Document
    from reconciler.model.desired import Desired


def find_unresolved(want: Desired, root: str, environ: Mapping[str, str]) -> list[Flaw]:
    """Give a warning for each reference of a deployment; `root` is the folder that its source is relative to."""
    found = unresolved(want.spec.get("env", ()), environ, want.recipe.source_dir)
    if not found:
        return []
    document = _document_of(want, root)
    return [_flaw(document, want, name, what, fix) for name, what, fix in found]


def place_of(want: Desired, root: str, name: str) -> str:
    """Give where the variable `name` of a deployment gets its value from: file:line:column and field."""
    return _flaw(_document_of(want, root), want, name, "", "").as_problem("").where


def _flaw(document: Document | None, want: Desired, name: str, what: str, fix: str) -> Flaw:
    from reconciler.manifest.validate import field_text  # YAML and pydantic: only to say where it stands

    path = _path_of(document, name)
    line, column = document.locate(path) if document is not None else (want.source.line, 0)
    return Flaw(what, fix, want.source.file, line, column, field_text(path), name=want.name, severity="warning")


def _document_of(want: Desired, root: str) -> Document | None:
    """Read the document that declares a deployment once more; None where it is not what it was."""
    from reconciler.manifest.validate import name_of
    from reconciler.manifest.yamlreader import MAX_BYTES, read_documents

    try:
        content = read_regular(Path(root, want.source.file), limit=MAX_BYTES)
        documents, _ = read_documents(content.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None
    return next((d for d in documents if d.line == want.source.line and name_of(d.value) == want.name), None)


def _path_of(document: Document | None, name: str) -> tuple[str | int, ...]:
    """Give the path of a variable in the document; one of the fleet's defaults has none there."""
    try:
        own = document.value["spec"]["env"] if document is not None else []
        index = next(index for index, item in enumerate(own) if item["name"] == name)
        return ("spec", "env", index, "valueFrom", *own[index]["valueFrom"])
    except (KeyError, TypeError, StopIteration):
        return ("spec", "env")
