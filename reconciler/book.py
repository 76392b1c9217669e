"""
The book of a pass: its intents and results in the journal, the inventory that they make, state records, history.

An intent is on disk before its effect, a result after it. Whoever writes both in that order can be killed anywhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass, field, replace
from reconciler.commit import GroupCommit, GroupWrite
from reconciler.edits import reading_of
from reconciler.history import append_history, history_line
from reconciler.inventory import Intent
from reconciler.records import state_path, state_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from reconciler.inventory import Entry, Inventory
    from reconciler.journal import Journal
    from reconciler.model.desired import Desired
    from reconciler.model.plan import Action


@dataclass(slots=True)
class Book:
    """
    What one pass writes down. `entries` are the inventory's with what was just seen of their runs worked in.

    `commit` is the git commit applied ("-dirty" after it where more than that was), `began` the instant at which its
    manifests were about to be read. Everything that writes raises PlatformError where the disk refuses.
    """

    home: Path
    inventory: Inventory
    journal: Journal
    want: Mapping[str, Desired]
    now: Callable[[], float]
    entries: dict[str, Entry]
    commit: str
    began: float
    _group: GroupCommit = field(init=False)
    _states: GroupWrite = field(init=False)

    def __post_init__(self) -> None:
        self._group = GroupCommit(self.journal)
        self._states = GroupWrite()

    def remember(self, entry: Entry, *, event: str = "ended") -> None:
        """Add a line on the entry's latest run to its history."""
        line = history_line(entry, event=event, at=self.now(), commit=self.commit)
        append_history(self.home, entry.name, line)

    async def with_state(self, entry: Entry) -> Entry:
        """Write the state record and give the entry that knows its identity."""
        want = self.want.get(entry.name)
        if want is not None and want.digest == entry.digest:
            workload, config, files = want.workload, dict(want.recipe.config), want.recipe.files
        else:
            recipe = entry.desired.get("recipe", {})
            workload, config, files = entry.workload, dict(recipe.get("config", {})), recipe.get("files", {})
        reading = reading_of(entry, files.values(), self.began) if want is not None else None
        if want is None and entry.behind:  # that its manifest is gone was read
            reading = {"read_at": self.began, "files": []}
        record = state_record(self.home, entry, workload=workload, config=config, reading=reading)
        return replace(entry, identity=await self._states.write(state_path(self.home, entry.id), record))

    async def intend(self, action: Action, entry: Entry | None, *, key: str = "") -> None:
        """Put the intent on disk. What the entry will be is part of it where a run is to be started."""
        record: dict[str, Any] = {"type": "intent", "at": self.now(), "verb": action.verb, "name": action.name}
        if entry is not None:
            record["entry"] = entry.to_json()
        if key:
            record["key"] = key
        self.journal.append(record)
        self.inventory.intend(Intent(action.name, action.verb, key, entry))
        await self.sync()

    async def conclude(self, entry: Entry | None, *, name: str = "", removes: str = "") -> None:
        """Put the result on disk: the entry as it is from now on and its state record, or that `name` is no more."""
        if entry is None:
            self.note(name, None, removes=name)
        else:
            entry = await self.with_state(entry)
            self.note(entry.name, entry, removes=removes)
        await self.sync()

    async def mark(self, behind: Mapping[str, Mapping[str, Any]]) -> None:
        """Put on disk what keeps deployments from what their manifests ask for, {} for those that agree again."""

        async def mark_one(name: str) -> None:
            self.note(name, await self.with_state(replace(self.entries[name], behind=behind[name])))

        # An intent that is still open is the next pass's to answer: a result would close it.
        await asyncio.gather(*(mark_one(name) for name in behind if name not in self.inventory.intents))
        await self.sync()

    async def begin(self, entry: Entry) -> None:
        """Put on disk that the entry's run has started, and its state record; its intent holds the rest of it."""
        run = entry.run
        assert run is not None, "only a run can begin"
        entry = await self.with_state(entry)
        self.journal.append(
            {
                "type": "started",
                "at": self.now(),
                "name": entry.name,
                "run": run.to_json(),
                "identity": entry.identity,
            }
        )
        self._take(entry.name, entry)
        await self.sync()

    async def sync(self) -> None:
        """Return when everything noted so far is on disk."""
        await self._group.commit()

    def note(self, name: str, entry: Entry | None, *, removes: str = "") -> None:
        """Add a result to the journal, to be on disk by the next sync."""
        record: dict[str, Any] = {"type": "result", "at": self.now(), "name": name}
        if entry is not None:
            record["entry"] = entry.to_json()
        if removes:
            record["removes"] = removes
        self.journal.append(record)
        self._take(name, entry, removes)

    def _take(self, name: str, entry: Entry | None, removes: str = "") -> None:
        self.inventory.take(name, entry, removes)
        if entry is not None:
            self.entries[entry.name] = entry
