"""
The slow half of loading: reads what changed, resolves it, and looks at everything together.

A pass in which nothing changed never imports this module, and with it neither YAML nor pydantic.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.manifest import beside
from reconciler.manifest.cache import Entry, Folder, Kept, decode_folder, encode_folder
from reconciler.manifest.crosscheck import check_together
from reconciler.manifest.defaults import FleetView, default_spec, fleet_record
from reconciler.manifest.policy import usable
from reconciler.manifest.problems import Flaws
from reconciler.manifest.reading import FileReader, Reading
from reconciler.manifest.references import References
from reconciler.manifest.resolve import resolve
from reconciler.manifest.trees import Listing, Unreadable, WorkTree
from reconciler.manifest.validate import Declared, declare, nearest
from reconciler.manifest.workloads import (
    GOAL_RUNTIME,
    WorkloadDeclaration,
    installed_workloads,
    make_declaration,
    running_on,
)
from reconciler.manifest.yamlreader import MAX_BYTES, read_documents
from reconciler.model.desired import FleetPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.manifest.trees import Stamp, Tree
    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json


class FolderReader(FileReader):
    """One pass over a tree whose files are not all known from before."""

    def __init__(
        self, tree: Tree, listing: Listing, kept: Folder, home: Path | None, *, strict: bool, write: bool
    ) -> None:
        super().__init__(tree, kept, Flaws(list(listing.flaws)))
        self.listing = listing
        self.home = home
        self.strict = strict
        self.write = write
        self.references = References(tree)
        self.readings: list[Reading] = []
        self.view = FleetView()
        self.workloads: dict[str, WorkloadDeclaration] = {}
        self.places: dict[str, list[tuple[str, int]]] = {}  # deployment -> where it is declared
        self._installed: dict[str, WorkloadDeclaration] | None = None
        self._keys: dict[str, str] = {}

    def read(self) -> Folder:
        """Return everything that the folder says, with what is wrong with it."""
        self._read_in_shares()
        self.readings = [self._read_file(file, stamp) for file, stamp in self.listing.files]
        desired = self._judge_each()
        self._look_together(desired, self.places)
        return self._result(desired)

    def _judge_each(self) -> dict[str, Desired]:
        """Give the deployments as they are, each judged alone."""
        if self.strict:
            self._harden()
        self._find_fleet()
        self._find_workloads()
        desired, self.places = self._find_deployments()
        return desired

    def _read_file(self, file: str, stamp: Stamp | None) -> Reading:
        entry = self.kept.entry_for(file, stamp)
        if entry is None or (self.strict and entry.flaws):
            return self.parse(file)
        self.flaws.found.extend(entry.flaws)
        return Reading(file, stamp, entry.blob, entry=entry)

    def _read_in_shares(self) -> None:
        """Where there is much to read, let other processes help: what was read is known then, and only judged anew."""
        if not isinstance(self.tree, WorkTree):  # a commit's tree is read through one pipe
            return
        known = self.kept
        unread = [(file, stamp) for file, stamp in self.listing.files if known.entry_for(file, stamp) is None]
        ours, *theirs = beside.split(unread)
        if not theirs:
            return
        started_ns = time.time_ns()
        with beside.Helpers() as helpers:
            for share in theirs:
                helpers.start(lambda share=share: encode_folder(self._read_share(share), started_ns, default_spec()))  # type: ignore[misc]
            known.take_over(self._read_share(ours), self.tree.root)
            for answer in helpers.answers():
                with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, IndexError):
                    known.take_over(decode_folder(answer), self.tree.root)

    def _read_share(self, share: beside.Files) -> Folder:
        """Read some of the files, against what of the others seems to be a Fleet or a workload."""
        mine = {file for file, _ in share}
        others = [(file, stamp) for file, stamp in self.listing.files if file not in mine]
        whole = Listing([*share, *beside.find_context(self.tree, others)])
        reader = FolderReader(self.tree, whole, self.kept, self.home, strict=False, write=False)
        reader.readings = [reader.parse(file) for file, _ in whole.files]
        reader._judge_each()
        files = {reading.file: reading.entry for reading in reader.readings if reading.entry is not None}
        return Folder({file: entry for file, entry in files.items() if file in mine}, reader.references.digests)

    def _harden(self) -> None:
        self.flaws.found = [replace(flaw, severity="error") for flaw in self.flaws.found]

    def _find_fleet(self) -> None:
        found: list[tuple[str, Json, Declared | None]] = []
        for reading in self.readings:
            if reading.entry is not None and reading.entry.fleet is not None:
                found.append((reading.file, reading.entry.fleet, None))
            found += [(reading.file, fleet_record(d), d) for d in reading.declared if d.kind == "Fleet"]
        if len(found) > 1:
            places = " and ".join(f"{file}:{record['line']}" for file, record, _ in found)
            for file, record, _ in found:
                self.flaws.add(
                    f"there are {len(found)} Fleets, in {places}", fix="keep one Fleet in a folder",
                    file=file, line=record["line"], column=1,
                )  # fmt: skip
            self.unknown_fleet = True
        elif found:
            file, record, declared = found[0]
            self.unknown_fleet |= declared is not None and bool(self._find_errors(file, declared))
            self.fleet = FleetPolicy(**record["policy"])
            self.view = FleetView.of(record, self.tree.root, file)

    def _find_errors(self, file: str, declared: Declared) -> list[int]:
        """Give the lines of this document in which an error stands, in order."""
        end = declared.document.node.end_mark.line + 1
        return sorted(
            flaw.line
            for flaw in self.flaws.found
            if flaw.severity == "error" and flaw.file == file and declared.line <= flaw.line <= end
        )

    def _find_workloads(self) -> None:
        places: dict[str, list[tuple[str, int]]] = {}
        for index, reading in enumerate(self.readings):
            made_before = [WorkloadDeclaration.from_json(r) for r in (reading.entry.workloads if reading.entry else ())]
            if not all(self._runs_as_before(made) for made in made_before):
                reading, made_before = self._reparse(reading.file), []
                self.readings[index] = reading
            for made in made_before:
                self.workloads[made.name] = made
                places.setdefault(made.name, []).append((reading.file, made.line))
            for declared in reading.declared:
                if declared.kind != "Workload":
                    continue
                places.setdefault(declared.name, []).append((reading.file, declared.line))
                made_now = self._declare_workload(declared)
                if wrong := self._find_errors(reading.file, declared):
                    self.broken_workloads[declared.name] = f"{reading.file}:{wrong[0]}"
                elif made_now is None:
                    self.broken_workloads[declared.name] = f"{reading.file}:{declared.line}"
                else:
                    self.workloads[declared.name] = made_now
        for name, found in sorted(places.items()):
            if len(found) > 1:
                text = " and ".join(f"{file}:{line}" for file, line in found)
                for file, line in found:
                    self.flaws.add(
                        f"the workload '{name}' is declared {len(found)} times, in {text}", fix="keep one of them",
                        file=file, line=line, column=1,
                    )  # fmt: skip
                self.broken_workloads[name] = text

    def _runs_as_before(self, made: WorkloadDeclaration) -> bool:
        if made.runs_on:
            installed = self._find_installed(made.runs_on)
            return installed is not None and installed.key() == made.runs_on_key
        return bool(made.command) and all(self._is_known(path) for path in made.files)

    def _declare_workload(self, declared: Declared) -> WorkloadDeclaration | None:
        folder = os.path.dirname(os.path.join(self.tree.root, declared.file))
        before = len(self.flaws.found)
        made = make_declaration(
            declared, folder, lambda element: self.references.digest(folder, element),
            source=f"{declared.file}:{declared.line}",
        )  # fmt: skip
        if self.strict and len(self.flaws.found) > before:
            self._harden()
        if made is None or made.command:
            return made
        # Without a command it stands for the installed workload of its name, or is a prompt for the goal runtime.
        return running_on(made, self._find_installed(GOAL_RUNTIME if made.type == "prompt" else made.name))

    def _find_installed(self, name: str) -> WorkloadDeclaration | None:
        if self._installed is None:
            self._installed = installed_workloads(self.home, write=self.write)
        return self._installed.get(name)

    def _workload(self, name: str) -> WorkloadDeclaration | None:
        return self.workloads.get(name) or self._find_installed(name)

    def context(self, workload: WorkloadDeclaration) -> str:
        """Return what a cached deployment must have been resolved against to be good now."""
        if workload.name not in self._keys:
            self._keys[workload.name] = workload.key() + self.view.key()
        return self._keys[workload.name]

    def _find_deployments(self) -> tuple[dict[str, Desired], dict[str, list[tuple[str, int]]]]:
        desired: dict[str, Desired] = {}
        places: dict[str, list[tuple[str, int]]] = {}
        for index, reading in enumerate(self.readings):
            if reading.entry is not None and not self._still_good(reading.entry):
                reading = self.readings[index] = self._reparse(reading.file)
            if reading.entry is not None:
                for name, kept in reading.entry.deployments.items():
                    want = self.kept.desire(self.tree.root, reading.file, name, kept)
                    places.setdefault(name, []).append((reading.file, want.source.line))
                    desired[name] = want
                continue
            entry = Entry(reading.stamp, reading.blob)
            for declared in reading.declared:
                if declared.kind == "Fleet":
                    entry.fleet = fleet_record(declared)
                elif declared.kind == "Workload" and declared.name in self.workloads:
                    entry.workloads.append(self.workloads[declared.name].to_json())
                elif declared.kind == "Deployment":
                    places.setdefault(declared.name, []).append((reading.file, declared.line))
                    self._resolve(declared, entry, desired)
            self._keep(reading, entry)
        return desired, places

    def _resolve(self, declared: Declared, entry: Entry, desired: dict[str, Desired]) -> None:
        name = declared.spec["workload"]["name"]
        if name in self.broken_workloads:
            declared.complain(
                f"its workload '{name}' is wrong: {self.broken_workloads[name]}", "correct it first", "workload"
            )
        elif usable(declared, workload := self._workload(name), sorted({*self.workloads, *(self._installed or ())})):
            assert workload is not None
            before = len(self.flaws.found)
            resolved = resolve(declared, self.view, workload, self.references)
            warned = self.strict and len(self.flaws.found) > before
            if warned:
                self._harden()
            if resolved is not None and not warned:
                desired[declared.name] = resolved.desired
                context = self.context(workload)
                entry.deployments[declared.name] = Kept(name, context, resolved.references, resolved.desired)
                return
        self.broken.add(declared.name)

    def _still_good(self, entry: Entry) -> bool:
        for kept in entry.deployments.values():
            workload = self._workload(kept.workload)
            if workload is None or workload.name in self.broken_workloads or kept.context != self.context(workload):
                return False
            if not all(self._is_known(path) for path in kept.references):
                return False
        return True

    def _is_known(self, path: str) -> bool:
        """Say whether a referenced file is as it was, and if so take its digest over."""
        if path not in self.references.digests:
            known = self.kept.references.get(path)
            if known is None or not known.is_same(self.tree.stamp(path)):
                return False
            self.references.digests[path] = known
        return True

    def _reparse(self, file: str) -> Reading:
        self.flaws.found = [flaw for flaw in self.flaws.found if flaw.file != file or flaw.unreadable]
        return self.parse(file)

    def _keep(self, reading: Reading, entry: Entry) -> None:
        """Let the cache know a file, if nothing is wrong with it and every document of it was understood."""
        flaws = [flaw for flaw in self.flaws.found if flaw.file == reading.file]
        if reading.stamp is not None and all(f.severity == "warning" and not f.unreadable for f in flaws):
            entry.flaws = flaws
            reading.entry = entry

    def _look_together(self, desired: dict[str, Desired], places: dict[str, list[tuple[str, int]]]) -> None:
        for name, found in sorted(places.items()):
            if len(found) > 1:
                text = " and ".join(f"{file}:{line}" for file, line in found)
                for file, line in found:
                    self.flaws.add(
                        f"the deployment '{name}' is declared {len(found)} times, in {text}",
                        fix="keep one of them, or rename one", file=file, line=line, column=1, name=name,
                    )  # fmt: skip
                self.broken.add(name)
        declared = {*places, *self.broken}
        complaints = check_together(
            {name: desired[name] for name in sorted(desired) if name not in self.broken},
            declared, alone=bool(self.tree.only), nearest=nearest,
        )  # fmt: skip
        parsed = {d.name: d for reading in self.readings for d in reading.declared if d.kind == "Deployment"}
        for name, what, fix, path in complaints:
            source = desired[name].source
            if name in parsed:
                parsed[name].complain(what, fix, *path)
            else:
                self._complain_cached(name, source.file, what, fix, path)
            self.broken.add(name)

    def _complain_cached(self, name: str, file: str, what: str, fix: str, path: tuple[str | int, ...]) -> None:
        """Give a complaint about a file that was not parsed in this pass its exact place."""
        quiet = Flaws()
        try:
            content, _ = self.tree.read(os.path.join(self.tree.root, file), MAX_BYTES)
            documents, _ = read_documents(content.decode("utf-8-sig"))
        except (Unreadable, UnicodeDecodeError):
            documents = []
        for document in documents:
            declared = declare(document, file, quiet)
            if declared is not None and declared.kind == "Deployment" and declared.name == name:
                declared.flaws = self.flaws
                return declared.complain(what, fix, *path)
        return self.flaws.add(what, fix=fix, file=file, name=name)

    def _result(self, desired: dict[str, Desired]) -> Folder:
        errors = {flaw.name for flaw in self.flaws.found if flaw.severity == "error" and flaw.name}
        self.broken |= errors
        if self.unknown_fleet:  # whose they are and what their defaults are is not known
            self.broken |= desired.keys()
        if self.tree.only:
            self._narrow(self.tree.only)
        files = {reading.file: reading.entry for reading in self.readings if reading.entry is not None}
        return Folder(
            files=files,
            references=self.references.digests,
            listing=self.listing,
            fleet=self.fleet,
            workloads=self.workloads,
            installed=self._installed_in_use(desired),
            desired={name: desired[name] for name in sorted(desired) if name not in self.broken},
            flaws=self.flaws.found,
            broken=frozenset(self.broken),
            revision=self._revision(desired),
            file_count=len(self.readings),
            is_whole=len(files) == len(self.readings) and not self.broken and self._all_is_well(),
        )

    def _narrow(self, only: str) -> None:
        """Leave what is wrong in neighbouring files to those who ask about them, Fleet and workloads excepted."""
        self.flaws.found = [
            replace(flaw, is_shared=True) if flaw.file in self.shared and flaw.name is None else flaw
            for flaw in self.flaws.found
        ]
        ours = {flaw.name for flaw in self.flaws.found if flaw.file == only and flaw.severity == "error" and flaw.name}
        declared_here = {name for name, found in self.places.items() if any(file == only for file, _ in found)}
        self.broken = ours | (self.broken & declared_here)

    def _all_is_well(self) -> bool:
        return not any(flaw.severity == "error" or flaw.unreadable for flaw in self.flaws.found)

    def _installed_in_use(self, desired: dict[str, Desired]) -> dict[str, str]:
        names = {want.workload for want in desired.values()} - self.workloads.keys()
        names |= {made.runs_on for made in self.workloads.values() if made.runs_on}
        return {name: made.key() for name in sorted(names) if (made := self._find_installed(name)) is not None}

    def _revision(self, desired: dict[str, Desired]) -> str:
        """Return the sha256 over everything that was read."""
        words = [f"{reading.file}\0{reading.blob}" for reading in self.readings]
        words += sorted(
            f"{os.path.relpath(path, self.tree.root)}\0{known.sha256}"
            for path, known in self.references.digests.items()
        )
        words += [f"{name}\0{key}" for name, key in self._installed_in_use(desired).items()]
        return hashlib.sha256("\n".join(words).encode("utf-8", "surrogateescape")).hexdigest()
