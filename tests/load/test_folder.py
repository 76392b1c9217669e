"""Which files count, what one wrong file means for the others, and what reading a commit gives."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plain import as_a_plain_user

from agent_haymaker.errors import ManifestError, UsageError
from reconciler.load import load, load_base
from tests.load.conftest import Fleet, same


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such folder"):
        load(tmp_path / "none", home=None)


def test_an_empty_folder_asks_for_nothing(tmp_path: Path) -> None:
    loaded = load(tmp_path, home=None)
    assert (loaded.desired, loaded.problems, loaded.complete, loaded.files) == ({}, (), True, 0)


def test_a_whole_disk_is_refused_instead_of_read(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.deploy("a", path="x/y/a.yaml")
    monkeypatch.setattr("reconciler.manifest.trees.MOST_FOLDERS", 3)
    assert list(fleet.load().desired) == ["a"]
    monkeypatch.setattr("reconciler.manifest.trees.MOST_FOLDERS", 2)
    with pytest.raises(ManifestError, match="more than 2 others"):
        fleet.load()


def test_files_are_found_recursively_and_hidden_ones_are_not(fleet: Fleet) -> None:
    fleet.deploy("a", path="x/y/a.yaml")
    fleet.deploy("b", path="x/b.yml")
    fleet.deploy("c", path=".hidden/c.yaml")
    fleet.deploy("d", path="x/.d.yaml")
    fleet.deploy("e", path="e.yaml.orig")
    fleet.deploy("f", path="folder.yaml/f.yaml")
    assert list(fleet.load().desired) == ["a", "b", "f"]


def test_ignored_files_are_left_out_with_gitignores_syntax(fleet: Fleet) -> None:
    fleet.write(".haymakerignore", "*.tmp.yaml\n/drafts/\n!keep.tmp.yaml\n")
    fleet.write("ci/.haymakerignore", "*.yaml\n!mine.yaml\n")
    fleet.write("a.tmp.yaml", "broken: [")
    fleet.write("drafts/deep/b.yaml", "broken: [")
    fleet.write("ci/github.yaml", "on: push")
    fleet.deploy("keep", path="keep.tmp.yaml")
    fleet.deploy("mine", path="ci/mine.yaml")
    loaded = fleet.load()
    assert not loaded.problems
    assert list(loaded.desired) == ["keep", "mine"]


def test_links_are_followed_inside_the_repository_only(fleet: Fleet) -> None:
    outside = fleet.tmp / "outside.yaml"
    outside.write_text(fleet.deploy("a").read_text().replace("name: a", "name: b"))
    (fleet.folder / "b.yaml").symlink_to(outside)
    (fleet.folder / "loop").symlink_to(fleet.folder)
    (fleet.folder / "gone.yaml").symlink_to("nowhere.yaml")
    (fleet.folder / "real").mkdir()
    fleet.deploy("c", path="real/.c")
    (fleet.folder / "c.yaml").symlink_to("real/.c")
    loaded = fleet.load()
    assert list(loaded.desired) == ["a", "c"]
    assert [(Path(p.where).name, p.what.split(" /")[0]) for p in loaded.problems] == [
        ("b.yaml", "the path leads out of"), ("gone.yaml", "there is no such file"),
    ]  # fmt: skip
    assert not loaded.complete
    (fleet.tmp / ".git").mkdir()  # the repository's root is above the folder now
    assert list(fleet.load().desired) == ["a", "b", "c"]


def test_a_goal_behind_a_link_out_of_the_repository_is_refused(fleet: Fleet) -> None:
    (fleet.tmp / "secret").write_text("x")
    (fleet.folder / "goal.md").symlink_to(fleet.tmp / "secret")
    fleet.deploy("mailer", "workload: analyst\ngoal: {file: goal.md}")
    [problem] = fleet.load().problems
    assert "leads out of" in problem.what


def test_what_is_no_regular_file_is_refused_and_never_waited_for(fleet: Fleet) -> None:
    os.mkfifo(fleet.folder / "pipe.yaml")
    fleet.deploy("mailer")
    loaded = fleet.load()
    assert [problem.what for problem in loaded.problems] == ["it is not a regular file"]
    assert list(loaded.desired) == ["mailer"]
    assert not loaded.complete


def test_what_cannot_be_read_suspends_removals(fleet: Fleet) -> None:
    fleet.deploy("a", path="closed/a.yaml")
    fleet.deploy("b").chmod(0)
    fleet.deploy("c")
    (fleet.folder / "closed").chmod(0)
    try:
        with as_a_plain_user():
            loaded = fleet.load()
    finally:
        (fleet.folder / "closed").chmod(0o700)
    assert list(loaded.desired) == ["c"]
    assert len(loaded.problems) == 2
    assert not loaded.complete


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\xff\xfea\x00:\x00", "the file is not UTF-8"),
        (b"a: caf\xe9\n", "the file is not UTF-8"),
        (b"# " + b"x" * (1 << 20), "it is larger than 1 MiB"),
        (b"a: \x00", "the character U+0000 is not allowed in YAML"),
    ],
)
def test_a_file_that_is_no_text_is_refused(fleet: Fleet, content: bytes, what: str) -> None:
    fleet.write("bad.yaml", content)
    fleet.deploy("mailer")
    loaded = fleet.load()
    assert [problem.what for problem in loaded.problems] == [what]
    assert list(loaded.desired) == ["mailer"]
    assert not loaded.complete


@pytest.mark.parametrize("path", [b"caf\xe9.yaml", b"caf\xe9/mailer.yaml"])
def test_a_name_that_no_record_could_hold_is_refused(fleet: Fleet, path: bytes) -> None:
    fleet.deploy("mailer")
    fleet.deploy("other", path=os.fsdecode(path))
    loaded = fleet.load()
    assert [problem.what for problem in loaded.problems] == ["its name is not UTF-8"]
    assert list(loaded.desired) == ["mailer"]
    assert not loaded.complete
    with pytest.raises(ManifestError, match="path of this folder is not UTF-8"):
        load(fleet.folder.rename(fleet.folder.with_name(os.fsdecode(b"caf\xe9"))), home=None)


def test_the_order_and_the_division_of_files_do_not_matter(tmp_path: Path) -> None:
    documents = [
        f"apiVersion: haymaker/v1\nkind: Deployment\nmetadata: {{name: a-{i}}}\nspec:\n  workload: sleeper\n"
        + (f"  dependsOn: [{{name: a-{i + 1}}}]\n" if i < 7 else "")
        + ("  wrong: key\n" if i == 3 else "")
        for i in range(8)
    ]
    seen = set()
    for seed in range(6):
        dice = random.Random(seed)
        fleet = Fleet(tmp_path / str(seed))
        dice.shuffle(documents)
        cut = dice.randrange(1, 8)
        fleet.write(f"{dice.choice('abxyz')}.yaml", "---\n".join(documents[:cut]))
        fleet.write(f"sub/{dice.choice('abxyz')}.yaml", "---\n".join(documents[cut:]))
        loaded = fleet.load()
        digests = tuple((name, want.digest) for name, want in loaded.desired.items())
        seen.add((digests, tuple(sorted(loaded.broken_names)), tuple(p.what for p in loaded.problems), loaded.complete))
    assert len(seen) == 1


def test_a_file_alone_counts_with_the_fleet_and_the_workloads_of_its_folder(fleet: Fleet) -> None:
    fleet.write(
        "fleet.yaml", "apiVersion: haymaker/v1\nkind: Fleet\nmetadata: {name: prod}\nspec: {sync: {prune: true}}\n"
    )
    fleet.deploy("a")
    file = fleet.deploy("b", "workload: analyst\ndependsOn: [{name: elsewhere}]")
    fleet.deploy("wrong", "wrokload: x")
    fleet.deploy("deep", path="sub/deep.yaml")
    loaded = load(file, home=fleet.home)
    assert list(loaded.desired) == ["b"]
    assert (loaded.single_file, loaded.fleet.name, loaded.problems, loaded.complete) == (True, "prod", (), True)
    fleet.write(
        "fleet.yaml", "apiVersion: haymaker/v1\nkind: Fleet\nmetadata: {name: prod}\nspec: {sync: {prune: many}}\n"
    )
    loaded = load(file, home=fleet.home)
    assert list(loaded.desired) == []
    assert loaded.broken_names == {"b"}
    assert len(loaded.problems) == 1


def test_strict_makes_errors_of_warnings(fleet: Fleet) -> None:
    fleet.write("w.yaml", "name: odd\nversion: '1'\nentrypont: x\ncommand: [sleep, '1']\nx-note: free\n")
    fleet.deploy("mailer", "workload: odd")
    for home in (False, True, True):
        loaded = fleet.load(home=home)
        assert [problem.severity for problem in loaded.problems] == ["warning"]
        assert list(loaded.desired) == ["mailer"]
        strict = fleet.load(home=home, strict=True)
        assert {problem.severity for problem in strict.problems} == {"error"}
        assert list(strict.desired) == []
        assert strict.broken_names == {"mailer"}


def test_defaults_of_the_fleet_come_after_the_manifest_and_before_the_workload(fleet: Fleet) -> None:
    fleet.write("w.yaml", "name: w\nversion: '1'\ncommand: [x]\nrun: {timeout: 1h, backoffLimit: 9, mode: service}\n")
    defaults = (
        "{run: {timeout: 2h}, env: [{name: A, value: fleet}, {name: B, valueFrom: {file: b.txt}}, "
        "{name: C, valueFrom: {command: [./vault.sh, read, c]}}], protect: true}"
    )
    head = "apiVersion: haymaker/v1\nkind: Fleet\nmetadata: {name: prod}\nspec:\n  defaults: "
    fleet.write("fleet.yaml", head + defaults + "\n")
    fleet.deploy("a", "workload: w\nenv: [{name: A, value: mine}]\nrun: {backoffLimit: 1}", path="deep/a.yaml")
    want = fleet.load().desired["a"]
    assert (want.timeout, want.backoff_limit, want.service, want.protect) == (7200.0, 1, True, True)
    assert want.spec["env"] == [
        {"name": "B", "valueFrom": {"file": "../b.txt"}},
        {"name": "C", "valueFrom": {"command": ["../vault.sh", "read", "c"]}},
        {"name": "A", "value": "mine"},
    ]
    fleet.deploy("a", "workload: w\nenv: [{name: A, value: mine}]\nrun: {backoffLimit: 1}", path="deep/deeper/a.yaml")
    (fleet.folder / "deep/a.yaml").unlink()
    moved = fleet.load().desired["a"]
    assert moved.spec["env"][1]["valueFrom"] == {"command": ["../../vault.sh", "read", "c"]}
    assert moved.digest == want.digest, "moving a manifest is no change"


def _git(folder: Path, *args: str) -> None:
    config = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(folder), *config, *args], check=True, capture_output=True)


def test_a_commit_reads_like_the_folder_it_was_made_of(fleet: Fleet) -> None:
    fleet.write("goals/g.md", "# Goal\n")
    fleet.write(".haymakerignore", "drafts/\n")
    fleet.write("drafts/x.yaml", "nonsense: [")
    fleet.deploy("a", "workload: analyst\ngoal: {file: goals/g.md}")
    fleet.deploy("b", path="sub/b.yaml")
    (fleet.folder / "link.md").symlink_to("goals/g.md")
    fleet.deploy("c", "workload: analyst\ngoal: {file: link.md}")
    _git(fleet.tmp, "init")
    _git(fleet.tmp, "add", "manifests")
    _git(fleet.tmp, "commit", "-m", "first")
    then = fleet.load()
    for home in (None, fleet.home):
        if home is not None:
            fleet.load(home=True)
        same(load_base(fleet.folder, "HEAD", then, home=home), then)
    fleet.deploy("a", "workload: sleeper")
    fleet.write("goals/g.md", "# Another\n")
    (fleet.folder / "sub" / "b.yaml").unlink()
    now = fleet.load(home=True)
    base = load_base(fleet.folder, "HEAD", now, home=fleet.home)
    same(base, then)
    assert now.desired.keys() == {"a", "c"}
    with pytest.raises(UsageError, match="no revision"):
        load_base(fleet.folder, "nonsense", now, home=None)
    with pytest.raises(UsageError, match="no revision"):
        load_base(fleet.folder, "--upload-pack=x", now, home=None)
    (fleet.tmp / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(ManifestError, match="git does not read this repository: not a git repository"):
        load_base(fleet.folder, "HEAD", now, home=None)


def test_of_a_base_only_what_differs_is_read(fleet: Fleet) -> None:
    fleet.deploy("a")
    fleet.deploy("b")
    _git(fleet.tmp, "init", "-q")
    _git(fleet.tmp, "add", ".")
    _git(fleet.tmp, "commit", "-m", "first")
    then = fleet.load()
    fleet.deploy("a", "workload: sleeper\nconfig: {n: 2}")
    kept = subprocess.run(
        ["git", "hash-object", str(next(fleet.folder.rglob("b.yaml")))], capture_output=True, text=True, check=True
    ).stdout.strip()
    (fleet.tmp / ".git" / "objects" / kept[:2] / kept[2:]).unlink()  # whoever asks git for it now gets an error
    same(load_base(fleet.folder, "HEAD", fleet.load(), home=None), then)


def test_a_base_that_held_nothing_is_empty(fleet: Fleet) -> None:
    _git(fleet.tmp, "init", "-q")
    _git(fleet.tmp, "commit", "--allow-empty", "-m", "nothing")
    fleet.deploy("a")
    now = fleet.load()
    assert now.desired
    base = load_base(fleet.folder, "HEAD", now, home=None)
    assert (base.desired, base.files, base.problems) == ({}, 0, ())


def test_a_folder_in_no_repository_has_no_base(fleet: Fleet) -> None:
    with pytest.raises(ManifestError, match="no git repository"):
        load_base(fleet.folder, "HEAD", fleet.load(), home=None)


_words = st.sampled_from(
    ["apiVersion: haymaker/v1", "kind: Deployment", "kind: Fleet", "kind: Workload", "metadata:", "  name: a", "spec:",
     "  workload: sleeper", "  workload: [", "name: w", "command: [x]", "version: '1'", "config_schema:", "---", "&a",
     "*a",
     "  run: {mode: service}", "  - x", "\t", "}", "'", "  config: {a: 1}", "  dependsOn: [{name: a}]", "? ", ": ",
     "<<: 1",
     "  goal: {file: /}", "  goal: {inline: x}", "  goal: {file: \"\\0\"}", "  env: [{name: A, value: \"\\ud800\"}]",
     "  success: {checks: [{name: a, file: {path: a, jsonSchema: {type: x}}}]}", "  defaults: {run: 1}", "1: 2", "null",
     "  renamedFrom: [a]", "  workload: {name: sleeper, version: x}", "%YAML 9.9", "!!x y", "\x07", "é",
     "  sync: {prune: 1}"]
)  # fmt: skip
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["name", "spec", "run", "env", "value", "valueFrom", "config", "goal", "file", "checks", "type", "default", "x"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(_words, max_size=14), st.binary(max_size=60))
def test_whatever_a_file_holds_loading_names_problems_and_nothing_else(
    fleet: Fleet, words: list[str], tail: bytes
) -> None:
    fleet.deploy("good")
    fleet.write("bad.yaml", "\n".join(words).encode("utf-8", "surrogatepass") + b"\n" + tail)
    for home in (False, True):
        loaded = fleet.load(home=home)
        assert all(problem.where and problem.what and problem.fix for problem in loaded.problems)
        assert "good" in loaded.desired or loaded.problems


@settings(max_examples=150)
@given(
    st.sampled_from(["Deployment", "Fleet", "Workload", None]),
    st.dictionaries(
        st.sampled_from(["workload", "run", "env", "config", "goal", "success", "dependsOn", "sync", "defaults",
                         "policy",
                         "config_schema", "configSchema", "command", "name", "version", "budget", "artifacts"]),
        _json, max_size=6,
    ),
)  # fmt: skip
def test_whatever_a_document_says_loading_names_problems_and_nothing_else(
    fleet: Fleet, kind: str | None, spec: dict[str, object]
) -> None:
    import yaml

    document: dict[str, object] = {"name": "w", "command": ["x"], **spec}
    if kind is not None:
        document = {"apiVersion": "haymaker/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    fleet.write("bad.yaml", yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "replace"))
    loaded = fleet.load()
    assert all(problem.where and problem.what and problem.fix for problem in loaded.problems)
