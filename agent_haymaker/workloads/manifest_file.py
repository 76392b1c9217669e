"""
Reads a `workload.yaml` into a WorkloadManifest, so that each fault is told with its file, line and key.

It takes the flat form of published packages and the envelope (`apiVersion: haymaker/v1`, `kind: Workload`). It
refuses to know where the workload's code is, and whether it can be loaded.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from agent_haymaker.errors import ManifestError
from agent_haymaker.records import read_regular
from agent_haymaker.workloads.models import WorkloadManifest

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024
_MAX_NODES = 50_000
_MAX_DEPTH = 100

KNOWN_KEYS = (
    "name",
    "version",
    "type",
    "description",
    "package",
    "entrypoint",
    "config_schema",
    "targets",
    "extensions",
    "credentials",
    "command",
    "goal",
    "run",
    "budget",
)
_PACKAGE_KEYS = ("name", "source", "entrypoint")
_COLLECTION_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_TYPES = ("runtime", "prompt")
_PLAIN = {
    "string_type": "it must be text",
    "dict_type": "it must be a mapping of keys",
    "list_type": "it must be a list",
}
_ENTRYPOINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

Path_ = tuple[str | int, ...]


class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # chosen at run time
    """YAML 1.2's core schema: `no`, `on`, `08` and dates are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    for _char in _first:
        _CoreLoader.yaml_implicit_resolvers.setdefault(_char.strip("\0"), []).append(
            (f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"))
        )


def read_manifest(path: Path, *, strict: bool = False, shown_as: str | None = None) -> WorkloadManifest:
    """
    Give the manifest at `path` (the file, or the folder that holds a workload.yaml).

    A top-level key that nobody knows is a warning (`WorkloadManifest.warnings`), and with `strict` an error, with
    the nearest known key; `x-*` is free.

    Raises:
        ManifestError: every fault of the file at once, each with file, line and key.
    """
    file = path / "workload.yaml" if path.is_dir() else path
    return _Reader(shown_as or str(file)).read(_read_text(file, shown_as or str(file)), strict=strict)


def _read_text(file: Path, shown_as: str) -> str:
    try:
        content = read_regular(file)
    except FileNotFoundError as error:
        raise ManifestError("there is no workload.yaml", where=shown_as, fix="name the folder that holds it") from error
    except OSError as error:
        raise ManifestError(f"it cannot be read: {error.strerror}", where=shown_as) from error
    if len(content) > MAX_BYTES:
        raise ManifestError(f"it is larger than {MAX_BYTES} bytes", where=shown_as)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError("it is not UTF-8", where=f"{shown_as}:{line}", fix="save it as UTF-8") from error


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path_, int] = {}
        self.nodes = 0

    def read(self, text: str, *, strict: bool) -> WorkloadManifest:
        content = self._parse(text)
        if not isinstance(content, dict):
            raise self._fault((), "a workload.yaml is a mapping of keys", "begin with `name: ...`")
        content = self._flattened(content)
        unknown = [
            f"{self._where((key,))} {key}: nobody knows this key{_nearest(key, KNOWN_KEYS)}"
            for key in content
            if key not in KNOWN_KEYS and not key.startswith("x-")
        ]
        faults = [*self._faults(content), *(unknown if strict else [])]
        try:
            manifest = WorkloadManifest.model_validate(content)
        except ValidationError as error:
            faults += [self._told(e, content) for e in error.errors(include_url=False)]
            manifest = None
        if faults or manifest is None:
            raise ManifestError(
                "\n".join(sorted(faults, key=self._line_of)), fix="see docs/workloads.md for what a workload.yaml holds"
            )
        manifest.warnings.extend(unknown)
        return manifest

    def _parse(self, text: str) -> Any:
        try:
            self._check_depth(text)
            loader = _CoreLoader(text)
            try:
                node = loader.get_single_node()
                return self._built(node, ()) if node is not None else None
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{self.file}:{mark.line + 1}:{mark.column + 1}" if mark else self.file
            raise ManifestError(f"it is not valid YAML: {error.problem or error.context}", where=where) from error
        except yaml.YAMLError as error:
            raise ManifestError(f"it is not valid YAML: {str(error).splitlines()[0]}", where=self.file) from error

    def _check_depth(self, text: str) -> None:
        """Refuse deep nesting before the C library's composer recurses into it, which ends the process."""
        depth = 0
        for event in yaml.parse(text, Loader=_CoreLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    line = event.start_mark.line + 1 if event.start_mark else 1
                    raise ManifestError("it is nested too deeply", where=f"{self.file}:{line}")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def _built(self, node: yaml.Node, at: Path_) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise self._fault((), f"it unfolds to more than {_MAX_NODES} values", "use fewer aliases")
        self.lines.setdefault(at, node.start_mark.line + 1)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTION_TAGS:
            raise _odd_tag(node)
        if isinstance(node, yaml.SequenceNode):
            return [self._built(child, (*at, index)) for index, child in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return _scalar(node)
        built: dict[str, Any] = {}
        for key_node, child in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ManifestError("a key must be text", where=f"{self.file}:{line}")
            self.lines[(*at, key)] = line
            if key in built:
                raise ManifestError(
                    f"the key {key} is there twice", where=f"{self.file}:{line}", fix="keep one of them"
                )
            built[key] = self._built(child, (*at, key))
        return built

    def _flattened(self, content: dict[str, Any]) -> dict[str, Any]:
        """Give the flat form of an envelope; a flat manifest is itself."""
        if "apiVersion" not in content:
            return content
        if content["apiVersion"] != "haymaker/v1":
            raise self._fault(("apiVersion",), f"it is {content['apiVersion']!r}", "write `apiVersion: haymaker/v1`")
        if content.get("kind") != "Workload":
            raise self._fault(("kind",), f"it is {content.get('kind')!r}", "write `kind: Workload`")
        metadata, spec = content.get("metadata"), content.get("spec")
        for key, value in (("metadata", metadata), ("spec", spec)):
            if not isinstance(value, dict):
                raise self._fault((key,), "it must be a mapping of keys")
        flat = {"name": (metadata or {}).get("name")}
        for key, value in (spec or {}).items():
            flat_key = "config_schema" if key == "configSchema" else key
            flat[flat_key] = value
            for at, line in list(self.lines.items()):
                if at[:2] == ("spec", key):
                    self.lines[(flat_key, *at[2:])] = line
        return flat

    def _faults(self, content: dict[str, Any]) -> list[str]:
        faults = []
        kind = content.get("type")
        if isinstance(kind, str) and kind not in _TYPES:
            faults.append(self._line(("type",), f"it is {kind!r}; use runtime or prompt{_nearest(kind, _TYPES)}"))
        name = content.get("name")
        if isinstance(name, str) and (not name.strip() or name == "base"):
            faults.append(self._line(("name",), "a workload needs a name of its own"))
        package = content.get("package")
        if isinstance(package, dict):
            faults += [
                self._line(("package", key), f"nobody knows this key{_nearest(key, _PACKAGE_KEYS)}")
                for key in package
                if key not in _PACKAGE_KEYS and not key.startswith("x-")
            ]
        for at, value in (
            (("entrypoint",), content.get("entrypoint")),
            (("package", "entrypoint"), package.get("entrypoint") if isinstance(package, dict) else None),
        ):
            if isinstance(value, str) and not _ENTRYPOINT.fullmatch(value):
                faults.append(self._line(at, f"{value!r} is not module:Class"))
        schema = content.get("config_schema")
        if isinstance(schema, dict):
            faults += [
                self._line(("config_schema", key), "it must be a mapping, such as {type: string}")
                for key, value in schema.items()
                if not isinstance(value, dict)
            ]
        return faults

    def _told(self, error: Any, content: dict[str, Any]) -> str:
        at: Path_ = tuple(error["loc"])
        if error["type"] == "missing":
            return self._line(at, "it is missing")
        if error["type"] == "value_error":
            at = at or (("entrypoint",) if "entrypoint" in content else ())
            return self._line(at, str(error["msg"]).removeprefix("Value error, "))
        if error["type"] == "string_type" and isinstance(error["input"], int | float):
            return self._line(at, f'it must be text: write "{error["input"]}" in quotes')
        message = str(error["msg"])
        return self._line(at, _PLAIN.get(error["type"]) or message[:1].lower() + message[1:])

    def _line(self, at: Path_, what: str) -> str:
        name = ".".join(str(part) for part in at)
        return f"{self._where(at)} {name}: {what}" if name else f"{self._where(at)}: {what}"

    def _where(self, at: Path_) -> str:
        while at and at not in self.lines:
            at = at[:-1]
        return f"{self.file}:{self.lines.get(at, 1)}"

    def _line_of(self, fault: str) -> int:
        return int(fault.removeprefix(f"{self.file}:").partition(" ")[0].rstrip(":"))

    def _fault(self, at: Path_, what: str, fix: str | None = None) -> ManifestError:
        return ManifestError(self._line(at, what), fix=fix)


def _scalar(node: Any) -> Any:
    kind = node.tag.rpartition(":")[2]
    text: str = node.value
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if kind == "float":
        return float(text.replace(".", "", 1) if text[-1] in "fFnN" else text)
    if kind == "str":
        return text
    raise _odd_tag(node)


def _odd_tag(node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"the tag {node.tag} has no place here", problem_mark=node.start_mark)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""
