"""
`haymaker explain`: the help of a field, as its model says it.
"""

from __future__ import annotations

from reconciler.cli.common import output_option
from reconciler.cli.output import DOCUMENTS, columns, document
from reconciler.cli.spec import Argument, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from reconciler.manifest.schemas import Field


def run(*, field: str, output: str) -> int:
    from reconciler.manifest.schemas import explain

    found = explain(field)
    if output in DOCUMENTS:
        record = {"kind": "Explanation", "path": found.of.name, "of": found.kind, **_to_json(found.of)}
        inside = [{"name": item.name, **_to_json(item)} for item in found.fields]
        print(document(record | {"fields": inside}, output))
        return 0
    print(f"{found.of.name}  <{found.of.type}>" + ("  required" if found.of.required else ""))
    if found.of.default:
        print(f"default: {found.of.default}")
    if found.of.description:
        print(f"\n{_folded(found.of.description)}")
    if found.fields:
        print()
        rows = [(f.name, f.type, "required" if f.required else f.default, f.description) for f in found.fields]
        print(columns(("FIELD", "TYPE", "DEFAULT", "MEANING"), rows))
    return 0


def _to_json(field: Field) -> dict[str, object]:
    return {
        "type": field.type,
        "default": field.default or None,
        "required": field.required,
        "description": field.description,
    }


def _folded(text: str) -> str:
    from textwrap import fill

    return fill(" ".join(text.split()), 100)


COMMAND = Command(
    run,
    help="""Explain a kind or a field of a manifest: deployment, deployment.spec.run, fleet.spec.sync.prune.""",
    takes=(
        Argument("field", "KIND[.FIELD...]", completes="field"),
        output_option("text", "json", "yaml"),
    ),
)
