"""
One document at a time: which kind it is, whether its keys and values fit the model, and what to say where they do not.

Speaks only of the document itself; what it refers to is looked at in `resolve`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from reconciler.manifest.fields import API_VERSION, DNS_LABEL, Wrong
from reconciler.manifest.fleet_models import FlatWorkload, Fleet, Workload
from reconciler.manifest.models import Deployment
from reconciler.manifest.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconciler.manifest.problems import Flaws
    from reconciler.manifest.yamlreader import Document

Path = tuple[str | int, ...]
KINDS: dict[str, type[BaseModel]] = {"Deployment": Deployment, "Fleet": Fleet, "Workload": Workload}
_FLAT_MARKS = frozenset({"version", "type", "package", "entrypoint", "config_schema", "command"})
_NOT_OURS = "remove it from this folder, or list it in .haymakerignore"

# What is parsed but not acted on yet: the field, and the only value it may have.
LATER: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("run", "schedule"), None),
    (("run", "timeZone"), "UTC"),
    (("run", "concurrencyPolicy"), "Forbid"),
)
_LATER_FLEET: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("source",), "worktree"),
    (("notify",), []),
    *((("defaults", *path), default) for path, default in LATER),
)


@dataclass(slots=True)
class Declared:
    """One valid document of ours. `spec` is normalised; `document` gives the place of each of its fields."""

    kind: str  # Deployment, Fleet, Workload
    name: str
    file: str
    document: Document
    flaws: Flaws
    raw: dict[str, Any] = field(default_factory=dict)  # the spec as written (a flat workload: the whole document)
    spec: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    is_flat: bool = False
    # Where a field comes from that the document does not say, "" where nobody knows: "workload.yaml:7 run.backoff".
    origin: Callable[[Path], str] | None = None

    @property
    def line(self) -> int:
        return self.document.line

    def complain(self, what: str, fix: str, *path: str | int, severity: str = "error") -> None:
        """Note a flaw at a field of this document's spec (of the document itself without a path)."""
        if path and self.origin is not None and (place := self.origin(path)):
            what = f"{place}: {what}"
        full: Path = path if self.is_flat else (("spec", *path) if path else ())
        line, column = self.document.locate(full)
        self.flaws.add(
            what, fix=fix, file=self.file, line=line, column=column, field=field_text(full),
            name=self.name if self.kind == "Deployment" else None, severity=severity,
        )  # fmt: skip


def declare(document: Document, file: str, flaws: Flaws) -> Declared | None:
    """Return what a document declares, or None after noting everything that is wrong with it."""
    name = name_of(document.value)
    owner = name if isinstance(document.value, dict) and document.value.get("kind") == "Deployment" else None
    for fault in document.faults:
        flaws.add(
            fault.what, fix=fault.fix, file=file, line=fault.line, column=fault.column,
            field=field_text(fault.path), name=owner,
        )  # fmt: skip
    if document.faults:
        return None
    kind = _kind_of(document, file, flaws)
    if kind is None:
        return None
    if kind == "flat":
        return _declare_flat(document, file, flaws)
    if (model := _validate(KINDS[kind], document, document.value, file, flaws, owner)) is None:
        return None
    dumped = model.model_dump(by_alias=True)
    metadata = dumped["metadata"]
    declared = Declared(
        kind, metadata["name"], file, document, flaws, document.value.get("spec") or {}, dumped["spec"],
        metadata["labels"], metadata["annotations"],
    )  # fmt: skip
    refuse_later(declared, LATER if kind == "Deployment" else _LATER_FLEET if kind == "Fleet" else (), declared.spec)
    return declared


def _declare_flat(document: Document, file: str, flaws: Flaws) -> Declared | None:
    known = FlatWorkload.model_fields
    value = {key: item for key, item in document.value.items() if key in known}
    for key in document.value:
        if key in known or key.startswith("x-"):
            continue
        line, column = document.locate((key,))
        near = nearest(key, known)
        flaws.add(
            f"unknown key '{key}'", fix=f"did you mean '{near}'?" if near else "remove it, or name it x-" + key,
            file=file, line=line, column=column, field=key, severity="warning",
        )  # fmt: skip
    model = _validate(FlatWorkload, document, value, file, flaws, None)
    if model is None:
        return None
    spec = model.model_dump()
    name = spec.pop("name")
    spec["configSchema"] = spec.pop("config_schema")
    return Declared("Workload", name, file, document, flaws, document.value, spec, is_flat=True)


def _kind_of(document: Document, file: str, flaws: Flaws) -> str | None:
    """Return the kind of a document, "flat" for a workload without envelope, or None after saying what it is not."""
    wrong = _wrong_kind(document.value)
    if isinstance(wrong, str):
        return wrong
    what, fix, path = wrong
    line, column = document.locate(path)
    flaws.add(what, fix=fix, file=file, line=line, column=column, field=field_text(path), unreadable=True)
    return None


def _wrong_kind(value: Any) -> str | tuple[str, str, tuple[str, ...]]:
    if not isinstance(value, dict):
        return "this document is not a map of keys", f"start it with apiVersion: {API_VERSION}, or {_NOT_OURS}", ()
    api, kind = value.get("apiVersion"), value.get("kind")
    if api is None and kind is None:
        if "workload_name" in value:
            return "this is a flat deployment config", "write it as kind: Deployment instead", ("workload_name",)
        if "name" in value and _FLAT_MARKS & value.keys():
            return "flat"
        return "this document is neither haymaker's nor a flat workload", _NOT_OURS, ()
    if api is None:
        return "'apiVersion' is missing", f"add apiVersion: {API_VERSION}", ("kind",)
    if api != API_VERSION:
        is_near = isinstance(api, str) and api.startswith("haymaker")
        fix = f"write apiVersion: {API_VERSION}" if is_near else _NOT_OURS
        return f"apiVersion is {show(api)}, not {API_VERSION}", fix, ("apiVersion",)
    if kind is None:
        return "'kind' is missing", "add kind: Deployment, Workload or Fleet", ("apiVersion",)
    if not isinstance(kind, str) or kind not in KINDS:
        near = nearest(kind, KINDS) if isinstance(kind, str) else None
        fix = f"did you mean {near}?" if near else "the kinds are Deployment, Fleet and Workload"
        return f"there is no kind {show(kind)}", fix, ("kind",)
    return kind


def _validate(
    model: type[BaseModel], document: Document, value: Any, file: str, flaws: Flaws, name: str | None
) -> BaseModel | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        meant = {_meant(d["loc"], model) for d in details if d["type"] == "extra_forbidden"}
        for detail in details:
            if detail["type"] == "missing" and detail["loc"] in meant:
                continue  # it is there, misspelt, and that is said
            what, fix, path = _in_words(detail, model, value)
            line, column = document.locate(path)
            flaws.add(what, fix=fix, file=file, line=line, column=column, field=field_text(path), name=name)
    except RecursionError:
        flaws.add(
            "the values are nested too deeply", fix="flatten the document", file=file, line=document.line, name=name
        )
    return None


def check_overlay(model: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    """Normalise a spec that defaults were merged into. Raises Wrong with the first thing that does not fit."""
    try:
        return model.model_validate(value).model_dump(by_alias=True)
    except ValidationError as error:
        what, fix, path = _in_words(error.errors(include_url=False)[0], model, value)
        raise Wrong(what, fix, *path) from None


def refuse_later(declared: Declared, later: Iterable[tuple[tuple[str, ...], Any]], spec: Any) -> bool:
    """Note every field of a normalised spec that says what no part of haymaker acts on yet; tell whether one does."""
    refused = False
    for path, default in later:
        value: Any = spec
        for step in path:
            value = value.get(step) if isinstance(value, dict) else default
        if value != default:
            fix = "remove it"
            if default not in (None, []):
                shown = format_duration(default) if isinstance(default, float) else show(default)
                fix += f", or write {shown.strip(chr(39))}, its default"
            declared.complain(f"{path[-1]} is not supported yet", fix, *path)
            refused = True
    return refused


def _in_words(detail: Any, model: type[BaseModel], value: Any) -> tuple[str, str, Path]:
    """Turn one of pydantic's errors into what, fix and the path of the field."""
    kind = detail["type"]
    path: Path = tuple(step for step in detail["loc"] if step != "[key]")
    context = detail.get("ctx") or {}
    key = str(path[-1]) if path else ""
    got = _value_at(value, path)
    secret = "env" in path and key == "value"
    shown = show(got)
    empty = "it is empty" if got is None else f"got {_type_of(got) if secret else shown}"
    if kind == "extra_forbidden":
        return (*_unknown_key(key, path, model), path)
    if kind == "missing":
        return f"'{key}' is missing", f"add '{key}'", path
    if kind == "value_error":
        error = context.get("error")
        if isinstance(error, Wrong):
            return str(error), error.fix, (*path, *error.at)
        what, _, fix = str(error or detail["msg"]).partition("; ")
        return what, fix or "correct the value", path
    if kind == "literal_error":
        allowed = [part.strip(" '") for part in re.split(r",| or ", context["expected"])]
        near = nearest(got, allowed) if isinstance(got, str) else None
        return (
            f"must be {_either(allowed)}, {empty}",
            f"did you mean {near}?" if near else f"write {_either(allowed)}",
            path,
        )
    if kind == "string_type":
        fix = "quote it" if isinstance(got, int | float) else "write text"
        return f"must be text, {empty}", fix, path
    wanted = {
        "bool_type": "true or false", "int_type": "a whole number", "float_type": "a number", "list_type": "a list",
        "int_from_float": "a whole number",
    }.get(kind)  # fmt: skip
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        wanted = "a map of keys"
    if wanted:
        return f"must be {wanted}, {empty}", f"write {wanted}{_keys_hint(wanted, _model_at(model, path))}", path
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "less_than_equal": ("at most", "le"),
        "greater_than": ("more than", "gt"),
    }
    if kind in bounds:
        words, bound = bounds[kind]
        limit = context[bound]
        return (
            f"must be {words} {limit:g}, got {shown}"
            if isinstance(limit, float)
            else f"must be {words} {limit}, got {shown}",
            "write a number in range",
            path,
        )
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", "fill it in, or remove it", path
    return detail["msg"][:1].lower() + detail["msg"][1:], "correct the value", path


def _unknown_key(key: str, path: Path, model: type[BaseModel]) -> tuple[str, str]:
    if path == ("status",):
        return "status lives in haymaker's state, never in a file", "remove it"
    near = _meant(path, model)
    keys = "the keys here are: " + ", ".join(sorted(_keys_of(_model_at(model, path[:-1]))))
    return f"unknown key '{key}'", f"did you mean '{near[-1]}'?" if near else keys


def _meant(path: Path, model: type[BaseModel]) -> Path | None:
    """Return the field that an unknown key was probably meant to be."""
    near = nearest(str(path[-1]), _keys_of(_model_at(model, path[:-1])))
    return (*path[:-1], near) if near else None


def _keys_of(model: type[BaseModel] | None) -> list[str]:
    """Return the keys of a map, those first that it must have."""
    fields = sorted(model.model_fields.items(), key=lambda field: not field[1].is_required()) if model else []
    return [info.alias or name for name, info in fields]


def _keys_hint(wanted: str, model: type[BaseModel] | None) -> str:
    """Say which keys belong where a map is missing, "" where any do."""
    if model is None or wanted not in ("a map of keys", "a list"):
        return ""
    whose = " of an item" if wanted == "a list" else ""
    return f"; the keys{whose} are: {', '.join(_keys_of(model))}"


def _type_of(value: Any) -> str:
    """Name the type of a value that is not to be shown."""
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, int | float) else "text" if isinstance(value, str) else show(value)


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    at: Any = model
    for step in path:
        if isinstance(step, int):
            continue
        info = next((i for n, i in at.model_fields.items() if step in (i.alias, n)), None) if _is_model(at) else None
        if info is None:
            return None
        at = _inner_model(info.annotation)
    return at if _is_model(at) else None


def _inner_model(annotation: Any) -> Any:
    if _is_model(annotation):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _inner_model(arg)) is not None), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _value_at(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
    return value


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a typo was probably meant to be."""
    by_folded = {item.casefold().replace("_", "").replace("-", ""): item for item in known}
    folded = word.casefold().replace("_", "").replace("-", "")
    match = difflib.get_close_matches(folded[:80], by_folded, 1, 0.6)
    return by_folded[match[0]] if match else None


def field_text(path: Path) -> str:
    """Write a path the way people do: spec.env[0].name."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text if len(text) <= 200 else text[:197] + "..."


def show(value: Any) -> str:
    """Show a value in a few words; a map or a list by its type alone."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value if len(value) <= 60 else value[:57] + '...'}'"
    if isinstance(value, dict):
        return "a map"
    return "a list" if isinstance(value, list) else str(value)


def name_of(value: Any) -> str | None:
    """Return metadata.name where a document has one, however wrong the rest of it is."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and DNS_LABEL.fullmatch(name) else None


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
