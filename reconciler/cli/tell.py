"""
`haymaker tell`: queue an instruction for an agent. It is a file in the inbox of the agent's workspace.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from reconciler.app import App
from reconciler.cli.common import NAME
from reconciler.cli.spec import Argument, Command

if TYPE_CHECKING:
    from reconciler.inventory import Entry
    from reconciler.lookup import Found
    from reconciler.model.observed import Observed

INBOX = "inbox"
MOST_BYTES = 64 * 1024
GOAL_AGENT = "haymaker_goal_agent"
"""The module that every goal agent's command runs; it listens to its inbox."""


def run(*, name: str, text: str) -> int:
    from agent_haymaker.engines import Handle
    from agent_haymaker.errors import BlockedError, UsageError
    from reconciler.lookup import find_thoroughly

    if text == "-":
        text = sys.stdin.read()
    if not text.strip():
        raise UsageError("there is nothing to tell", fix='say it: haymaker tell NAME "Leave out the appendix."')
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise UsageError(f"an instruction has at most {MOST_BYTES} bytes", fix="put it into a file, and name that")
    app = App()
    found = find_thoroughly(app, name)
    if found.entry is None or found.seen is None:
        raise BlockedError(
            f"{found.name} was not deployed by haymaker, which does not know where it works",
            where=found.unmanaged,
            fix="ask whoever runs it; `haymaker list` shows what haymaker deployed",
        )
    run = found.entry.run
    if run is None or run.handle is None:
        raise BlockedError(
            f"{found.name} has not run yet, so nobody could be told",
            where=found.id,
            fix="put it into its goal, or tell it once it runs",
        )
    # Sorted by name they are in order; the second part keeps two of the same moment apart.
    file = f"{INBOX}/{int(app.now() * 1000):014d}-{app.new_id()}.md"
    app.engine.deliver(Handle.from_json(run.handle), file, text.strip().encode("utf-8", "replace") + b"\n")
    print(f"queued for {found.name}: {_who_hears(found, found.entry, found.seen, file)}")
    return 0


def _who_hears(found: Found, entry: Entry, seen: Observed, file: str) -> str:
    """Say when an instruction is heard, and what to do where it may never be."""
    from reconciler.model.observed import RunPhase

    if GOAL_AGENT not in entry.desired.get("recipe", {}).get("argv", ()):
        return (
            f"it is no goal agent (its workload is {found.workload}), so nobody may ever read {file} in its workspace; "
            f"to have it do something else, change its manifest ({entry.source}) and apply"
        )
    if seen.phase is RunPhase.RUNNING:
        return "it hears of it at the end of its turn"
    if seen.phase is RunPhase.STOPPED:
        resumed = f"with desiredState: running in its manifest ({entry.source})"
        return f"it is stopped, and hears of it once it goes on: apply {resumed}"
    return (
        f"it does not run ({found.status}), and hears of it only if it runs again in its workspace, which "
        f"`haymaker why {found.name}` tells. For a new run put it into its goal and apply: that begins in an empty one"
    )


COMMAND = Command(
    run,
    help="""Queue an instruction for an agent's next turn.

    TEXT is what to tell it; - reads it from standard input. The agent takes it over exactly once, before its next
    attempt; `haymaker logs NAME` shows when. Goal agents listen; what another agent makes of its inbox is its own
    affair.
    """,
    takes=(NAME, Argument("text", "TEXT")),
)
