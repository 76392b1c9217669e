"""
`haymaker explain`: the help of a field, as its model says it.
"""

from __future__ import annotations

from reconciler.cli.common import output_option
from reconciler.cli.output import columns, document
from reconciler.cli.spec import Argument, Command


def run(*, field: str, output: str) -> int:
    from reconciler.manifest.schemas import explain

    found = explain(field)
    if output == "json":
        inside = [{"name": name, "type": kind, "description": text} for name, kind, text in found.fields]
        record = {"kind": "Explanation", "path": found.path, "of": found.kind, "type": found.type}
        print(document(record | {"default": found.default or None, "description": found.description, "fields": inside}))
        return 0
    print(f"{found.path}  <{found.type}>")
    if found.default:
        print(f"default: {found.default}")
    if found.description:
        print(f"\n{_folded(found.description)}")
    if found.fields:
        print()
        print(columns(("FIELD", "TYPE", "MEANING"), found.fields))
    return 0


def _folded(text: str) -> str:
    from textwrap import fill

    return fill(" ".join(text.split()), 100)


COMMAND = Command(
    run,
    help="""Explain a kind or a field of a manifest: deployment, deployment.spec.run, fleet.spec.sync.prune.""",
    takes=(
        Argument("field", "KIND[.FIELD...]"),
        output_option("text", "json"),
    ),
)
