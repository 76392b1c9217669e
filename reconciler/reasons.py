"""
Why a run ended as it did, in its agent's own words: what `result.json` says of it.

Others wrote that file: whatever is wrong with it, or does not fit the end that was seen, is as good as nothing.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from agent_haymaker.engines import Handle
from agent_haymaker.lean import replace
from reconciler.ledger import RESULT, RESULT_BYTES
from reconciler.usage import NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_haymaker.engines import Engine
    from reconciler.inventory import Entry, Run
    from reconciler.model.observed import Observed


def may_tell_why(run: Run | None) -> bool:
    """Tell whether a run ended by itself with an exit code that asks for a reason."""
    return run is not None and run.handle is not None and run.exit_reason == "exited" and bool(run.exit_code)


def read_reason(engine: Engine, run: Run) -> str:
    """Give the reason in one line of at most NAME_LENGTH characters, its secrets in it; "" where none is told."""
    if not may_tell_why(run):
        return ""
    assert run.handle is not None, "just asked"
    with (
        contextlib.suppress(OSError, ValueError, RecursionError),
        engine.open_file(Handle.from_json(run.handle), RESULT) as file,
    ):
        record = json.loads(file.read(RESULT_BYTES))
        # The exit code tells this run's result from one that an earlier run left there.
        if isinstance(record, dict) and record.get("exit_code") == run.exit_code:
            said = record.get("reason")
            return _one_line(said) if isinstance(said, str) else ""
    return ""


def with_reason(engine: Engine, entry: Entry, seen: Observed, environ: Mapping[str, str]) -> tuple[Entry, Observed]:
    """
    Put the reason of an end that is not on record yet into both, for a look.

    A secret whose value is not known here cannot be masked: then the next pass, which resolves it, has to tell.
    """
    run = entry.run
    if run is None or run.recorded or not entry.desired or not (said := read_reason(engine, run)):
        return entry, seen
    from reconciler.redact import Redactor
    from reconciler.usage import is_cut
    from reconciler.values import secret_values

    folder = str(entry.desired.get("recipe", {}).get("source_dir", ""))
    secrets, unknown = secret_values(entry.desired.get("spec", {}), environ, folder)
    if unknown:
        return entry, seen
    said = Redactor(secrets).masked(said.encode(), cut=is_cut(said)).decode(errors="replace")
    return replace(entry, run=replace(run, said=said)), replace(seen, said=said)


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:NAME_LENGTH]
