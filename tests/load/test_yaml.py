"""What YAML says, before anybody asks what it means: 1.2's core schema, exact places, no way to exhaust the reader."""

from __future__ import annotations

import time

import pytest

from reconciler.manifest.yamlreader import read_documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("08", "08"), ("010", "010"), ("1_000", "1_000"), ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"), ("0o14", 12), ("0xff", 255), ("12", 12), ("-3", -3), ("+4", 4), ("1.5", 1.5),
        ("1e3", 1000.0), (".5", 0.5), ("true", True), ("False", False), ("tRue", "tRue"), ("null", None), ("~", None),
        ("''", ""), ("'8'", "8"), ('"no"', "no"), ("!!str 8", "8"), ("!!int 8", 8), ("!!float 8", 8.0), ("=", "="),
        ("é ü 漢字 🌾", "é ü 漢字 🌾"), ("|\n  a\n  b\n", "a\nb\n"), ("0b1", "0b1"), ("1.2.3", "1.2.3"), ("-", [None]),
    ],
)  # fmt: skip
def test_a_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    [document], faults = read_documents(f"key: {text}\n" if text != "-" else "key:\n-\n")
    assert not faults
    assert not document.faults
    assert document.value == {"key": value}
    assert type(document.value["key"]) is type(value)


def test_several_documents_and_empty_ones_between_them() -> None:
    documents, faults = read_documents("# first\n---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\nc: 3\n")
    assert not faults
    assert [(document.value, document.line) for document in documents] == [({"a": 1}, 4), ({"b": 2}, 8), ({"c": 3}, 11)]


def test_a_place_is_that_of_the_key_or_the_item() -> None:
    [document], _ = read_documents("a:\n  b: [x,  {c: 1}]\n  d:\n    - y\n    - z\n")
    assert document.locate(("a", "b")) == (2, 3)
    assert document.locate(("a", "b", 1)) == (2, 11)
    assert document.locate(("a", "b", 1, "c")) == (2, 12)
    assert document.locate(("a", "d", 1)) == (5, 7)
    assert document.locate(("a", "missing", "deeper")) == (1, 1)


def test_anchors_are_ours_to_use() -> None:
    [document], _ = read_documents("a: &x {k: [1, 2]}\nb: *x\n")
    assert document.value == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}
    assert not document.faults


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, "{a: " * 50_000, "- " * 100_000, "? " * 100_000, "- ? " * 50_000, "[{a: " * 30_000,
        "!!seq [" * 30_000,
        "a:\n" * 100_000, "&a [*a, *a]", "x: &x [*x]", "\n".join(" " * i + "a:" for i in range(1200)),
        "a: &a [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}' if i else '*a'] * 9)}]\n" for i in range(40)),
        "%YAML 1.1\n---\na: on", "\ufeffa: 1", "a: \x00", "*", "&", "!", "%", "@", "`", "a: b: c", "'", '"\\x"', "\\",
        "...", "---",
        "? a\n? b\n: ", ": ", "- - -", "!<tag:yaml.org,2002:map> {}", "!!binary aGk=", "!!set {a}", "{", "a: !!int x",
    ],
)  # fmt: skip
def test_no_text_exhausts_the_reader(text: str) -> None:
    began = time.process_time()
    documents, faults = read_documents(text)
    assert isinstance(documents, list)
    assert isinstance(faults, list)
    assert time.process_time() - began < 10


def test_faults_of_one_document_are_few_enough_to_read() -> None:
    [document], _ = read_documents("a: 1\n" * 5000)
    assert 1 <= len(document.faults) <= 20
