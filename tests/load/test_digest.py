"""What makes a new generation, and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.digest import diff_specs, in_place_digest, spec_digest
from tests.load.conftest import Fleet

FIXTURE = Path(__file__).parent / "fixtures" / "digest-v1.json"
BASE = "workload: analyst\ngoal: {file: goal.md}\nconfig: {max_turns: 30}"

# Every default of the language, written out: the spec that says nothing must have the same digest.
DEFAULTS = {
    "desiredState": "running",
    "config": {"sdk": "script"},
    "env": [],
    "run": {
        "mode": "task", "schedule": None, "timeZone": "UTC", "concurrencyPolicy": "Forbid", "restartPolicy": "Never",
        "backoffLimit": 3, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "5m"}, "timeout": None,
        "progressDeadline": "15m", "onStalled": "report", "terminationGracePeriod": "30s", "sideEffects": "external",
        "limits": {"memory": None, "cpuTime": None, "openFiles": None},
    },
    "update": {"strategy": "Recreate", "autoRevert": False},
    "budget": None,
    "success": {"checks": []},
    "artifacts": {"paths": [], "transcript": True, "retention": {"keepRuns": 10, "maxAge": "720h", "maxBytes": None}},
    "dependsOn": [],
    "suspend": False,
    "deletionPolicy": "Delete",
    "protect": False,
    "renamedFrom": [],
}  # fmt: skip


@pytest.fixture
def goal(fleet: Fleet) -> Fleet:
    fleet.write("goal.md", "# Goal\n")
    fleet.write("rules.txt", "none\n")
    fleet.deploy("mailer", BASE)
    return fleet


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(BASE.replace("max_turns: 30", "max_turns: 31"), id="a config value"),
        pytest.param(
            BASE.replace("max_turns: 30", "max_turns: 30, sdk: other"), id="a config value that had a default"
        ),
        pytest.param(BASE.replace("max_turns: 30", "max_turns: 30, rules: rules.txt"), id="a file in the config"),
        pytest.param(BASE + "\nenv: [{name: A, value: x}]", id="a variable"),
        pytest.param(BASE + "\nenv: [{name: A, valueFrom: {env: A}}]", id="a reference to a secret"),
        pytest.param(BASE + "\nrun: {mode: service}", id="the mode"),
        pytest.param(BASE + "\nrun: {timeout: 1h}", id="the timeout"),
        pytest.param(BASE + "\nrun: {limits: {memory: 1Gi}}", id="a limit"),
        pytest.param("workload: sleeper", id="the workload"),
    ],
)
def test_a_change_of_this_needs_a_new_run(goal: Fleet, spec: str) -> None:
    before = goal.digest("mailer")
    goal.deploy("mailer", spec)
    assert goal.digest("mailer") != before


@pytest.mark.parametrize(
    "spec",
    [
        "desiredState: stopped", "suspend: true", "renamedFrom: [old]",
        "protect: true", "deletionPolicy: Retain", "dependsOn: [{name: other}]", "run: {restartPolicy: OnFailure}",
        "run: {backoffLimit: 9}", "run: {backoff: {duration: 1s}}", "run: {terminationGracePeriod: 1s}",
        "run: {sideEffects: none}", "update: {strategy: Manual}", "artifacts: {paths: [a]}",
        "success: {checks: [{name: a, file: {path: a}}]}", "config: {max_turns: 30, verbose: true}",
    ],
)  # fmt: skip
def test_a_change_of_this_applies_without_a_restart(goal: Fleet, spec: str) -> None:
    goal.deploy("other")
    before = goal.load().desired["mailer"]
    goal.deploy(
        "mailer", BASE.replace("\nconfig: {max_turns: 30}", "") + "\n" + spec if "config" in spec else f"{BASE}\n{spec}"
    )
    after = goal.load().desired["mailer"]
    assert after.digest == before.digest
    own_verdict = spec.startswith(("desiredState", "suspend", "renamedFrom"))
    assert (in_place_digest(after) == in_place_digest(before)) is own_verdict


def test_labels_and_notes_apply_in_place_and_a_restart_is_asked_for_by_its_annotation(goal: Fleet) -> None:
    before = goal.load().desired["mailer"]
    goal.deploy("mailer", BASE, metadata=", labels: {team: a}, annotations: {note: b}")
    labelled = goal.load().desired["mailer"]
    assert labelled.digest == before.digest
    assert in_place_digest(labelled) != in_place_digest(before)
    goal.deploy("mailer", BASE, metadata=', annotations: {haymaker/restartedAt: "2024-01-01T00:00:00Z"}')
    restarted = goal.load().desired["mailer"]
    assert restarted.digest != before.digest
    assert in_place_digest(restarted) == in_place_digest(before)


def test_the_content_of_what_a_manifest_names_counts_and_its_place_does_not(goal: Fleet) -> None:
    goal.deploy("mailer", BASE.replace("max_turns: 30", "max_turns: 30, rules: rules.txt"))
    before = goal.digest("mailer")
    for file in ("goal.md", "rules.txt", "run.sh"):
        old = (goal.folder / file).read_bytes()
        goal.write(file, "other\n")
        assert goal.digest("mailer") != before, file
        goal.write(file, old)
        assert goal.digest("mailer") == before, file
    # Manifest, goal and rules move: the same agent.
    goal.write("team/x/goal.md", (goal.folder / "goal.md").read_bytes())
    goal.write("team/rules.txt", (goal.folder / "rules.txt").read_bytes())
    (goal.folder / "mailer.yaml").unlink()
    moved = "workload: analyst\nconfig: {goal_file: x/goal.md, max_turns: 30, rules: rules.txt}"
    goal.deploy("mailer", moved, path="team/renamed.yml")
    assert goal.digest("mailer") == before


def test_a_goal_is_its_bytes_however_it_is_given(goal: Fleet) -> None:
    digests = set()
    for way in ("goal: {file: goal.md}", "config: {goal_file: goal.md}", 'goal: {inline: "# Goal\\n"}'):
        goal.deploy("mailer", "workload: analyst\n" + way)
        digests.add(goal.digest("mailer"))
    assert len(digests) == 1


def test_a_version_of_the_workload_is_part_of_it_and_its_description_is_not(goal: Fleet) -> None:
    before = goal.digest("mailer")
    text = (goal.folder / "workload.yaml").read_text()
    goal.write("workload.yaml", text.replace('version: "1.4.0"', 'version: "1.4.0"\ndescription: other'))
    assert goal.digest("mailer") == before
    goal.write("workload.yaml", text.replace("1.4.0", "1.4.1"))
    assert goal.digest("mailer") != before


def test_the_value_of_a_secret_is_nowhere(goal: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    goal.write("secret.txt", "topsecret-in-file")
    goal.deploy("mailer", BASE + "\nenv: [{name: A, valueFrom: {env: A}}, {name: B, valueFrom: {file: secret.txt}}]")
    monkeypatch.setenv("A", "topsecret-in-env")
    first = goal.load(home=True)
    monkeypatch.setenv("A", "another")
    goal.write("secret.txt", "rotated")
    second = goal.load(home=True)
    assert first.desired["mailer"].digest == second.desired["mailer"].digest
    assert "topsecret" not in repr(first)
    for cache in (goal.home / "cache").iterdir():
        assert b"topsecret" not in cache.read_bytes()


@settings(max_examples=40)
@given(st.sets(st.sampled_from([(key, None) for key in DEFAULTS] + [("run", key) for key in DEFAULTS["run"]])))  # type: ignore[attr-defined]  # run is a map
def test_a_default_written_out_means_the_same_as_left_out(goal: Fleet, chosen: set[tuple[str, str | None]]) -> None:
    goal.deploy("mailer", "workload: analyst")
    plain = goal.load().desired["mailer"]
    spec: dict[str, object] = {"workload": "analyst"}
    for key, inner in sorted(chosen, key=str):
        if inner is None:
            spec[key] = DEFAULTS[key]
        elif key not in spec:
            spec[key] = {inner: DEFAULTS["run"][inner]}  # type: ignore[index]  # run is a map
    goal.deploy("mailer", _as_block(spec))
    written = goal.load()
    assert not written.problems
    assert written.desired["mailer"] == plain


def _as_block(spec: dict[str, object]) -> str:
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in spec.items())


def test_a_digest_of_version_1_never_changes(tmp_path: Path) -> None:
    """An upgrade of haymaker restarts nobody: this file was written once and is never rewritten."""
    kept = json.loads(FIXTURE.read_text())
    fleet = Fleet(tmp_path)
    for path, text in kept["files"].items():
        fleet.write(path, text)
    loaded = fleet.load()
    assert not [p for p in loaded.problems if p.severity == "error"]
    assert {name: [want.digest, want.settings] for name, want in loaded.desired.items()} == kept["digests"]


def test_a_change_is_said_field_by_field_in_the_words_of_a_manifest(goal: Fleet) -> None:
    goal.deploy("mailer", BASE + "\nrun: {timeout: 10m, limits: {memory: 512Mi}}\nenv: [{name: A, value: x}]")
    old = goal.load().desired["mailer"].spec
    goal.write("goal.md", "# Another goal\n")
    spec = BASE.replace("30", "25") + "\nrun: {timeout: 15m, limits: {memory: 1Gi}, mode: service}\nprotect: true"
    goal.deploy("mailer", spec + "\nenv: [{name: A, value: y}, {name: B, valueFrom: {env: B}}]\nrenamedFrom: [old]")
    new = goal.load().desired["mailer"].spec
    assert diff_specs(old, new) == (
        "config.max_turns 30 → 25",
        "env.A (changed)",
        "env.B.valueFrom.env (added)",
        "goal (changed)",
        "protect false → true",
        'renamedFrom none → ["old"]',
        "run.limits.memory 512Mi → 1Gi",
        "run.mode task → service",
        "run.progressDeadline 15m → none",
        "run.restartPolicy Never → Always",
        "run.timeout 10m → 15m",
    )
    assert diff_specs(new, new) == ()


def test_a_long_text_is_no_part_of_a_plan(fleet: Fleet) -> None:
    old = {"config": {"prompt": "a" * 500, "word": "x"}}
    assert diff_specs(old, {"config": {"prompt": "b" * 500, "word": "x y"}}) == (
        "config.prompt (changed)",
        "config.word x → x y",
    )


def test_numbers_that_are_equal_have_one_digest() -> None:
    spec = {"workload": {"name": "a"}, "config": {"rate": 10}, "run": {"mode": "task"}}
    assert spec_digest(spec) == spec_digest({**spec, "config": {"rate": 10.0}})
    assert spec_digest(spec).startswith("1:")
