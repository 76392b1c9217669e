"""
The `config_schema` dialect of workload.yaml: checks it, turns it into JSON Schema, and checks a config by it.

    key: {type, default, enum, min, max, required, description, items, properties, format: file, sensitive, restart,
          requires: {value: {module, install, env: [any of these], by: {env, default, values: {value: {module, ...}}}}}}

It is the only source of a config's defaults. Errors come as (path in the config, what, fix) and never hold the value
of a key that is `sensitive`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]
Wrong = tuple[Path, str, str]
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,),
}  # fmt: skip
_WORDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a map of keys",
}  # fmt: skip
_FLAGS = ("required", "sensitive", "restart")
KEYS = frozenset(
    {"type", "default", "enum", "min", "max", "description", "items", "properties", "format", "requires", *_FLAGS}
)
_REQUIRES = frozenset({"module", "install", "env", "by"})
_BY = frozenset({"env", "default", "values"})
ABSENT = "x-absent"
"""Where `installed_schema` notes which module is not installed."""
GOAL_KEY = "goal_file"


def check_schema(schema: Any, path: Path = ("config_schema",)) -> Iterator[tuple[Path, str, str, str]]:
    """Yield what is wrong with a schema itself, as (path, what, fix, severity)."""
    if not isinstance(schema, dict):
        yield path, "must be a map of keys", "write key: {type: string}", "error"
        return
    for key, entry in schema.items():
        yield from _check_entry(entry, (*path, key))


def _check_entry(entry: Any, path: Path) -> Iterator[tuple[Path, str, str, str]]:
    if not isinstance(entry, dict):
        yield path, "must be a map such as {type: string}", "write {type: ...}", "error"
        return
    kind = entry.get("type")
    for key in entry.keys() - KEYS:
        if not key.startswith("x-"):
            yield (*path, key), f"'{key}' means nothing in config_schema and is not enforced", "remove it", "warning"
    if kind is not None and (not isinstance(kind, str) or kind not in TYPES):
        yield (*path, "type"), f"there is no type {kind!r}", f"use {', '.join(TYPES)}", "error"
        return
    if "enum" in entry and (not isinstance(entry["enum"], list) or not entry["enum"]):
        yield (*path, "enum"), "must be a list with at least one value", "write enum: [a, b]", "error"
        return
    if entry.get("format", "file") != "file":
        yield (*path, "format"), "the only format is file", "write format: file, or remove it", "error"
        return
    if entry.get("format") == "file" and kind not in (None, "string"):
        yield (*path, "format"), "a file's path is a string", "write type: string", "error"
    for bound in ("min", "max"):
        if bound in entry and not _is_type(entry[bound], "number"):
            yield (*path, bound), "must be a number", "write a number", "error"
            return
    low, high = entry.get("min"), entry.get("max")
    if low is not None and high is not None and low > high:
        yield (*path, "max"), f"max is {high}, below min, which is {low}", "exchange them", "error"
        return
    for flag in _FLAGS:
        if flag in entry and not isinstance(entry[flag], bool):
            yield (*path, flag), "must be true or false", "write true or false", "error"
    if entry.get("sensitive") is True and entry.get("default") is not None:
        yield (*path, "default"), "a sensitive key's value may not stand in a file", "remove the default", "error"
        return
    needs = entry.get("requires", {})
    if not isinstance(needs, dict) or not all(map(_is_need, needs.values())):
        yield (
            (*path, "requires"),
            "must map values to what they need",
            "write {value: {module: ..., install: ...}}",
            "error",
        )
    if "items" in entry:
        yield from _check_entry(entry["items"], (*path, "items"))
    if "properties" in entry:
        yield from check_schema(entry["properties"], (*path, "properties"))
    if entry.get("default") is not None:
        for at, what, fix in _check_value(entry["default"], entry, ()):
            yield (*path, "default", *at), f"the default does not fit its own rule: {what}", fix, "error"
            return


def is_file(key: str, entry: Any) -> bool:
    """Say whether a key's value is the path of a file; `goal_file` is so without being told."""
    return key == GOAL_KEY or (isinstance(entry, dict) and entry.get("format") == "file")


def fill_defaults(config: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the config with every default written out, sorted by key, nested objects too."""
    filled = dict(config)
    for key, entry in schema.items():
        if key not in filled and entry.get("default") is not None:
            filled[key] = entry["default"]
        if isinstance(filled.get(key), dict) and entry.get("properties"):
            filled[key] = fill_defaults(filled[key], entry["properties"])
    return dict(sorted(filled.items()))


def check_config(config: dict[str, Any], schema: dict[str, Any], path: Path = ()) -> Iterator[Wrong]:
    """Yield what is wrong with a config (defaults filled in). An empty schema at the top takes anything."""
    if not schema:
        return
    for key, value in config.items():
        entry = schema.get(key)
        if entry is None:
            from reconciler.manifest.validate import nearest

            near = nearest(key, schema)
            keys = "the keys here are: " + ", ".join(sorted(schema))
            yield (*path, key), f"unknown key '{key}'", f"did you mean '{near}'?" if near else keys
        elif entry.get("sensitive"):
            yield (
                (*path, key), f"'{key}' is sensitive and may not stand in a manifest", "pass it with env valueFrom"
            )  # fmt: skip
        else:
            yield from _check_value(value, entry, (*path, key))
    for key, entry in schema.items():
        if entry.get("required") and key not in config and not entry.get("sensitive"):
            yield (*path, key), f"'{key}' is required", f"set {'.'.join(map(str, ('config', *path, key)))}"


def installed_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of an installed workload, noting which values need a Python module that is not there."""
    marked = {}
    for key, entry in schema.items():
        needs = (entry.get("requires") or {}) if isinstance(entry, dict) else {}
        marked[key] = {**entry, "requires": {v: _marked(need) for v, need in needs.items()}} if needs else entry
    return marked


def _marked(need: dict[str, Any]) -> dict[str, Any]:
    absent = next((module for module in _modules(need) if not _is_installed(module)), None)
    if absent is not None:
        return {**need, ABSENT: absent}
    if (by := need.get("by")) is None:
        return need
    return {**need, "by": {**by, "values": {value: _marked(further) for value, further in by["values"].items()}}}


def _modules(need: dict[str, Any]) -> list[str]:
    found = need.get("module") or []
    return [found] if isinstance(found, str) else found


def _is_installed(module: str) -> bool:
    """Look for a module without importing any of it, not even the packages above it."""
    from importlib.util import find_spec

    top, *inside = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None or not inside:
        return spec is not None
    places = [os.path.join(place, *inside) for place in spec.submodule_search_locations or ()]
    return any(os.path.isdir(place) or os.path.isfile(place + ".py") for place in places)


def _is_need(need: Any) -> bool:
    if not isinstance(need, dict) or not need.keys() <= _REQUIRES:
        return False
    module, by = need.get("module", ""), need.get("by", {"env": "", "values": {}})
    names = all(isinstance(name, str) for name in (module if isinstance(module, list) else [module]))
    fits = isinstance(by, dict) and by.keys() <= _BY and isinstance(by.get("env"), str)
    return names and fits and isinstance(by.get("values"), dict) and all(map(_is_need, by["values"].values()))


def unmet(config: dict[str, Any], schema: dict[str, Any], env: dict[str, str | None]) -> Iterator[Wrong]:
    """
    Yield what the values of a config need and do not have.

    `env` maps the names that the manifest's env sets to their values, None where a value comes from elsewhere.
    """
    for key, value in config.items():
        needs = (schema.get(key) or {}).get("requires") or {}
        if isinstance(value, bool):
            need, whose = needs.get(_show(value)), f"{key}: {_show(value)}"
        else:
            need, whose = needs.get(value) if isinstance(value, str) else None, _show(value)
        if need is not None:
            yield from _unmet(need, whose, (key,), env)


def _unmet(need: dict[str, Any], whose: str, path: Path, env: dict[str, str | None]) -> Iterator[Wrong]:
    if ABSENT in need:
        what = f"{whose} needs the Python package {need[ABSENT]}, which is not installed"
        yield path, what, need.get("install") or f"install {need[ABSENT]}"
    names = need.get("env") or []
    if names and not env.keys() & set(names):
        yield path, f"{whose} needs {' or '.join(names)} in its environment", "set one in spec.env"
    if (by := need.get("by")) is None or (chosen := env.get(by["env"], "")) is None:
        return
    chosen = chosen.strip() or by.get("default", "")
    if (further := by["values"].get(chosen)) is not None:
        yield from _unmet(further, f"{whose} with {by['env']} {_show(chosen)}", path, env)
    else:
        yield path, f"{whose} knows no {by['env']} {_show(chosen)}", f"set one of {', '.join(by['values'])}"


def _check_value(value: Any, entry: dict[str, Any], path: Path) -> Iterator[Wrong]:
    kind = entry.get("type")
    if kind is not None and not _is_type(value, kind):
        got = "it is empty" if value is None else f"got {_show(value)}"
        fix = "quote it" if kind == "string" and isinstance(value, int | float) else f"write {_WORDS[kind]}"
        yield path, f"must be {_WORDS[kind]}, {got}", fix
        return
    if "enum" in entry and not any(_same(value, item) for item in entry["enum"]):
        allowed = ", ".join(_show(item) for item in entry["enum"])
        yield path, f"must be one of {allowed}, got {_show(value)}", "choose one of them"
        return
    yield from _check_bounds(value, entry, path)
    if isinstance(value, list) and isinstance(entry.get("items"), dict):
        for index, item in enumerate(value):
            yield from _check_value(item, entry["items"], (*path, index))
    if isinstance(value, dict) and entry.get("properties"):
        yield from check_config(value, entry["properties"], path)


def _check_bounds(value: Any, entry: dict[str, Any], path: Path) -> Iterator[Wrong]:
    if isinstance(value, bool) or not isinstance(value, int | float | str | list):
        return
    size = len(value) if isinstance(value, str | list) else value
    unit = " characters" if isinstance(value, str) else " items" if isinstance(value, list) else ""
    low, high = entry.get("min"), entry.get("max")
    if low is not None and high is not None and not low <= size <= high:
        yield path, f"must be {low} to {high}{unit}, got {size}", "set a value in range"
    elif low is not None and size < low:
        yield path, f"must be at least {low}{unit}, got {size}", "set a value in range"
    elif high is not None and size > high:
        yield path, f"must be at most {high}{unit}, got {size}", "set a value in range"


def to_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema that accepts what `check_config` accepts (sensitive keys are forbidden in manifests)."""
    if not schema:
        return {"type": "object"}
    properties = {key: False if entry.get("sensitive") else _entry_schema(entry) for key, entry in schema.items()}
    required = sorted(key for key, entry in schema.items() if entry.get("required") and not entry.get("sensitive"))
    return {"type": "object", "properties": properties, "additionalProperties": False} | (
        {"required": required} if required else {}
    )


def _entry_schema(entry: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {key: entry[key] for key in ("type", "description", "default", "enum") if key in entry}
    for bound, words in (
        ("min", ("minimum", "minLength", "minItems")),
        ("max", ("maximum", "maxLength", "maxItems")),
    ):
        if bound in entry:
            result.update(dict.fromkeys(words, entry[bound]))
            if isinstance(entry[bound], float) or entry[bound] < 0:  # lengths are whole and not negative
                result.pop(words[1])
                result.pop(words[2])
    if isinstance(entry.get("items"), dict):
        result["items"] = _entry_schema(entry["items"])
    if entry.get("properties"):
        result |= {key: value for key, value in to_json_schema(entry["properties"]).items() if key != "type"}
    return result


def _is_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])


def _same(value: Any, item: Any) -> bool:
    return value == item and isinstance(value, bool) == isinstance(item, bool)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value if len(value) <= 60 else value[:57] + '...'}'"
    return {dict: "a map", list: "a list", type(None): "nothing"}.get(type(value), str(value))
