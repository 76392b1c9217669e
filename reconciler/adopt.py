"""
What the state records of a fleet tell of deployments that its inventory does not know any more.

An inventory that cannot be read is moved away by a person, and then the records are all that is known of what ran
before: each holds its whole entry but for the spec as applied. It is held against claim and kernel like any entry.
Looks only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.errors import DoubtError, PlatformError
from agent_haymaker.installation import find_install_id
from agent_haymaker.lean import replace
from agent_haymaker.records import read_record
from reconciler.records import record_ids, stamped_entry

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.inventory import Entry, Inventory

ALL_THAT_IS_LEFT = "is all that is known of it"


def find_adopted(home: Path, inventory: Inventory, fleet: str) -> dict[str, Entry]:
    """
    Give the entries of `fleet` that only state records know, by name.

    One that is not as haymaker wrote it, whose run is another install's, or that shares its name is not among them: it
    stays in the way of whoever would create a deployment of that name.
    """
    found: dict[str, list[Entry]] = {}
    for entry in find_unknown(home, inventory):
        found.setdefault(entry.name, []).append(entry)
    return {
        name: entries[0]
        for name, entries in sorted(found.items())
        if len(entries) == 1
        and entries[0].fleet == fleet
        and name not in inventory.entries
        and name not in inventory.intents
    }


def find_unknown(home: Path, inventory: Inventory) -> list[Entry]:
    """Give every entry, of any fleet, that only its state record knows."""
    known = inventory.known_ids()
    try:
        ids = record_ids(home)
    except PlatformError:
        return []  # `observe` says so
    entries = [_entry_of(home, deployment_id) for deployment_id in ids if deployment_id not in known]
    return [entry for entry in entries if entry is not None]


def _entry_of(home: Path, deployment_id: str) -> Entry | None:
    try:
        record = read_record(home / "state" / f"{deployment_id}.json")
        install = find_install_id(home)
    except (OSError, DoubtError):
        return None
    entry = stamped_entry(record, deployment_id)
    if entry is None or entry.waits == "orphaned":
        return None
    # The spec of what it runs instead, or would go back to, went with the inventory.
    entry = replace(entry, held={}, fallback="", was_healthy=False)
    return entry if entry.run is None or entry.run.key.startswith(f"{install}.{entry.id}.") else None
