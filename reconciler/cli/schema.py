"""
`haymaker schema`: the JSON Schema of a kind, for editors and other tools.
"""

from __future__ import annotations

from reconciler.cli.spec import Argument, Command


def run(*, kind: str) -> int:
    import json

    from reconciler.manifest.schemas import schema

    print(json.dumps(schema(kind), indent=2, ensure_ascii=False))
    return 0


COMMAND = Command(
    run,
    help="""Print the JSON Schema of a kind: workload, deployment or fleet.

    Name it at the top of a manifest and editors complete and check it: # yaml-language-server: $schema=FILE
    """,
    takes=(Argument("kind", "KIND", completes="kind"),),
)
