"""
`haymaker tell`: queue an instruction for an agent. It is a file in the inbox of the agent's workspace.
"""

from __future__ import annotations

import sys

from reconciler.app import App
from reconciler.cli.common import NAME
from reconciler.cli.spec import Argument, Command

INBOX = "inbox"
MOST_BYTES = 64 * 1024
_NOT_FOR_LONG = "a new generation begins in an empty one, so what is to last belongs into its goal"


def run(*, name: str, text: str) -> int:
    from agent_haymaker.engines import Handle
    from agent_haymaker.errors import BlockedError, UsageError
    from reconciler.lookup import find_one
    from reconciler.model import RunPhase

    if text == "-":
        text = sys.stdin.read()
    if not text.strip():
        raise UsageError("there is nothing to tell", fix='say it: haymaker tell NAME "Leave out the appendix."')
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise UsageError(f"an instruction has at most {MOST_BYTES} bytes", fix="put it into a file, and name that")
    app = App()
    found = find_one(app, name)
    run = found.entry.run if found.entry is not None else None
    if run is None or run.handle is None:
        raise BlockedError(
            f"{found.name} has not run yet, so nobody could be told",
            where=found.id,
            fix="put it into its goal, or tell it once it runs",
        )
    # Sorted by name they are in order; the second part keeps two of the same moment apart.
    file = f"{INBOX}/{int(app.now() * 1000):014d}-{app.new_id()}.md"
    app.engine.deliver(Handle.from_json(run.handle), file, text.strip().encode("utf-8", "replace") + b"\n")
    is_running = found.seen is not None and found.seen.phase is RunPhase.RUNNING
    when = "at the end of its turn" if is_running else f"when it runs again in its workspace; {_NOT_FOR_LONG}"
    print(f"queued for {found.name}: it hears of it {when}")
    return 0


COMMAND = Command(
    run,
    help="""Queue an instruction for an agent's next turn.

    TEXT is what to tell it; - reads it from standard input. The agent takes it over exactly once, before its next
    attempt; `haymaker logs NAME` shows when. Goal agents listen; what another agent makes of its inbox is its own
    affair.
    """,
    takes=(NAME, Argument("text", "TEXT")),
)
