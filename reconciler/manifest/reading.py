"""One file: its bytes, its text, its documents, and what is wrong with each of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.manifest.trees import Unreadable, blob_name
from reconciler.manifest.validate import declare, name_of
from reconciler.manifest.yamlreader import MAX_BYTES, read_documents
from reconciler.model.desired import FleetPolicy

if TYPE_CHECKING:
    from reconciler.manifest.cache import Entry, Folder
    from reconciler.manifest.problems import Flaws
    from reconciler.manifest.trees import Stamp, Tree
    from reconciler.manifest.validate import Declared

_KIND = re.compile(r"^kind:[ \t]*['\"]?(\w+)", re.MULTILINE)
_NAME = re.compile(
    r"^metadata:(?:[ \t]*\{[^}\n]*?\bname:[ \t]*|(?:[ \t]*(?:#.*)?\n[ \t]+.*)*?\n[ \t]+name:[ \t]*)"
    r"['\"]?([a-z0-9][-a-z0-9]{0,62})",
    re.MULTILINE,
)


@dataclass(slots=True)
class Reading:
    """One file of this pass: its documents when it was parsed, its entry when the cache vouches for it."""

    file: str
    stamp: Stamp | None
    blob: str = ""
    declared: list[Declared] = field(default_factory=list)
    entry: Entry | None = None


class FileReader:
    """Reads files one at a time, and remembers whose manifests were wrong."""

    def __init__(self, tree: Tree, kept: Folder, flaws: Flaws) -> None:
        self.tree = tree
        self.kept = kept
        self.flaws = flaws
        self.fleet = FleetPolicy()
        self.unknown_fleet = False  # a Fleet is there, but cannot be understood
        self.broken: set[str] = set()  # deployments
        self.broken_workloads: dict[str, str] = {}  # name -> where
        self.shared: set[str] = set()  # files that declare a Fleet or a workload, right or wrong

    def parse(self, file: str) -> Reading:
        path = os.path.join(self.tree.root, file)
        try:
            self.tree.real(path)
            content, stamp = self.tree.read(path, MAX_BYTES)
        except Unreadable as error:
            self.flaws.add(error.what, fix=error.fix, file=file, unreadable=True)
            self._keep_last_good(file)
            return Reading(file, None)
        reading = Reading(file, stamp, blob_name(content))
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            column = error.start - content.rfind(b"\n", 0, error.start)
            self.flaws.add(
                "the file is not UTF-8", fix="save it as UTF-8", file=file, line=line, column=column, unreadable=True
            )  # fmt: skip
            self._keep_last_good(file)
            return reading
        if not text.strip():
            self.flaws.add(
                "the file is empty; nothing is deleted while it is",
                fix="write it, delete it, or list it in .haymakerignore", file=file, severity="warning",
                unreadable=True,
            )  # fmt: skip
            self._keep_last_good(file)
            return reading
        documents, faults = read_documents(text)
        for fault in faults:
            kind, name = _KIND.search(fault.chunk), _NAME.search(fault.chunk)
            guess = name[1] if name and (kind is None or kind[1] == "Deployment") else None
            if kind is None or kind[1] == "Fleet":
                self.unknown_fleet |= kind is not None
            if guess:
                self.broken.add(guess)
            self.flaws.add(
                fault.what, fix=fault.fix, file=file, line=fault.line, column=fault.column, name=guess, unreadable=True
            )  # fmt: skip
        for document in documents:
            before = len(self.flaws.found)
            declared = declare(document, file, self.flaws)
            if declared is not None:
                reading.declared.append(declared)
                if declared.kind != "Deployment":
                    self.shared.add(file)
            else:
                self._note_broken(document.value, file, before)
        return reading

    def _note_broken(self, value: Any, file: str, before: int) -> None:
        """Remember whose manifest is wrong, so that what last was right stays in force for it."""
        value = value if isinstance(value, dict) else {}
        name = name_of(value)
        if value.get("kind", "Workload") in ("Fleet", "Workload"):
            self.shared.add(file)
        flaw = self.flaws.found[before] if len(self.flaws.found) > before else None
        where = f"{file}:{flaw.line}" if flaw else file
        if value.get("kind") == "Fleet":
            self.unknown_fleet = True
            self.fleet = FleetPolicy(name=name) if name else self.fleet
        elif value.get("kind") == "Workload" and name:
            self.broken_workloads[name] = where
        elif "kind" not in value and isinstance(value.get("name"), str):
            self.broken_workloads[value["name"]] = where
        elif name:
            self.broken.add(name)

    def _keep_last_good(self, file: str) -> None:
        """Take the names that a file declared when it was last read: what it says now is not known."""
        entry = self.kept.last_entry(file)
        if entry is not None:
            self.broken.update(entry.deployments)
            self.unknown_fleet |= entry.fleet is not None
