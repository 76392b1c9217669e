"""What looks show when the world is not as it should be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from conftest import make_cli

from agent_haymaker.testing import eventually
from reconciler.history import run_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Cli


def test_a_damaged_record_is_doubt_and_a_foreign_one_unmanaged(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    record = next((own.home / "state").glob("keeper-*.json"))
    whole = record.read_text()
    record.write_text(whole[:50])
    (own.home / "state" / "stray-0123abcd.json").write_text('{"deployment_id": "stray-0123abcd", "status": "running"}')
    listed = json.loads(own("list", "-o", "json").out)["items"]
    by_name = {item["name"]: item for item in listed}
    assert by_name["keeper"]["health"] == "Unknown"
    assert by_name["stray"]["managed"] is False
    assert own("status", "keeper", "--exit-status").code == 1
    assert "not valid JSON" in own("status", "keeper").out
    assert own("status", "stray").code == 0
    examined = own("doctor")
    assert examined.code == 1
    assert "stray" in examined.out
    record.write_text(whole)
    assert own("status", "keeper", "--exit-status").code == 0


def test_an_unreadable_inventory_is_doubt_for_every_look(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    checkpoint = own.home / "fleets" / "shop.json"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-20])
    assert own("doctor").code == 1
    assert own("status", "keeper", "--exit-status").code == 1
    checkpoint.write_bytes(whole)


@pytest.mark.slow
def test_why_tells_a_change_before_it_is_applied(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    manifest = own.folder / "fleet.yaml"
    manifest.write_text(manifest.read_text().replace("exit 3", "exit 4").replace("name: reporter,", "name: renamed,"))
    explained = own("why", "loser").out
    assert "exit 3 → exit 4" in explained
    assert "OutOfSync" in explained
    assert "Missing" in own("why", "renamed").out
    assert "no manifest" in own("why", "reporter").out
    manifest.write_text(manifest.read_text() + "  unknown: 1\n")
    broken = own("why", "loser").out
    assert "problem" in broken


def test_waiting_ends_when_another_process_deletes(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    waiting = own.popen("wait", "keeper", "--for", "deleted", "--timeout", "120s")
    assert own("delete", "-f", "manifests", "--yes").code == 0
    out, err = waiting.communicate(timeout=120)
    assert (waiting.returncode, out, err) == (0, "keeper: deleted\n", "")
    assert "removed" in own("runs", "keeper", "-o", "wide").out
    assert own("logs", "keeper", "-n", "1").code == 0


def test_lines_without_a_time_are_left_out_once_their_log_is_older_and_told_where_nobody_knows(own: Cli) -> None:
    assert own("apply", "-f", "manifests", "--only", "keeper").code == 0
    assert eventually(lambda: "token" in own("logs", "keeper", "-n", "1").out)
    within = own("logs", "keeper", "-n", "2", "--since", "1h")
    assert (within.out.count("\n"), within.err) == (2, ""), "the whole run is younger"
    assert (own("logs", "keeper", "--since", "0s").out, own("logs", "keeper", "--since", "0s").err) == ("", "")
    [log] = own.home.rglob("agent.log")
    os.utime(log, (time.time() + 3600,) * 2)
    unsure = own("logs", "keeper", "-n", "2", "--since", "0s")
    assert (unsure.out, unsure.err.partition(":")[0]) == (within.out, "2 lines that tell no time may be older")


def test_a_place_that_cannot_be_written_is_told_with_what_helps_there(own: Cli) -> None:
    below = own("plan", "-f", "manifests", "--out", "manifests/fleet.yaml/p.json").err
    assert "fix: something on that path is a file: move it away, or give another --out" in below
    fixed = own.folder / "fixed"
    fixed.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(fixed)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        return  # this machine lets this user mount nothing
    try:
        said = own("plan", "-f", "manifests/fleet.yaml", "--out", str(fixed / "p.json")).err
        assert "fix: the filesystem is read-only: give another --out" in said
        home = own("doctor", HAYMAKER_HOME=str(fixed)).out
        assert f"{fixed} cannot be written: its filesystem is read-only" in home
        assert "chmod" not in home
    finally:
        subprocess.run(["umount", str(fixed)], check=True)


def test_a_workload_that_is_a_class_says_where_it_is_listed_that_it_cannot_run_yet(own: Cli) -> None:
    (own.folder / "counter").mkdir()
    (own.folder / "counter/workload.yaml").write_text('name: counter\nversion: "1"\nentrypoint: "counter:Counter"\n')
    why = "it has no command; a Python class is not supported yet"
    listed = own("workload", "list", "-f", "manifests").out.splitlines()
    assert [line.split()[0] for line in listed if why in line] == ["counter"]
    assert f"problem     {why}" in own("workload", "info", "counter", "-f", "manifests").out
    found = json.loads(own("workload", "list", "-f", "manifests", "-o", "json").out)["items"]
    assert {w["name"]: w["problem"] for w in found if w["problem"]} == {"counter": why}


def test_an_edit_is_told_until_a_pass_has_read_it(own: Cli) -> None:
    def sync(*words: str) -> tuple[str, list[str]]:
        item = json.loads(own(*words, "-o", "json").out)
        item = next(i for i in item["items"] if i["name"] == "reporter") if "items" in item else item
        return item["sync"], item["edited"]

    manifest = own.folder / "fleet.yaml"
    assert own("apply", "-f", "manifests").code == 0
    assert sync("status", "reporter") == ("Synced", [])
    manifest.write_text(manifest.read_text() + "# a remark\n")
    assert sync("status", "reporter") == ("Unknown", [str(manifest)])
    assert sync("list", "--edits") == sync("status", "--edits") == ("Unknown", [str(manifest)])
    assert sync("list") == ("Synced", [])
    told = own("status", "reporter").out
    assert (
        "sync        Unknown  manifests/fleet.yaml changed after the last apply; `haymaker why reporter` compares"
        in told
    )
    assert "sync        Synced" in own("why", "keeper").out
    assert own("apply", "-f", "manifests", "--only", "keeper").code == 0
    assert sync("status", "reporter")[0] == "Unknown", "that pass was not about it"
    assert own("apply", "-f", "manifests").code == 0
    assert sync("status", "reporter") == ("Synced", [])
    manifest.rename(own.folder / "other.yaml")
    assert sync("status", "reporter") == ("Unknown", [str(manifest)])


@pytest.mark.slow
def test_what_waits_in_vain_says_so_and_ends_a_wait_for_it(own: Cli) -> None:
    manifest = own.folder / "fleet.yaml"
    manifest.write_text(manifest.read_text().replace("path: report.txt", "path: other.txt"))
    assert own("apply", "-f", "manifests").code == 0
    assert own("status", "loser", "-o", "json").out.count("DependencyNotMet") == 0
    assert eventually(lambda: "Degraded" in (own("apply", "-f", "manifests").out, own("status", "reporter").out)[1])
    why = "reporter will not be GoalMet: its run ended (exit code 0, checks failed)"
    stands = json.loads(own("status", "loser", "-o", "json").out)
    assert (stands["health"], stands["reason"]) == ("Degraded", "DependencyNotMet")
    listed = json.loads(own("list", "-o", "json").out)["items"]
    assert next(i for i in listed if i["name"] == "loser").items() <= stands.items()
    assert own("status", "loser", "--exit-status").code == 3
    explained = own("why", "loser").out
    assert f"Degraded  it is not started: {why}" in explained
    assert "next        nothing, until what it waits for is mended or its manifest changes" in explained
    for wanted in ("condition=GoalMet", "health=Healthy", "status=running"):
        waited = own("wait", "loser", "--for", wanted, "--timeout", "50s")
        assert (waited.code, why in waited.err) == (1, True), waited
    manifest.write_text(manifest.read_text().replace("path: other.txt", "path: report.txt"))
    assert "reporter is not GoalMet yet" in own("why", "loser").out


def test_a_run_that_ended_unrecorded_says_that_a_pass_is_missing(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    assert own("wait", "reporter", "--for", "status=completed", "--timeout", "100s").code == 0
    waited = own("wait", "reporter", "--for", "condition=GoalMet", "--timeout", "200ms")
    assert waited.code == 4
    assert "run `haymaker apply`" in waited.err


def test_one_file_is_applied_without_a_word_of_the_others(own: Cli) -> None:
    fleet, single = own.folder / "fleet.yaml", own.folder / "single.yaml"
    head = "metadata: {name: shop}\n"
    fleet.write_text(fleet.read_text().replace(head, head + "spec: {sync: {prune: true}}\n", 1))
    single.write_text(
        "apiVersion: haymaker/v1\nkind: Deployment\nmetadata: {name: single}\n"
        'spec: {workload: shell, config: {line: "true"}}\n'
    )
    assert own("apply", "-f", "manifests").code == 0
    alone = own("apply", "-f", "manifests/single.yaml", "--wait")
    assert alone.code == 0, alone
    assert "single: healthy" in alone.err
    assert not {"keeper", "loser", "reporter"} & set(re.findall(r"\w+", alone.out + alone.err))
    single.unlink()
    asked = own("apply", "-f", "manifests", "--wait")
    assert (asked.code, asked.err.count("not confirmed: single")) == (5, 1), asked


def test_a_run_that_never_started_says_so_where_its_log_would_be(own: Cli) -> None:
    fleet = own.folder / "fleet.yaml"
    fleet.write_text(fleet.read_text().replace("[sh, ./run.sh]", "[no-such-tool]"))
    failed = own("apply", "-f", "manifests", "--only", "reporter", PATH=f"/no/where:{os.environ['PATH']}")
    assert failed.code != 0
    assert "fix: install it, or name it by its path" in failed.err
    assert failed.err.count("/no/where") == 1, "the search path is told where it helps"
    empty = own("logs", "reporter").err
    assert "has left no log: it never started, since the program 'no-such-tool' is not on the agent's PATH\n" in empty


ONE = """\
apiVersion: haymaker/v1
kind: Workload
metadata: {name: shell}
spec: {version: "1.0", command: [sh, ./run.sh], configSchema: {line: {type: string, required: true}}}
---
apiVersion: haymaker/v1
kind: Deployment
metadata: {name: NAME}
spec: {workload: shell, config: {line: "LINE"}}
"""


@pytest.mark.slow
def test_a_deleted_deployment_is_remembered_and_its_successor_counts_on(tmp_path: Path) -> None:
    cli = make_cli(tmp_path, ONE.replace("NAME", "job").replace("LINE", "echo first"))
    apply = ("apply", "-f", "manifests", "--wait", "--timeout", "120s")
    assert cli(*apply).code == 0
    first = json.loads(cli("status", "job", "-o", "json").out)["id"]
    assert cli("delete", "-f", "manifests", "--yes").code == 0
    for words in (("status", "job"), ("wait", "job"), ("status", first)):
        answered = cli(*words)
        assert answered.code == 1
        assert f"{words[1]} was deleted at 20" in answered.err
    for name in ("job", first):
        explained = cli("why", name, "-f", "elsewhere")
        assert explained.code == 0, explained.err
        assert f"nothing: {first} was deleted at 20" in explained.out
        assert "its last run 1.1: exit code 0" in explained.out
    assert "was deleted" in cli("why", "job").out
    assert "create it" in cli("why", "job").out
    logged = cli("logs", "job")
    assert logged.out == "first\n"
    assert logged.err.startswith(f"run 1.1 of {first}; job was deleted at 20")

    (cli.folder / "fleet.yaml").write_text(ONE.replace("NAME", "job").replace("LINE", "echo second"))
    assert cli(*apply).code == 0
    second = json.loads(cli("status", "job", "-o", "json").out)["id"]
    runs = [item["run"] for item in json.loads(cli("runs", "job", "-o", "json").out)["items"] if item["run"]]
    assert runs == ["1.1", "2.1"]
    for words, out, err in (
        (("logs", "job"), "second\n", f"run 2.1 of {second}\n"),
        (("logs", "job", "--run", "1.1"), "first\n", f"run 1.1 of {first}, before {second}\n"),
        (("logs", "job", "--previous"), "first\n", f"run 1.1 of {first}, before {second}\n"),
    ):
        logged = cli(*words)
        assert (logged.out, logged.err) == (out, err)


@pytest.mark.slow
def test_an_old_name_leads_to_the_new_one(tmp_path: Path) -> None:
    cli = make_cli(tmp_path, ONE.replace("NAME", "job").replace("LINE", "echo same"))
    apply = ("apply", "-f", "manifests", "--wait", "--timeout", "120s")
    assert cli(*apply).code == 0
    for old, new in (("job", "task"), ("task", "errand")):
        text = ONE.replace("NAME}", f"{new}}}").replace("LINE", "echo same")
        (cli.folder / "fleet.yaml").write_text(text.replace("shell, config", f"shell, renamedFrom: [{old}], config"))
        assert cli(*apply).code == 0
    for old in ("job", "task"):
        explained = cli("why", old)
        assert explained.code == 0
        assert "was renamed to errand at 20" in explained.out
        assert "it is errand now; see `haymaker why errand`" in explained.out
        answered = cli("status", old)
        assert answered.code == 1
        assert "it is errand now" in answered.err
        assert "it is errand now" in cli("logs", old).err
        assert "it is errand now" in cli("runs", old).err
    assert [i["run"] for i in json.loads(cli("runs", "errand", "-o", "json").out)["items"]] == ["1.1"]
    for file in (cli.home / "history").glob("[jt]*.jsonl"):
        file.unlink()  # as an older haymaker left it
    assert "it is errand now" in cli("why", "task").out


def test_numbers_of_runs_are_unique_also_where_two_histories_became_one() -> None:
    keys = ["i.a-11111111.1.1", "i.a-11111111.1.2", "i.b-22222222.1.1", "i.b-22222222.2.1"]
    assert [run_numbers(keys)[key] for key in keys] == ["11111111.1.1", "1.2", "1.1", "2.1"]


WEB = "apiVersion: haymaker/v1\nkind: Deployment\nmetadata: {{name: web}}\n"
WEB += "spec: {{workload: w, config: {{n: {n}}}, run: {run}}}\n"
PROGRAM = "name: w\nversion: '1'\ncommand: [{command}]\nconfig_schema: {{n: {{type: integer, default: 1}}}}\n"


def test_runs_shows_the_commit_that_each_run_was_started_from(own: Cli) -> None:
    def git(*args: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(
            ["git", "-C", str(own.folder), *who, *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    def commits() -> list[str]:
        return [line["commit"] for line in json.loads(own("runs", "web", "-o", "json").out)["items"]]

    (own.folder / "fleet.yaml").unlink()
    service = "{mode: service, terminationGracePeriod: 1s}"
    (own.folder / "workload.yaml").write_text(PROGRAM.format(command="sleep, '1000'"))
    (own.folder / "web.yaml").write_text(WEB.format(n=1, run=service))
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "A")
    first = git("rev-parse", "HEAD")
    assert own("apply", "-f", str(own.folder)).code == 0
    assert commits() == [first]
    git("commit", "-qm", "B", "--allow-empty")
    second = git("rev-parse", "HEAD")
    (own.folder / "web.yaml").write_text(WEB.format(n=2, run=service))
    assert own("apply", "-f", str(own.folder)).code == 0
    assert commits() == [first, f"{second}-dirty"]
    assert f"{second[:12]}-dirty" in own("runs", "web").out


def test_offline_is_what_apply_would_do_in_an_empty_home(own: Cli) -> None:
    (own.folder / "fleet.yaml").write_text(
        "apiVersion: haymaker/v1\nkind: Fleet\nmetadata: {name: shop}\nspec: {limits: {maxStartsPerPass: 2}}\n---\n"
        + WEB.format(n=1, run="{}").replace("web", "a")
        + "---\n"
        + WEB.format(n=1, run="{}, dependsOn: [{name: a, condition: Completed}]").replace("web", "b")
        + "---\n"
        + WEB.format(n=1, run="{}, env: [{name: T, valueFrom: {env: NO_SUCH_VARIABLE}}]").replace("web", "c")
        + "---\n"
        + WEB.format(n=1, run="{}").replace("web", "d")
    )
    (own.folder / "workload.yaml").write_text(PROGRAM.format(command="'true'"))
    looked, offline = (own("plan", "-f", str(own.folder), *more) for more in ((), ("--offline",)))
    assert "a is not Completed yet" in looked.out
    assert "! blocked c" in looked.out
    assert (offline.out, offline.code) == (looked.out, looked.code) == (looked.out, 5)
    assert own("plan", "-f", str(own.folder), "--offline", "--base", "HEAD").code == 64


def test_a_review_tells_what_a_change_may_cost_what_it_gains_and_what_goes_on(own: Cli) -> None:
    def git(*args: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", str(own.folder), *who, *args], capture_output=True, check=True)

    key = "{}, env: [{name: KEY, valueFrom: {env: OLD_KEY}}]"
    (own.folder / "workload.yaml").write_text(PROGRAM.format(command="'true'"))
    (own.folder / "web.yaml").write_text(WEB.format(n=1, run=key))
    (own.folder / "mail.yaml").write_text(WEB.format(n=1, run=key).replace("web", "mail"))
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "A")
    (own.folder / "mail.yaml").unlink()
    more = "{}, budget: {maxCostUSD: 5, maxTurns: 30, period: day}, env: [{name: KEY, valueFrom: {env: OLD_KEY}}, "
    more += "{name: TOKEN, valueFrom: {file: token}}, {name: PLAIN, value: x}]"
    (own.folder / "web.yaml").write_text(WEB.format(n=2, run=more))
    (own.folder / "new.yaml").write_text(WEB.format(n=1, run=key).replace("web", "new"))
    said = own("plan", "-f", str(own.folder), "--base", "HEAD", "-o", "markdown").out
    web = next(line for line in said.splitlines() if "`web`" in line)
    assert web.endswith("<br>may use $5.00, 30 turns a day; gains TOKEN (file token) |")
    new = next(line for line in said.splitlines() if "`new`" in line)
    assert new.endswith("<br>has no budget of its own; gains KEY (env OLD_KEY) |")
    assert "> prune is off: mail will go on as before until somebody applies with --prune" in said
    stakes = json.loads(own("plan", "-f", str(own.folder), "--base", "HEAD", "-o", "json").out)["stakes"]
    assert stakes == {
        "new": {"mayUse": None, "gains": ["KEY (env OLD_KEY)"]},
        "web": {"mayUse": "$5.00, 30 turns a day", "gains": ["TOKEN (file token)"]},
    }
