"""Workloads are found without running their code, and their config_schema means what JSON Schema says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.manifest.configschema import check_config, check_schema, fill_defaults, to_json_schema
from reconciler.manifest.workloads import find_workload, installed_workloads

if TYPE_CHECKING:
    from tests.load.conftest import Fleet


def install(
    site: Path, name: str, yaml: str | None, *, beside: bool = False, version: str = "3.1", module: str = ""
) -> Path:
    """Put a package into a folder the way pip would. Importing it is an error: nobody may."""
    package = site / (module or name.replace("-", "_"))
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('this code must not run')\n")
    if yaml is not None:
        ((site if beside else package) / "workload.yaml").write_text(yaml)
    info = site / f"{package.name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[agent_haymaker.workloads]\n{name} = {package.name}:Workload\n")
    return package


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


YAML = """\
name: crawler
version: '0.1'
command: [python, -m, crawler, ./data.txt]
config_schema: {depth: {type: integer}}
"""


def test_an_installed_workload_is_found_beside_its_code(site: Path, fleet: Fleet) -> None:
    package = install(site, "crawler", YAML)
    (package / "data.txt").write_text("x")
    found = find_workload("crawler")
    assert found is not None
    assert (found.version, found.origin, found.problem) == ("3.1", "installed", "")
    assert found.argv == ("python", "-m", "crawler", str(package / "data.txt"))
    assert found.path_prefix == str(Path(sys.executable).parent)
    fleet.deploy("a", 'workload: {name: crawler, version: ">=3"}\nconfig: {depth: 3}')
    for home in (False, True, True):
        loaded = fleet.load(home=home)
        assert not loaded.problems
        assert loaded.desired["a"].recipe.argv == found.argv


def test_a_checkout_has_its_workload_yaml_beside_the_package(site: Path) -> None:
    install(site, "crawler", "name: crawler\nversion: '0.1'\ncommand: [x]\n", beside=True)
    assert installed_workloads()["crawler"].problem == ""


@pytest.mark.parametrize(
    ("yaml", "problem"),
    [
        (None, "its package crawler has no workload.yaml"),
        ("name: [", "not YAML"),
        ("name: other\nversion: '1'\n", "its workload.yaml names 'other', its entry point 'crawler'"),
        ("name: crawler\nversion: 1\n", "must be text, got 1 (version)"),
        ("name: crawler\ncommand: [./none]\n", "'./none': there is no such file"),
    ],
)
def test_an_installed_workload_that_cannot_be_used_says_why(
    site: Path, fleet: Fleet, yaml: str | None, problem: str
) -> None:
    install(site, "crawler", yaml)
    fleet.deploy("a", "workload: crawler")
    [found] = fleet.load().problems
    assert "workload 'crawler' cannot be used: " in found.what
    assert problem in found.what


def test_the_folders_own_declaration_comes_first_and_may_stand_for_an_installed_one(site: Path, fleet: Fleet) -> None:
    install(site, "crawler", "name: crawler\nversion: '0.1'\ncommand: [installed]\n")
    fleet.deploy("a", "workload: crawler")
    assert fleet.load().desired["a"].recipe.argv == ("installed",)
    fleet.write("w.yaml", "name: crawler\nversion: '9'\ncommand: [mine]\n")
    assert fleet.load().desired["a"].recipe.argv == ("mine",)
    fleet.write("w.yaml", "name: crawler\nversion: '9'\ntype: runtime\npackage: {entrypoint: 'crawler:Workload'}\n")
    assert fleet.load().desired["a"].recipe.argv == ("installed",)


def test_what_is_installed_is_kept_until_the_environment_changes(site: Path, fleet: Fleet) -> None:
    package = install(site, "crawler", "name: crawler\nversion: '0.1'\ncommand: [one]\n")
    assert installed_workloads(fleet.home)["crawler"].command == ("one",)
    assert installed_workloads(fleet.home)["crawler"].command == ("one",)
    (package / "workload.yaml").write_text("name: crawler\nversion: '0.1'\ncommand: [three]\n")
    assert installed_workloads(fleet.home)["crawler"].command == ("three",)
    install(site, "second", "name: second\nversion: '0.1'\ncommand: [x]\n")
    assert "second" in installed_workloads(fleet.home)


def test_a_change_of_an_installed_workload_is_seen_by_a_cached_folder(site: Path, fleet: Fleet) -> None:
    package = install(site, "crawler", "name: crawler\nversion: '0.1'\ncommand: [one]\n")
    fleet.deploy("a", "workload: crawler")
    before = fleet.load(home=True).desired["a"].digest
    (package / "workload.yaml").write_text("name: crawler\nversion: '0.1'\ncommand: [three]\n")
    assert fleet.load(home=True).desired["a"].digest != before


def test_looking_for_workloads_a_second_time_imports_no_metadata(site: Path, fleet: Fleet) -> None:
    code = (
        "import sys; from pathlib import Path; from reconciler.manifest.workloads import installed_workloads\n"
        f"assert 'goal-agent' in installed_workloads(Path({str(fleet.home)!r}))\n"
        "print('importlib.metadata' in sys.modules, 'yaml' in sys.modules)"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert outputs == ["True True", "False False"]


# ---- config_schema --------------------------------------------------------------------------------------

_value = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.floats(-5, 5).map(lambda x: round(x, 1) + 0.05) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)


@st.composite
def _entry(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    kinds = ["string", "integer", "number", "boolean"] + (["array", "object"] if depth < 2 else [])
    entry: dict[str, Any] = {"type": draw(st.sampled_from(kinds))}
    if draw(st.booleans()) and entry["type"] in ("integer", "number"):
        entry["min"] = draw(st.integers(-3, 3))
    if draw(st.booleans()) and entry["type"] in ("string", "array"):
        entry["max"] = draw(st.integers(0, 3))
    if draw(st.integers(0, 4)) == 0:
        entry["enum"] = draw(st.lists(_value, min_size=1, max_size=3))
    if entry["type"] == "array" and draw(st.booleans()):
        entry["items"] = draw(_entry(depth + 1))
    if entry["type"] == "object" and draw(st.booleans()):
        entry["properties"] = draw(_schema(depth + 1))
    for flag in ("required", "sensitive"):
        if draw(st.integers(0, 4)) == 0:
            entry[flag] = True
    return entry


def _schema(depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from("ab"), _entry(depth), min_size=1, max_size=2)


@settings(max_examples=300)
@given(_schema(), st.dictionaries(st.sampled_from("abc"), _value, max_size=3))
def test_the_dialect_accepts_what_its_json_schema_accepts(schema: dict[str, Any], config: dict[str, Any]) -> None:
    assert not list(check_schema(schema))
    ours = not list(check_config(config, schema))
    # JSON knows no difference between 1.0 and 1; this dialect's integers are whole numbers as written.
    theirs = jsonschema.Draft202012Validator(to_json_schema(schema)).is_valid(config)
    assert ours == theirs


def test_defaults_are_filled_in_at_every_depth() -> None:
    schema = {"b": {"default": 1}, "a": {"properties": {"y": {"default": [1]}}}, "c": {"default": None}}
    assert fill_defaults({"a": {"x": 0}}, schema) == {"a": {"x": 0, "y": [1]}, "b": 1}
    assert list(fill_defaults({"a": {}}, schema)) == ["a", "b"]


def test_a_prompt_follows_the_workload_that_runs_it(site: Path, fleet: Fleet) -> None:
    words = "name: goal-agent\nversion: '1'\ncommand: [{}]\nconfig_schema: {{goal_file: {{type: string}}}}\n"
    package = install(site, "goal-agent", words.format("old"), module="stand_in")
    fleet.write("w/workload.yaml", "name: sweeper\nversion: '1'\ntype: prompt\ngoal: {inline: Sweep}\n")
    fleet.deploy("hall", "workload: sweeper")
    before = [fleet.load(home=True).desired["hall"] for _ in range(2)]
    assert {want.recipe.argv for want in before} == {("old",)}
    (package / "workload.yaml").write_text(words.format("newer"))
    after = [fleet.load(home=True).desired["hall"] for _ in range(2)]
    assert {want.recipe.argv for want in after} == {("newer",)}
    assert before[0].digest != after[0].digest


def test_without_the_goal_agent_a_prompt_says_so(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.manifest.folder.installed_workloads", lambda *_, **__: {})
    fleet.write("w/workload.yaml", "name: sweeper\nversion: '1'\ntype: prompt\ngoal: {inline: Sweep}\n")
    fleet.deploy("hall", "workload: sweeper")
    (problem,) = fleet.load().problems
    assert "goal-agent, which runs those, is not installed" in str(problem)
