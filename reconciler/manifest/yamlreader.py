"""
YAML text into plain values, with the place of every value at hand: YAML 1.2's core schema on the C parser.

Strict where YAML invites accidents: a duplicate key, a merge key, a foreign tag, a key that is not text, an alias
that explodes, nesting without end. It knows nothing of what the documents mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

MAX_BYTES = 1 << 20
_MAX_DEPTH = 100
_MAX_EXPANSION = 10_000  # values reached through aliases, in one document
_MAX_FAULTS = 20
_RISKY = 200

# Leading zeros make a string: `08` is no number that anybody means.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_MAYBE_NUMBER = frozenset("+-.0123456789")
_TAGS = {"str", "int", "float", "bool", "null", "map", "seq"}
_CORE = "tag:yaml.org,2002:"
_DOCUMENT_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Composer(_BASE):  # type: ignore[misc]  # the C parser where there is one
    """Composes nodes and leaves their meaning to `_Builder`: tag "?" is plain, "!" is quoted or a collection."""

    def resolve(self, kind: Any, _value: Any, implicit: Any) -> str:
        return "?" if kind is yaml.ScalarNode and implicit[0] else "!"

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Path resolvers are not used."""

    def ascend_resolver(self) -> None:
        """Path resolvers are not used."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at a place of the text; lines and columns count from 1."""

    what: str
    fix: str
    line: int
    column: int
    path: tuple[str | int, ...] = ()
    chunk: str = ""  # the text of a document that could not be parsed at all


@dataclass(slots=True)
class Document:
    """One YAML document: its plain value, where it starts, and what is wrong with it."""

    value: Any
    line: int
    node: Any
    faults: list[Fault] = field(default_factory=list)

    def locate(self, path: tuple[str | int, ...]) -> tuple[int, int]:
        """Return line and column of the key (or list item) at `path`, or of the nearest parent that exists."""
        node, mark = self.node, self.node.start_mark
        for step in path:
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == step:
                        node, mark = value, key.start_mark
                        break
                else:
                    break
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                mark = node.start_mark
            else:
                break
        return mark.line + 1, mark.column + 1

    def first_line(self, path: tuple[str | int, ...]) -> int | None:
        """Return the line where the text at `path` begins, None where its lines are not lines of the file."""
        node = self.node
        for step in path:
            pairs = node.value if isinstance(node, yaml.MappingNode) else ()
            node = next((value for key, value in pairs if key.value == step), None)
        is_literal = isinstance(node, yaml.ScalarNode) and node.style == "|"
        return int(node.start_mark.line) + 2 if is_literal else None


def read_documents(text: str) -> tuple[list[Document], list[Fault]]:
    """
    Return the documents of a file, empty ones left out, and the faults of those that are not YAML at all.

    A document that cannot be parsed does not hide its neighbours.
    """
    if (deep := _too_deep(text)) is not None:
        return [], [deep]
    documents, fault = _compose(text, 0)
    if fault is None:
        return documents, []
    starts = [0, *(match.start() for match in _DOCUMENT_START.finditer(text) if match.start()), len(text)]
    documents, faults = [], []
    for start, end in pairwise(starts):
        found, fault = _compose(text[start:end], text.count("\n", 0, start))
        if fault is None:
            documents.extend(found)
        else:
            faults.append(fault)
    return documents, faults


def _compose(text: str, line_offset: int) -> tuple[list[Document], Fault | None]:
    documents = []
    try:
        loader = _Composer("\n" * line_offset + text if line_offset else text)
        while loader.check_node():
            node = loader.get_node()
            builder = _Builder(counts_aliases="*" in text)
            document = Document(builder.build(node, (), 0), node.start_mark.line + 1, node, builder.faults)
            if document.value is not None or document.faults:
                documents.append(document)
    except yaml.MarkedYAMLError as error:
        return documents, _syntax_fault(error, text, line_offset)
    except yaml.reader.ReaderError as error:
        return documents, _character_fault(error, text, line_offset)
    except RecursionError:
        return documents, Fault(
            "the values are nested too deeply", "flatten the document", line_offset + 1, 1, chunk=text
        )
    return documents, None


def _syntax_fault(error: yaml.MarkedYAMLError, text: str, line_offset: int) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (line_offset + 1, 1)
    problem = (error.problem or "it cannot be parsed").strip()
    context = ""
    if error.context and error.context_mark:
        context = f" {error.context.strip()} that starts on line {error.context_mark.line + 1}"
    fix = "correct the YAML there; the mistake may be on the line before"
    lines = text.splitlines()
    at = lines[line - 1 - line_offset] if 0 <= line - 1 - line_offset < len(lines) else ""
    if "\t" in at[: len(at) - len(at.lstrip())] or "'\\t'" in problem:
        problem, context, fix = "a tab where YAML allows only spaces", "", "indent with spaces"
    return Fault(f"not YAML: {problem}{context}", fix, line, column, chunk=text)


def _character_fault(error: Any, text: str, line_offset: int) -> Fault:
    match = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]", text)
    at = match.start() if match else 0
    line = text.count("\n", 0, at) + 1 + line_offset
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    what = (
        f"the character U+{ord(match[0]):04X} is not allowed in YAML" if match else "a character is not allowed in YAML"
    )
    del error
    return Fault(what, "remove it, or write it as an escape in a quoted text", line, column, chunk=text)


def _too_deep(text: str) -> Fault | None:
    """Look for nesting that would exhaust the C parser's stack, by its events, which need none."""
    indicators = sum(map(text.count, ("[", "{", "- ", "? ", "-\t", "?\t")))
    if indicators < _RISKY and len(text) < 1 << 16:
        return None
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Composer):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    mark: Any = event.start_mark
                    return Fault(
                        f"more than {_MAX_DEPTH} values inside each other", "flatten the document",
                        mark.line + 1, mark.column + 1, chunk=text,
                    )  # fmt: skip
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        return None  # composing stops at the same place, and says it better
    return None


class _Builder:
    """Turns the nodes of one document into values, and notes what is wrong on the way."""

    def __init__(self, *, counts_aliases: bool) -> None:
        self.faults: list[Fault] = []
        self._visited: set[int] | None = set() if counts_aliases else None
        self._open: set[int] = set()
        self._expanding = 0
        self._expanded = 0

    def build(self, node: Any, path: tuple[str | int, ...], depth: int) -> Any:
        kind = type(node)
        if kind is yaml.ScalarNode:
            if node.tag == "!":
                return node.value
            return self._scalar(node, path)
        if depth > _MAX_DEPTH:
            return self._fault(node, path, f"more than {_MAX_DEPTH} values inside each other", "flatten the document")
        if node.tag not in ("!", _CORE + "map", _CORE + "seq"):
            self._fault(node, path, f"the tag {node.tag} means nothing here", "remove the tag")
        if self._visited is None:
            return self._collection(node, path, depth)
        if id(node) in self._open:
            return self._fault(node, path[:3], "an alias stands inside what it stands for", "write the value out")
        again = id(node) in self._visited
        self._open.add(id(node))
        self._visited.add(id(node))
        self._expanding += again
        try:
            if self._expanding:
                self._expanded += 1 + len(node.value)
                if self._expanded > _MAX_EXPANSION:
                    if not any(fault.what.startswith("its aliases") for fault in self.faults):
                        self._fault(
                            node, path, f"its aliases stand for more than {_MAX_EXPANSION} values",
                            "write the values out, or use fewer aliases",
                        )  # fmt: skip
                    return None
            return self._collection(node, path, depth)
        finally:
            self._expanding -= again
            self._open.discard(id(node))

    def _collection(self, node: Any, path: tuple[str | int, ...], depth: int) -> Any:
        if type(node) is yaml.SequenceNode:
            return [self.build(item, (*path, index), depth + 1) for index, item in enumerate(node.value)]
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if type(key_node) is not yaml.ScalarNode:
                self._fault(key_node, path, "a key must be text, not a list or a map", "write a plain word as the key")
                continue
            if key_node.tag != "!" and not isinstance(self._scalar(key_node, path), str):
                if key == "":
                    self._fault(key_node, path, "a key is empty", "write the key before the colon")
                else:
                    self._fault(key_node, path, f"the key {key} must be text", f'quote it: "{key}"')
                continue
            if key == "<<" and key_node.tag == "?":
                self._fault(key_node, (*path, key), "the merge key << is not part of YAML 1.2", "write the keys out")
                continue
            if key in result:
                first = next(k for k, _ in node.value if k.value == key).start_mark.line + 1
                self._fault(
                    key_node, (*path, key), f"the key '{_short(key)}' is given twice, first on line {first}",
                    "keep one of the two",
                )  # fmt: skip
                continue
            result[key] = self.build(value_node, (*path, key), depth + 1)
        return result

    def _scalar(self, node: Any, path: tuple[str | int, ...]) -> Any:
        text, tag = node.value, node.tag
        if tag == "!" or tag == _CORE + "str":
            return text
        value = self._plain(node, text, path)
        if tag == "?":
            return value
        wanted = tag.removeprefix(_CORE)
        if wanted not in _TAGS:
            return self._fault(node, path, f"the tag {tag} means nothing here", "remove the tag")
        kinds = {"int": int, "float": float, "bool": bool, "null": type(None)}
        if wanted == "float" and type(value) is int:
            return float(value)
        if type(value) is not kinds.get(wanted):
            return self._fault(
                node, path, f"the value is not of its tag, {wanted}", "remove the tag, or correct the value"
            )
        return value

    def _plain(self, node: Any, text: str, path: tuple[str | int, ...]) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in _MAYBE_NUMBER:
            return text
        if _INT.fullmatch(text):
            if len(text) > 40:
                return self._fault(node, path, "the number is too large", "quote it if it is text")
            value = int(text, 8 if text[:2] == "0o" else 16 if text[:2] == "0x" else 10)
            if abs(value) >= 1 << 63:
                return self._fault(node, path, "the number is too large", "quote it if it is text")
            return value
        if _FLOAT.fullmatch(text):
            number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            if number != number or number in (float("inf"), float("-inf")):
                return self._fault(
                    node, path, f"{_short(text)} is not a finite number", "write a finite number, or quote it"
                )
            return number
        return text

    def _fault(self, node: Any, path: tuple[str | int, ...], what: str, fix: str) -> None:
        if len(self.faults) >= _MAX_FAULTS:  # more would help nobody
            return
        mark = node.start_mark
        self.faults.append(Fault(what, fix, mark.line + 1, mark.column + 1, path))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
