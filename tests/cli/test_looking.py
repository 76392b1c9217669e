"""What the commands that look show, on a real fleet that has come to rest."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from agent_haymaker.testing import eventually

if TYPE_CHECKING:
    from conftest import Cli

GOLDEN = Path(__file__).parent / "golden"


def plain(text: str, cli: Cli) -> str:
    """Take out what differs from run to run: ids, times, ages, digests, pids, paths, and column widths."""
    text = text.replace(str(cli.folder.parent), "PLACE")
    text = re.sub(r"\b[0-9a-f]{8}\.(\w+)-[0-9a-f]{8}\.", r"KEY.\1.", text)
    text = re.sub(r"-[0-9a-f]{8}\b", "-ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\b1:[0-9a-f]{12,}", "DIGEST", text)
    text = re.sub(r"\b\d+m\d\ds\b|\b\d+[smhd]\b", "AGE", text)
    text = re.sub(r"pid \d+", "pid PID", text)
    return re.sub(r"(?<=\S) {2,}", "  ", text)


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    "line",
    [
        "status",
        "status keeper",
        "status reporter",
        "status loser",
        "list",
        "list -o wide",
        "list -o name",
        "list -l team=blue,!old",
        "runs reporter",
        "runs keeper -o wide",
        "why keeper",
        "why loser",
        "why reporter",
        "events loser",
        "validate",
        "workload info shell",
        "explain deployment.spec.run",
        "explain deployment.metadata.name",
    ],
)
def test_what_it_shows_is_as_reviewed(line: str, shop: Cli) -> None:
    shown = shop(*line.split())
    assert shown.code == 0, shown.err
    check_golden(line.replace(" ", "_").replace("=", "-").replace("!", "not-"), plain(shown.out, shop))


JSON_LINES = [
    "status keeper", "list", "status", "why keeper", "runs reporter", "events", "validate", "doctor", "workload list",
    "explain fleet.spec",
]  # fmt: skip


@pytest.mark.parametrize("line", JSON_LINES)
def test_json_is_one_sorted_document_with_its_version(line: str, shop: Cli) -> None:
    shown = shop(*line.split(), "-o", "json")
    document = json.loads(shown.out)
    assert document["schemaVersion"] == 1
    assert list(document) == sorted(document)


@pytest.mark.parametrize("line", [*JSON_LINES, "workload info shell", "plan"])
def test_json_and_yaml_say_the_same(line: str, shop: Cli) -> None:
    shown = (shop(*line.split(), "-o", form).out for form in ("yaml", "json"))
    as_yaml, as_json = (re.sub(r"[\d.]+ GiB free", "SOME GiB free", text) for text in shown)  # others write meanwhile
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


def test_times_in_json_are_utc(shop: Cli) -> None:
    found: dict[str, Any] = json.loads(shop("status", "reporter", "-f", "json").out)
    assert found["run"]["endedAt"].endswith("Z")
    assert found["health"] == "Healthy"
    assert found["run"]["goalMet"] is True
    assert {c["type"] for c in found["conditions"]} >= {"Ready", "Reconciling", "Progressing", "GoalMet"}


def test_a_deployment_is_named_by_its_id_too(shop: Cli) -> None:
    by_name = json.loads(shop("status", "keeper", "-o", "json").out)
    by_id = json.loads(shop("status", by_name["id"], "-o", "json").out)
    assert by_id == by_name
    assert shop("logs", by_name["id"], "-n", "1").out == shop("logs", "keeper", "-n", "1").out
    assert shop("why", by_name["id"]).code == 0


def test_the_quick_look_and_the_whole_inventory_say_the_same(shop: Cli) -> None:
    one = json.loads(shop("status", "loser", "-o", "json").out)
    items = json.loads(shop("status", "-o", "json").out)["items"]
    assert {**next(i for i in items if i["name"] == "loser")} == {k: v for k, v in one.items() if k in items[0]}


def test_output_comes_from_the_environment_unless_a_flag_says_otherwise(shop: Cli) -> None:
    assert json.loads(shop("list", HAYMAKER_OUTPUT="json").out)["kind"] == "DeploymentList"
    assert shop("list", "-o", "name", HAYMAKER_OUTPUT="json").out == "keeper\nloser\nreporter\n"
    # One variable for all: a form that only other commands have leaves this one as it is.
    assert shop("list", HAYMAKER_OUTPUT="text").out.startswith("NAME ")
    assert shop("why", "keeper", HAYMAKER_OUTPUT="wide").out.startswith("keeper ")


@pytest.mark.parametrize(("name", "code"), [("keeper", 0), ("reporter", 0), ("loser", 3), ("nobody", 1)])
def test_exit_status_tells_the_health(name: str, code: int, shop: Cli) -> None:
    assert shop("status", name, "--exit-status").code == code


def test_a_selector_chooses_what_status_shows(shop: Cli) -> None:
    assert shop("status", "-l", "team=red", "-o", "name").out == "keeper\n"
    assert shop("status", "-l", "team=red", "--exit-status").code == 0
    assert shop("status", "keeper", "-l", "team=red").code == 64


def test_exit_status_of_all_is_that_of_the_worst(shop: Cli) -> None:
    assert shop("status", "--exit-status").code == 3


def test_logs_show_the_last_lines_and_mask_secrets(shop: Cli) -> None:
    assert eventually(lambda: "token" in shop("logs", "keeper", "-n", "1").out)
    assert shop("logs", "keeper", "-n", "2").out == "line 300\ntoken [redacted]\n"
    assert len(shop("logs", "keeper").out.splitlines()) == 100
    assert len(shop("logs", "keeper", "-n", "1000").out.splitlines()) == 301


def test_following_a_log_ends_with_its_run(shop: Cli) -> None:
    assert shop("logs", "-f", "reporter").code == 0


def test_following_a_live_log_ends_quietly_when_interrupted(shop: Cli) -> None:
    process = shop.popen("logs", "-f", "keeper", "-n", "1")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    del out


def test_what_haymaker_did_is_a_log_too(shop: Cli) -> None:
    assert "deployed keeper" in shop("logs", "keeper", "--source", "reconciler").out


def test_events_are_one_json_object_a_line(shop: Cli) -> None:
    lines = [json.loads(line) for line in shop("events", "reporter", "-o", "jsonl").out.splitlines()]
    assert [line["action"] for line in lines] == ["create", "record"]
    assert shop("events", "--since", "0s").out == "no events\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["keeper"], 0),
        (["keeper", "--for", "health=Healthy"], 0),
        (["reporter", "--for", "condition=GoalMet"], 0),
        (["reporter", "keeper", "--for", "condition=Ready"], 0),
        (["reporter", "--for", "status=completed"], 0),
        (["loser", "--for", "condition=Ready=False"], 0),
        (["stranger", "--for", "deleted"], 0),
        (["loser", "--for", "health=Healthy"], 1),
        (["loser", "--for", "condition=GoalMet"], 1),
        (["stranger"], 1),
        (["keeper", "--for", "status=completed", "--timeout", "300ms"], 4),
        (["keeper", "--for", "sometime"], 64),
        (["-l", "team=red"], 0),
        (["-l", "team=blue", "--for", "health=Healthy"], 1),
        (["-l", "team=green"], 1),
        ([], 64),
        (["keeper", "-l", "team=red"], 64),
    ],
)
def test_wait_ends_with_what_it_came_to(words: list[str], code: int, shop: Cli) -> None:
    assert shop("wait", *words).code == code


def test_every_condition_that_status_prints_can_be_waited_for(shop: Cli) -> None:
    printed = json.loads(shop("status", "keeper", "-o", "json").out)["conditions"]
    for condition in printed:
        waited = shop("wait", "keeper", "--for", f"condition={condition['type']}={condition['status']}")
        assert (waited.code, waited.err) == (0, ""), condition


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("keeper", "GoalMet", "it is a service, and only the end of a task is checked"),
        ("keeper", "GoalMet=False", "it is a service, and only the end of a task is checked"),
        ("loser", "GoalMet", "it has no checks and no success criteria that could decide it"),
    ],
)
def test_a_goal_that_nothing_decides_is_not_waited_for(name: str, value: str, why: str, shop: Cli) -> None:
    waited = shop("wait", name, "--for", f"condition={value}", "--timeout", "50s")
    assert (waited.code, waited.err) == (1, f"error: {name} will not be {value}: {why}\n")


def test_a_selector_that_chooses_nobody_is_told(shop: Cli) -> None:
    for command in ("status", "list"):
        assert shop(command, "-l", "team=green").out == "no deployment matches team=green\n"
    for command in (["plan"], ["apply", "--dry-run"], ["delete", "--dry-run"]):
        done = shop(*command, "-f", "manifests", "-l", "team=green")
        assert "i no deployment matches team=green" in done.out
    chosen = shop("plan", "-f", "manifests", "--only", "keeper", "-l", "team=blue").out
    assert "i no deployment of keeper matches team=blue" in chosen


def test_doctor_finds_a_sound_home_sound(shop: Cli) -> None:
    examined = shop("doctor")
    assert examined.code == 0, examined.out


def test_a_name_that_nobody_knows_is_answered_with_the_nearest(shop: Cli) -> None:
    for command in ("status", "why", "logs", "runs"):
        answered = shop(command, "keepr")
        assert answered.code == 1
        assert "did you mean keeper?" in answered.err
    for nobody in ("", "x" * 300):  # as an unset variable leaves it, and longer than a file's name can be
        assert f"no deployment has the name or id '{nobody}'" in shop("status", nobody).err


@pytest.mark.parametrize("line", ["logs keeper -n 1000", "logs -f keeper", "explain deployment.spec", "schema fleet"])
def test_a_reader_that_goes_away_is_no_fault(line: str, shop: Cli) -> None:
    process = shop.popen(*line.split())
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


def test_a_word_far_from_every_command_is_answered_with_none(shop: Cli) -> None:
    assert "did you mean" not in shop("bogus").err
    assert "did you mean status?" in shop("stauts").err


def test_looking_at_an_empty_home_makes_nothing(empty: Cli) -> None:
    assert empty("list").out == "nothing is deployed\n"
    assert empty("status").code == 0
    assert empty("events").out == "no events\n"
    assert empty("validate").code == 0
    assert "create" in empty("why", "keeper").out
    assert empty("doctor").code == 0
    assert not empty.home.exists()


def test_completion_offers_commands_and_deployments(shop: Cli) -> None:
    env = {"_HAYMAKER_COMPLETE": "bash_complete"}
    assert "plain,status" in shop(COMP_WORDS="haymaker st", COMP_CWORD="1", **env).out
    offered = shop(COMP_WORDS="haymaker status ke", COMP_CWORD="2", **env).out
    assert offered.split() == ["plain,keeper"]
    for words, at, expected in (
        ("haymaker plan --only re", "3", ["reporter"]),
        ("haymaker explain fl", "2", ["fleet"]),
        ("haymaker explain deployment.spec.su", "2", ["deployment.spec.success", "deployment.spec.suspend"]),
        ("haymaker explain nothing.like.it", "2", []),
        ("haymaker schema w", "2", ["workload"]),
        ("haymaker completion z", "2", ["zsh"]),
    ):
        offered = shop(COMP_WORDS=words, COMP_CWORD=at, **env).out
        assert offered.split() == [f"plain,{word}" for word in expected], words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell: str, shop: Cli) -> None:
    script = shop("completion", shell).out
    assert "_HAYMAKER_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=60)
