"""workload.yaml: published ones are accepted unchanged, wrong ones are told with file and line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_haymaker import WorkloadRegistry
from agent_haymaker.errors import ManifestError

PUBLISHED = """\
# How published packages write it
name: office-worker
version: "0.1.0"
type: runtime
description: "Simulated office workers"

package:
  name: haymaker-office
  entrypoint: haymaker_office:OfficeWorkload

targets:
  - type: tenant
    required_permissions:
      - Mail.Send
    description: "Where the mails go"

credentials:
  - name: OFFICE_TOKEN
    description: "Token"
    required: true

config_schema:
  workers:
    type: integer
    default: 25
    min: 1
    max: 300
  duration_hours:
    type: integer
    default: null
  department:
    type: string
    default: "operations"
    enum: ["operations", "sales"]

activity_patterns:
  operations:
    email_per_hour: 6

x-notes: anything
"""


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        file = tmp_path / "workload.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return WorkloadRegistry().load_manifest(tmp_path, **options)

    return read


def test_a_published_manifest_is_accepted_unchanged(read, tmp_path):
    manifest = read(PUBLISHED)
    assert (manifest.name, manifest.version, manifest.workload_type) == ("office-worker", "0.1.0", "runtime")
    assert manifest.entrypoint == "haymaker_office:OfficeWorkload"
    assert manifest.package == {"name": "haymaker-office", "entrypoint": "haymaker_office:OfficeWorkload"}
    assert manifest.config_schema["workers"] == {"type": "integer", "default": 25, "min": 1, "max": 300}
    assert manifest.config_schema["duration_hours"]["default"] is None
    assert manifest.targets[0]["required_permissions"] == ["Mail.Send"]
    assert manifest.credentials[0]["required"] is True
    assert manifest.warnings == [f"{tmp_path}/workload.yaml:36 activity_patterns: nobody knows this key"]


def test_the_file_and_its_folder_name_the_same_manifest(read, tmp_path):
    assert WorkloadRegistry().load_manifest(str(tmp_path / "workload.yaml")) if read(PUBLISHED) else False


@pytest.mark.parametrize(
    ("typo", "nearest"),
    [("entrypont", "entrypoint"), ("descripton", "description"), ("config-schema", "config_schema")],
)
def test_a_misspelt_key_is_told_with_the_nearest_known_one(typo, nearest, read):
    text = f'name: a\nversion: "1"\ntype: runtime\n{typo}: x\n'
    assert read(text).warnings[0].endswith(f"workload.yaml:4 {typo}: nobody knows this key; did you mean {nearest}?")
    with pytest.raises(ManifestError, match=f"{typo}: nobody knows this key; did you mean {nearest}"):
        read(text, strict=True)


HEAD = 'name: a\nversion: "1"\ntype: runtime\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", ":1: a workload.yaml is a mapping of keys", id="empty"),
        pytest.param("- a\n", ":1: a workload.yaml is a mapping of keys", id="a list"),
        pytest.param("name: a\nversion: '1'\n", ":1 type: it is missing", id="no type"),
        pytest.param("type: runtime\nversion: '1'\n", ":1 name: it is missing", id="no name"),
        pytest.param(
            "name: a\nversion: 0.1\ntype: runtime\n",
            ':2 version: it must be text: write "0.1" in quotes',
            id="version is a number",
        ),
        pytest.param(
            'name: a\nversion: "1"\ntype: runtim\n',
            ":3 type: it is 'runtim'; use runtime or prompt; did you mean runtime?",
            id="type nobody knows",
        ),
        pytest.param(
            HEAD + "entrypoint: a.b\n", ":4 entrypoint: 'a.b' is not module:Class", id="entrypoint without a class"
        ),
        pytest.param(
            HEAD + 'entrypoint: "a:B"\npackage:\n  entrypoint: "a:C"\n',
            ":4 entrypoint: entrypoint is 'a:B' at the top and 'a:C' in package: keep one of them",
            id="two entrypoints",
        ),
        pytest.param(
            HEAD + "package:\n  nam: x\n",
            ":5 package.nam: nobody knows this key; did you mean name?",
            id="misspelt in package",
        ),
        pytest.param(
            HEAD + "package:\n  name: 7\n",
            ':5 package.name: it must be text: write "7" in quotes',
            id="package name is a number",
        ),
        pytest.param(HEAD + "package: x\n", ":4 package: it must be a mapping of keys", id="package is text"),
        pytest.param(
            HEAD + "config_schema:\n  workers: 3\n",
            ":5 config_schema.workers: it must be a mapping, such as {type: string}",
            id="schema of a number",
        ),
        pytest.param(
            HEAD + "config_schema: [a]\n", ":4 config_schema: it must be a mapping of keys", id="schema is a list"
        ),
        pytest.param(
            HEAD + "targets:\n  - {}\n  - x\n", ":6 targets.1: it must be a mapping of keys", id="target is text"
        ),
        pytest.param(HEAD + "command: python main.py\n", ":4 command: it must be a list", id="command is text"),
        pytest.param(
            HEAD + "command: [python, 3]\n",
            ':4 command.1: it must be text: write "3" in quotes',
            id="argument is a number",
        ),
        pytest.param(HEAD + "name: b\n", ":4: the key name is there twice", id="a key twice"),
        pytest.param(HEAD + "x: [\n", "workload.yaml:5:1: it is not valid YAML", id="not YAML"),
        pytest.param(HEAD + "\tx: 1\n", "workload.yaml:4:1: it is not valid YAML", id="a tab"),
        pytest.param(
            HEAD + "x: !!python/object:os.system {}\n", "it is not valid YAML: the tag", id="a tag of Python's"
        ),
        pytest.param(HEAD + "x: !secret a\n", "it is not valid YAML: the tag !secret has no place here", id="a tag"),
        pytest.param(HEAD + "[1]: x\n", ":4: a key must be text", id="a key that is a list"),
        pytest.param(HEAD + "---\nname: b\n", "it is not valid YAML", id="two documents"),
        pytest.param(HEAD.encode() + b"x: \xff\n", ":4: it is not UTF-8", id="not UTF-8"),
        pytest.param(HEAD + "x: " + "[" * 500_000, ":4: it is nested too deeply", id="nested too deeply"),
        pytest.param("- " * 300_000, ":1: it is nested too deeply", id="nested too deeply, on one line"),
        pytest.param(
            HEAD
            + "x: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"x{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else '*a'] * 9)}]\n" for i in range(9)),
            "it unfolds to more than 50000 values",
            id="an alias bomb",
        ),
        pytest.param(HEAD + "#" * 1024 * 1024, "it is larger than 1048576 bytes", id="too large"),
        pytest.param(
            "apiVersion: haymaker/v2\nkind: Workload\n", ":1 apiVersion: it is 'haymaker/v2'", id="another version"
        ),
        pytest.param("apiVersion: haymaker/v1\nkind: Fleet\n", ":2 kind: it is 'Fleet'", id="another kind"),
        pytest.param(
            "apiVersion: haymaker/v1\nkind: Workload\nmetadata: x\nspec: {}\n",
            ":3 metadata: it must be a mapping of keys",
            id="metadata is text",
        ),
    ],
)
def test_a_wrong_manifest_is_told_with_its_line(text, said, read):
    with pytest.raises(ManifestError) as caught:
        read(text)
    assert said in str(caught.value)
    assert "workload.yaml" in str(caught.value)


def test_every_fault_is_told_at_once(read):
    with pytest.raises(ManifestError) as caught:
        read("name: 3\ntype: odd\nentrypoint: x\npackage: {nam: x}\n")
    lines = [line.split("workload.yaml:")[1][0] for line in caught.value.what.splitlines()]
    assert lines == sorted(lines)
    for said in ("1 name:", "2 type:", "3 entrypoint:", "4 package.nam:", "1 version: it is missing"):
        assert f"workload.yaml:{said}" in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ManifestError, match=r"workload\.yaml: there is no workload\.yaml"):
        WorkloadRegistry().load_manifest(tmp_path)


def test_scalars_follow_the_core_schema(read):
    schema = read(
        HEAD
        + "x-s: {a: no, b: on, c: 08, d: 0x1F, e: 0o17, f: 1e3, g: .inf, h: ~, i: 2026-01-02, j: .5, k: -3, l: 1_000}\n"
    ).model_extra["x-s"]
    assert schema == {
        "a": "no",
        "b": "on",
        "c": "08",
        "d": 31,
        "e": 15,
        "f": 1000.0,
        "g": float("inf"),
        "h": None,
        "i": "2026-01-02",
        "j": 0.5,
        "k": -3,
        "l": "1_000",
    }  # fmt: skip


def test_the_envelope_says_the_same_as_the_flat_form(read):
    flat = read(HEAD + 'entrypoint: "a:B"\nconfig_schema: {n: {type: integer}}\n')
    wrapped = read(
        "apiVersion: haymaker/v1\nkind: Workload\nmetadata: {name: a}\nspec:\n"
        '  version: "1"\n  type: runtime\n  entrypoint: "a:B"\n  configSchema: {n: {type: integer}}\n'
    )
    assert wrapped.model_dump() == flat.model_dump()
    with pytest.raises(ManifestError, match=r"workload\.yaml:6 type: it is 'odd'"):
        read("apiVersion: haymaker/v1\nkind: Workload\nmetadata: {name: a}\nspec:\n  version: '1'\n  type: odd\n")


@settings(max_examples=150)
@given(
    text=st.one_of(
        st.text(max_size=80), st.binary(max_size=80), st.text(alphabet="ab:-[]{}&*!|>'\"\n \t#0.", max_size=60)
    )
)
def test_whatever_a_file_holds_it_is_read_or_told(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("m")
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    for body in (content, HEAD.encode() + content):
        (folder / "workload.yaml").write_bytes(body)
        with contextlib.suppress(ManifestError):
            WorkloadRegistry().load_manifest(folder)
