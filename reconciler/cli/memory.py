"""
`haymaker memory`: what a deployment remembers over its runs.
"""

from __future__ import annotations

from reconciler.app import App
from reconciler.cli.common import NAME, output_option
from reconciler.cli.output import DOCUMENTS, clean, columns, document, utc
from reconciler.cli.spec import Command


def run(*, name: str, output: str) -> int:
    from agent_haymaker.memory import MemoryStore
    from reconciler.lookup import find_one

    app = App()
    found = find_one(app, name)
    try:
        with MemoryStore(app.home / "memory" / found.id, read_only=True) as store:
            memories = store.everything()
    except FileNotFoundError:
        memories = []
    if output in DOCUMENTS:
        items = [{"kind": m.kind, "text": m.text, "at": utc(m.at), "run": m.run or None} for m in memories]
        print(document({"kind": "MemoryList", "name": found.name, "id": found.id, "items": items}, output))
    elif memories:
        print(columns(("AT", "KIND", "TEXT"), [(utc(m.at) or "", m.kind, clean(m.text)) for m in memories]))
    else:
        print(f"{found.name} remembers nothing; `enable_memory: true` in its config lets a goal agent remember")
    return 0


COMMAND = Command(
    run,
    help="""Show what a deployment remembers: facts its agent learned, outcomes of its runs, oldest first.

    It outlives runs and generations, and is removed with the deployment.
    """,
    takes=(NAME, output_option("table", *DOCUMENTS)),
)
