"""
The JSON Schemas of the three kinds and the help of each field, from the models.

    python -m reconciler.manifest.schemas [FOLDER]     writes schemas/*.schema.json
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import UsageError
from reconciler.manifest.fleet_models import FlatWorkload, Fleet, Workload
from reconciler.manifest.models import Deployment
from reconciler.manifest.units import format_duration, format_size
from reconciler.manifest.validate import nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

MODELS: dict[str, type[BaseModel]] = {"deployment": Deployment, "fleet": Fleet, "workload": Workload}
_DIALECT = {
    "type": "object",
    "description": "Settings of its deployments: key: {type, default, enum, min, max, required, description, ...}.",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "type": {"enum": ["string", "integer", "number", "boolean", "array", "object"]},
            "default": {"description": "The value where a manifest gives none."},
            "enum": {"type": "array", "minItems": 1},
            "min": {"type": "number"},
            "max": {"type": "number"},
            "required": {"type": "boolean"},
            "description": {"type": "string"},
            "items": {"type": "object"},
            "properties": {"type": "object"},
            "format": {"const": "file", "description": "The value is a file's path; its content counts."},
            "sensitive": {"type": "boolean", "description": "It may not stand in a manifest; use env valueFrom."},
            "restart": {"type": "boolean", "description": "false: a change applies without a restart."},
        },
    },
}


@dataclass(frozen=True, slots=True)
class Field:
    """The help of one field. `default` is as it would stand in a manifest, "" where there is none."""

    name: str
    type: str
    default: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A kind or field that was asked for (`of.name` is its whole path), and the fields inside it."""

    kind: str
    of: Field
    fields: tuple[Field, ...]


def schema(kind: str) -> dict[str, Any]:
    """
    Return the JSON Schema (2020-12) of a kind's manifests, in any case and number: deployment, Fleets.

    Raises:
        UsageError: there is no such kind.
    """
    name = _kind(kind)
    made = deepcopy(_model_schema(name))
    if name == "workload":
        flat = FlatWorkload.model_json_schema(by_alias=True)
        _tidy(flat)
        made["$defs"].update(flat.pop("$defs", {}))
        made["$defs"]["WorkloadSpec"]["properties"]["configSchema"] = _DIALECT
        flat["properties"]["config_schema"] = _DIALECT
        flat["additionalProperties"] = True  # other keys only warn, and x-* is free
        flat["not"] = {"required": ["apiVersion"]}
        made["$defs"]["FlatWorkload"] = flat
        enveloped = {key: made.pop(key) for key in ("properties", "required", "type", "additionalProperties")}
        enveloped["description"] = made["description"]
        made["anyOf"] = [enveloped, {"$ref": "#/$defs/FlatWorkload"}]
    made["title"] = f"haymaker {name.capitalize()}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def explain(path: str) -> Explained:
    """
    Return the help of `deployment.spec.run.timeout`, `fleet`, `workload.spec.command`.

    Raises:
        UsageError: there is no such kind or field; names the nearest.
    """
    first, *steps = [step.partition("[")[0] for step in path.split(".")]
    name = _kind(first)
    whole = _model_schema(name)
    at: dict[str, Any] = whole
    required = False
    for index, step in enumerate(steps):
        inner = _inside(at, whole)
        known = inner.get("properties", {})
        if step not in known:
            near = nearest(step, known)
            shown = ".".join((first, *steps[:index]))
            fix = f"did you mean {shown}.{near}?" if near else f"its fields: {', '.join(known) or 'none'}"
            raise UsageError(f"{shown} has no field '{step}'", fix=fix)
        at, required = known[step], step in inner.get("required", ())
    inner = _inside(at, whole)
    must = inner.get("required", ())
    fields = tuple(_field(key, item, whole, required=key in must) for key, item in inner.get("properties", {}).items())
    return Explained(name, _field(path, at, whole, required=required), fields)


def _field(name: str, node: dict[str, Any], whole: dict[str, Any], *, required: bool) -> Field:
    return Field(name, _type(node, whole), _default(node), required, _description(node, whole))


@cache
def _model_schema(name: str) -> dict[str, Any]:
    made = MODELS[name].model_json_schema(by_alias=True)
    _tidy(made)
    if name == "deployment":  # the short form: only the name
        workload = made["$defs"]["DeploymentSpec"]["properties"]["workload"]
        made["$defs"]["DeploymentSpec"]["properties"]["workload"] = {
            "anyOf": [{"type": "string"}, {"$ref": workload.pop("$ref", "#/$defs/WorkloadRef")}],
            **workload,
        }
    return made


def _kind(kind: str) -> str:
    name = kind.lower()
    name = name if name in MODELS else name.removesuffix("s")
    if name not in MODELS:
        near = nearest(name, MODELS)
        raise UsageError(
            f"there is no kind '{kind}'", fix=f"did you mean {near}?" if near else f"the kinds: {', '.join(MODELS)}"
        )
    return name


def _inside(node: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """Follow references, lists and 'or nothing' to the map of fields, if there is one."""
    for option in (node, *node.get("anyOf", ()), *node.get("allOf", ())):
        if "$ref" in option:
            return _inside(whole["$defs"][option["$ref"].rpartition("/")[2]], whole)
        if "properties" in option:
            return dict(option)
        if "items" in option:
            return _inside(option["items"], whole)
    return node


def _type(node: dict[str, Any], whole: dict[str, Any]) -> str:
    if node.get("x-format") in ("duration", "size"):
        return str(node["x-format"])
    if "enum" in node or "const" in node:
        return " | ".join(map(str, node.get("enum") or [node["const"]]))
    if "anyOf" in node:
        kinds = [_type(option, whole) for option in node["anyOf"] if option.get("type") != "null"]
        return " | ".join(dict.fromkeys(kinds))
    if "$ref" in node:
        return _type(whole["$defs"][node["$ref"].rpartition("/")[2]], whole)
    if node.get("type") == "array":
        return f"list of {_type(node.get('items', {}), whole)}"
    kind = str(node.get("type", "any"))
    return {"object": "map", "string": "text", "integer": "number", "boolean": "true | false"}.get(kind, kind)


def _description(node: dict[str, Any], whole: dict[str, Any]) -> str:
    return str(node.get("description") or _inside(node, whole).get("description") or "")


def _default(node: dict[str, Any]) -> str:
    """Give the default; a map that is filled in field by field has none of its own."""
    default = node.get("default")
    if "default" not in node or (isinstance(default, dict) and default):
        return ""
    if default is None:
        return "none"
    return default if isinstance(default, str) else json.dumps(default)


def _tidy(node: Any) -> None:
    """Write defaults the way a manifest does, and drop what helps no editor."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            node.pop("title")
        unit = _unit(node)
        if unit:
            node["x-format"] = unit
        default = node.get("default")
        if unit == "duration" and isinstance(default, int | float):
            node["default"] = format_duration(default)
        elif unit == "size" and isinstance(default, int):
            node["default"] = format_size(default)
        for key, item in node.items():
            if key != "default":
                _tidy(item)
        node.pop("x-unit", None)


def _unit(node: dict[str, Any]) -> str | None:
    options = (node, *node.get("anyOf", ()))
    return next((str(option["x-unit"]) for option in options if isinstance(option, dict) and "x-unit" in option), None)


def write_schemas(folder: Path) -> list[Path]:
    """Write the schema of every kind; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in MODELS:
        path = folder / f"{kind}.schema.json"
        path.write_text(json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n")
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas")):
        print(written)
