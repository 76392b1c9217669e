"""
The JSON Schemas of `success.checks`: written in place, or files that are read in, so that the digest covers them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from reconciler.manifest.trees import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.manifest.references import References
    from reconciler.manifest.validate import Declared, Path


def inline_schemas(
    declared: Declared, references: References, folder: str, checks: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Give the checks with the JSON Schemas that they name read in, and the paths of those files."""
    whole: list[dict[str, Any]] = []
    used: list[str] = []
    for index, given in enumerate(checks):
        wanted = (given["file"] or {}).get("jsonSchema")
        check = {key: value for key, value in given.items() if value is not None}
        if "file" in check:
            check.pop("timeout", None)
        if wanted is not None:
            path = ("success", "checks", index, "file", "jsonSchema")
            schema = _json_schema(declared, references, folder, wanted, path, used)
            check["file"] = {**check["file"], "jsonSchema": schema}
        whole.append(check)
    return whole, used


def _json_schema(
    declared: Declared, references: References, folder: str, wanted: Any, path: Path, used: list[str]
) -> Any:
    if isinstance(wanted, str):
        try:
            absolute, content = references.content(folder, wanted)
            used.append(absolute)
            wanted = json.loads(content)
        except Unreadable as error:
            return declared.complain(f"'{wanted}': {error.what}", error.fix, *path)
        except (ValueError, RecursionError):
            return declared.complain(f"'{wanted}' is not JSON", "write a JSON Schema there", *path)
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(wanted)
    except jsonschema.SchemaError as error:
        return declared.complain(f"not a JSON Schema: {error.message[:200]}", "correct the schema", *path)
    except RecursionError:
        return declared.complain("the schema is nested too deeply", "flatten it", *path)
    if any(not reference.startswith("#") for reference in _references(wanted)):
        return declared.complain("a $ref leads out of the schema", "use references that start with #", *path)
    return wanted


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)
