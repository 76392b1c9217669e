"""
What a manifest asks for is what happens: each field that this version acts on, with the real CLI and real agents.
"""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest
from crash.scenarios import INJECT
from support.world import AGENT

from agent_haymaker.testing import eventually


def run_of(world, name: str) -> dict:
    return world.entries()[name]["run"]


def test_desired_state_stops_and_starts_the_same_deployment(world):
    world.declare("web")
    world.apply()
    first, record = world.one("web"), world.record("web")
    world.declare("web", desiredState="stopped")
    assert "stopped web" in world.apply().out
    world.check_exactly()
    assert world.record("web")["status"] == "stopped"
    world.declare("web")
    assert "started web" in world.apply().out
    assert world.one("web").pid != first.pid
    assert world.record("web")["deployment_id"] == record["deployment_id"]


@pytest.mark.parametrize(
    ("ends", "status", "message"),
    [("stop", "running", "its stop has begun"), ("delete", "cleaning_up", "its deletion has begun")],
)
def test_who_looks_meanwhile_sees_that_an_agent_is_being_ended(world, ends, status, message):
    lingers = "trap 'until [ -e go ]; do sleep 0.05; done; exit 0' TERM; touch ready; while :; do sleep 0.05; done"
    world.write("workload.yaml", f'name: lingers\nversion: "1"\ncommand: [bash, -c, "{lingers}"]\n')
    slowly = {"terminationGracePeriod": "60s"}
    world.declare("web", "lingers", run=slowly)
    world.apply()
    space = world.home / "agents" / world.record("web")["deployment_id"]
    eventually((space / "ready").exists)
    world.declare("web", "lingers", run=slowly, desiredState="stopped")
    ending = world.popen("apply") if ends == "stop" else world.popen("delete", "--yes")
    eventually(lambda: [r for r in world.journal() if (r["type"], r.get("verb")) == ("intent", ends)])
    for told in (world.run("status", "web", "-o", "json").json, *world.run("list", "-o", "json").json["items"]):
        assert (told["status"], told["health"], told["message"]) == (status, "Progressing", message)
    (space / "go").touch()
    ending.communicate(timeout=120)
    assert ending.returncode == 0
    if ends == "stop":
        assert world.run("status", "web", "-o", "json").json["message"] == "stopped as declared"


def test_a_changed_config_replaces_and_a_changed_label_does_not(world):
    world.declare("web", config={"size": 1})
    world.apply()
    first = world.one("web").pid
    world.declare("web", config={"size": 1}, labels={"team": "a"})
    assert "labels.team none → a" in world.apply().out
    assert world.one("web").pid == first
    world.declare("web", config={"size": 2}, labels={"team": "a"})
    said = world.apply()
    assert "-/+ replace web" in said.out
    assert "config.size 1 → 2" in said.out
    eventually(lambda: world.one("web").pid != first)
    world.check_exactly("web")


def test_a_setting_that_needs_no_restart_reaches_the_agent_that_runs(world):
    world.write(
        "talker/workload.yaml",
        f"""
        name: talker
        version: "1"
        command: [{sys.executable}, -I, -S, {AGENT}, stay]
        config_schema:
          loud: {{type: boolean, default: false, restart: false}}
        """,
    )
    world.declare("web", "talker")
    world.apply()
    before = world.one("web")
    seen = world.home / "agents" / world.entries()["web"]["id"] / "config.json"
    assert json.loads(seen.read_text()) == {"loud": False}
    world.declare("web", "talker", config={"loud": True})
    assert "config.loud false → true" in world.apply().out
    assert json.loads(seen.read_text()) == {"loud": True}
    assert world.one("web").pid == before.pid
    assert "nothing to do" in world.apply().out


def test_on_completion_lets_the_run_end_and_then_replaces(world):
    world.task("job", "work", update={"strategy": "OnCompletion"}, config={"size": 1})
    world.apply()
    first = world.one("job").pid
    world.task("job", "work", update={"strategy": "OnCompletion"}, config={"size": 2})
    assert "OnCompletion lets this run end first" in world.apply().out
    assert world.one("job").pid == first
    (world.ledger / "job.go").touch()
    world.settle("job")
    assert world.starts("job") == 2


@pytest.mark.slow
def test_manual_waits_for_the_restart_annotation(world):
    world.declare("web", update={"strategy": "Manual"})
    world.apply()
    first = world.one("web").pid
    path = world.declare("web", update={"strategy": "Manual"}, config={"size": 2})
    assert "update.strategy is Manual" in world.plan("--detailed-exitcode", code=5).out
    assert world.apply(code=5)
    assert world.one("web").pid == first
    document = json.loads(path.read_text())
    document["metadata"]["annotations"] = {"haymaker/restartedAt": "2026-11-22"}
    path.write_text(json.dumps(document))
    assert "a restart was asked for" in world.apply().out
    eventually(lambda: world.one("web").pid != first)


@pytest.mark.slow
def test_suspend_leaves_a_dead_service_dead_until_it_is_lifted(world):
    world.declare("web")
    world.apply()
    world.declare("web", suspend=True)
    world.apply()
    world.kill(world.one("web").pid)
    assert "nothing to do" in world.apply().out
    assert not world.agents("web")
    world.declare("web")
    world.settle()
    world.check_exactly("web")


def test_a_task_runs_once_and_rests(world):
    world.task("job")
    world.apply("--wait")
    assert "nothing to do" in world.apply().out
    assert world.starts("job") == 1
    assert world.record("job")["status"] == "completed"


def test_a_failed_task_is_not_run_again_by_default(world):
    world.task("job", "fail")
    world.apply("--wait", code=3)
    world.apply(code=0)
    assert world.starts("job") == 1
    assert "signal" not in world.record("job")["error"]
    assert world.record("job")["error"] == "exit code 1"


def test_on_failure_runs_again_up_to_its_limit_and_is_given_up(world):
    world.task("job", "fail", run={"restartPolicy": "OnFailure", "backoffLimit": 2, "backoff": {"duration": "10ms"}})
    said = world.apply("--wait", code=3)
    assert "3 failed runs, run.backoffLimit is 2" in said.err
    assert world.starts("job") == 3
    assert [line["attempt"] for line in world.history("job")] == [1, 2, 3]
    assert "3 failed runs" in world.plan("--detailed-exitcode").out
    assert world.apply()  # a matter of its health, which `apply --wait` and `status --exit-status` tell
    world.task("job", "fail", config={"size": 2}, run={"restartPolicy": "OnFailure", "backoffLimit": 2})
    world.apply()
    assert run_of(world, "job")["attempt"] == 1, "a new generation counts from one"


def test_a_timeout_ends_the_run_although_nothing_of_haymaker_but_the_shim_is_there(world):
    world.task("job", "stay", run={"timeout": "300ms", "terminationGracePeriod": "2s"})
    world.apply()
    eventually(lambda: not world.agents("job"))
    world.apply()
    assert world.record("job")["error"] == "stopped at its timeout"


def test_a_timeout_is_kept_by_the_next_pass_where_the_shim_was_killed(world):
    there = {"name": "there", "file": {"path": "report.md"}}
    world.task("job", "stay", run={"timeout": "1h"}, success={"checks": [there]})
    world.apply()
    world.one("job")
    world.kill(world.shim)
    world.env |= {"PYTHONPATH": INJECT, "CLOCK_AHEAD": "7200"}
    why = world.run("why", "job", "-o", "json").json
    assert why["verdict"] == "Overtime"
    assert (why["observed"]["health"], why["observed"]["reason"]) == ("Degraded", "Timeout")
    said = world.apply()
    assert "stopped job at its timeout\nrecorded job: stopped at its timeout, failed: there\n" in said.out
    assert world.agents("job") == []
    run = run_of(world, "job")
    assert (run["exit_reason"], run["goal_met"]) == ("timeout", False)
    assert "nothing to do" in world.plan().out


def test_checks_decide_and_a_lie_is_degraded(world):
    there = {"name": "there", "file": {"path": "report.md"}}
    long = {"name": "long", "file": {"path": "report.md", "minBytes": 9999}}
    world.task("job", "report", success={"checks": [there, long]})
    said = world.apply("--wait", code=3)
    assert "its checks failed: long" in said.err
    assert world.record("job")["status"] == "failed"
    assert world.run("status", "job", "-o", "json").json["health"] == "Degraded"
    waited = world.run("wait", "job", "--for", "condition=GoalMet", "--timeout", "9s")
    assert waited.code == 1, str(waited)
    for said in (world.run("status", "job"), world.run("why", "job"), waited):
        assert "passed  there" in said.out + said.err, str(said)
        assert "fewer than 9999" in said.out + said.err, str(said)
    assert "not met: long" in world.run("runs", "job").out
    checks = world.run("runs", "job", "-o", "json").json["items"][0]["checks"]
    assert [(c["name"], c["passed"], "fewer than" in c["output"]) for c in checks] == [
        ("there", True, False), ("long", False, True)
    ]  # fmt: skip


def test_checks_see_no_credential_and_a_hanging_one_ends_with_its_tree(world):
    checks = [
        {"name": "bare", "command": ["sh", "-c", 'test -z "$TOKEN" && test -n "$LEDGER"']},
        {"name": "hangs", "command": ["sh", "-c", "sleep 1000 & sleep 1000"], "timeout": "300ms"},
    ]
    world.task("job", success={"checks": checks}, env=[{"name": "TOKEN", "valueFrom": {"env": "MY_TOKEN"}}])
    world.apply("--wait", code=3, MY_TOKEN="hunter2hunter2")
    verdicts = {c["name"]: c for c in run_of(world, "job")["checks"]}
    assert verdicts["bare"]["passed"], verdicts
    assert "ended at its timeout of 0.3 s" in verdicts["hangs"]["output"]
    eventually(lambda: not world.everybody())
    assert "hunter2hunter2" not in "".join(str(v) for v in world.snapshot().values())


def test_a_goals_own_criteria_decide_goal_met(world):
    world.write("goal.md", "# Greet\n\n## Goal\nGreet.\n\n## Steps\n```sh\necho hello > out.txt\n```\n\n"
                "## Success Criteria\n- It greets: `grep -q hello out.txt`\n- It is friendly.\n")  # fmt: skip
    world.write("greet.yaml", json.dumps({
        "apiVersion": "haymaker/v1", "kind": "Deployment", "metadata": {"name": "greet"},
        "spec": {"workload": "goal-agent", "goal": {"file": "goal.md"}},
    }))  # fmt: skip
    world.apply("--wait")
    assert run_of(world, "greet")["goal_met"] is True
    said = world.run("status", "greet")
    assert "1 of 1 checks passed, 1 criterion not checked" in said.out
    assert "Goal achieved" in world.run("logs", "greet").out


def test_a_new_generation_of_a_task_cannot_pass_on_old_files(world):
    check = {"checks": [{"name": "made", "file": {"path": "report.md"}}]}
    world.task("job", "report", success=check)
    world.apply("--wait")
    world.task("job", "fail", success=check)
    world.apply("--wait", code=3)
    assert run_of(world, "job")["goal_met"] is False
    kept = list((world.home / "runs").glob("*/*/workspace/report.md"))
    assert len(kept) == 1, "the old workspace is put aside whole"


def test_artifacts_are_kept_after_the_deployment_is_gone(world):
    world.task("job", "report", artifacts={"paths": ["*.md"]})
    world.apply("--wait")
    world.delete()
    assert [p.read_text() for p in (world.home / "runs").glob("*/*/artifacts/report.md")] == ["# all is well\n"]
    world.check_exactly()
    world.task("job", "report", artifacts={"paths": ["*.md"], "retention": {"keepRuns": 0}})
    world.apply("--wait")
    assert len([*(world.home / "runs").glob("*/*/artifacts/report.md")]) == 1, "a deployment that keeps nothing"


@pytest.mark.parametrize("condition", ["Completed", "GoalMet"])
def test_a_dependent_starts_when_its_condition_holds(world, condition):
    world.task("first", "work", success={"checks": [{"name": "made", "file": {"path": "report.md"}}]})
    world.task("second", dependsOn=[{"name": "first", "condition": condition}])
    world.apply()
    assert not world.starts("second")
    assert "first is not" in world.run("status", "second").out
    (world.ledger / "first.go").touch()
    world.apply("--wait")
    assert world.starts("second") == 1


def test_wait_gives_up_at_its_timeout_with_four(world):
    world.task("job", "work")
    said = world.apply("--wait", "--timeout", "500ms", code=4)
    assert "not at rest yet: job" in said.err
    world.check_exactly("job")


def test_retain_keeps_the_workspace_and_orphan_the_process(world):
    world.fleet(sync={"prune": True, "maxDeletions": "100%"})
    world.task("kept", "report", deletionPolicy="Retain")
    world.declare("freed", deletionPolicy="Orphan")
    world.declare("stays")
    world.apply("--wait")
    freed = world.one("freed")
    world.remove("kept")
    world.remove("freed")
    world.apply()
    assert sorted(world.entries()) == ["stays"]
    assert len(list((world.home / "agents").glob("kept-*/report.md"))) == 1
    assert world.one("freed").pid == freed.pid
    world.declare("freed")
    said = world.plan(code=5)
    assert said.code == 5, "a second one beside the orphan would be two"
    world.remove("freed")
    world.kill(freed.pid)


def test_protect_outlives_its_manifest(world):
    world.fleet(sync={"prune": True, "maxDeletions": "100%"})
    world.declare("web", protect=True)
    world.declare("other")
    world.apply()
    world.remove("web")
    assert "protect: true was applied" in world.apply(code=5).out
    said = world.delete(code=5).out
    assert "protect: true was applied: apply its manifest with protect: false first" in said
    assert "no manifest declares it" not in said
    world.one("web")
    world.declare("web", protect=False)
    world.apply()
    world.delete()


def test_what_needs_no_run_is_taken_over_from_a_manifest_whose_run_is_held_back(world):
    manual = {"update": {"strategy": "Manual"}}
    once = {"restartPolicy": "OnFailure", "backoffLimit": 0}
    world.declare("web", protect=True, **manual)
    world.task("job", "fail", protect=True, run=once)
    world.apply()
    agent = world.one("web")
    eventually(lambda: "backoffLimit is 0" in world.apply(code=None).out)
    world.declare("web", config={"size": 2}, protect=False, labels={"tier": "front"}, **manual)
    world.task("job", "fail", protect=False, run=once)
    said = world.apply(code=5)
    assert "update web   the manifest changed in fields that need no restart: protect true → false" in said.out
    assert "! blocked web  the manifest changed; update.strategy is Manual" in said.out
    assert "updated job" in said.out
    assert world.one("web").pid == agent.pid
    assert world.run("list", "-l", "tier=front", "-o", "name").out == "web\n"
    again = world.apply(code=5).out
    assert "update" not in again.replace("update.strategy", "")
    world.remove("web")
    world.remove("job")
    world.delete()  # a manifest said protect: false
    world.check_exactly()


def test_a_program_that_is_missing_is_said_and_tried_again(world):
    world.write("workloads/none/workload.yaml", "name: none\nversion: '1'\ntype: runtime\ncommand: [./later.sh]\n")
    world.declare("web", "none", run={"backoff": {"duration": "0s"}})
    assert world.apply(code=None).code in (1, 65)
    script = world.write(
        "workloads/none/later.sh", f"#!/bin/sh\nexec {sys.executable} -I -S -c 'import signal; signal.pause()'\n"
    )
    script.chmod(0o755)
    world.apply(code=None)
    eventually(lambda: world.settle() and world.agents())


@pytest.mark.parametrize(
    ("program", "why", "fix"),
    [
        ("no-such-program", "which is on no folder of PATH where haymaker runs", "install no-such-program there"),
        ("./none.sh", "which does not exist", "correct its path, which is relative to "),
        ("./plain.sh", "which is not executable", "chmod +x "),
        ("./workloads", "which is a folder", "name a program in it"),
    ],
)
def test_a_command_that_cannot_be_started_is_seen_before_a_start(world, program, why, fix):
    world.write("plain.sh", "#!/bin/sh\necho key\n")
    world.declare("web", env=[{"name": "KEY", "valueFrom": {"command": [program]}}])
    at = f"web.yaml:{world.line_of('web', 'command')}:6 spec.env[2].valueFrom.command"
    what = f"env KEY comes from the command {program}, {why}"
    assert f"{at}: {what}\n  fix: {fix}" in world.run("validate", str(world.manifests)).out
    assert f"! blocked web  {what} ({at}): {fix}" in world.apply(code=5).out
    assert f"{what} ({at})" in world.run("status", "web").out


@pytest.mark.slow
def test_a_value_that_is_not_to_be_had_holds_back_that_deployment_alone(world):
    env = [{"name": "TOKEN", "valueFrom": {"env": "NOT_SET_HERE"}}, {"name": "KEY", "valueFrom": {"file": "key"}}]
    path = world.declare("web", env=env)
    world.declare("other")
    lines = path.read_text().splitlines()
    at = {kind: next(n for n, line in enumerate(lines, 1) if f'"{kind}": ' in line) for kind in ("env", "file")}
    at["env"] = next(n for n, line in enumerate(lines, 1) if '"env": "NOT' in line)
    validated = world.run("validate", "--strict", str(world.manifests))
    assert (validated.code, validated.out.count("warning: ")) == (0, 2), str(validated)
    assert (
        f"web.yaml:{at['env']}:6 spec.env[2].valueFrom.env: env TOKEN comes from the environment variable"
        in validated.out
    )
    why = f"NOT_SET_HERE, which is not set (web.yaml:{at['env']}:6 spec.env[2].valueFrom.env): set NOT_SET_HERE where"
    why_file = (
        f"env KEY comes from the file key, which cannot be read (web.yaml:{at['file']}:6 spec.env[3].valueFrom.file)"
    )
    planned, said = world.plan(code=5), world.apply(code=5)
    for one in (planned.out, said.out):
        (line,) = (line for line in one.splitlines() if "! blocked web" in line)
        assert why in line, one
        assert why_file in line, one
    world.check_once()
    world.one("other")
    asked = world.run("why", "web").out
    assert "next        nothing, until what its env refers to is there\n" in asked
    assert why in world.run("status", "web").out
    world.write("key", "planted")
    world.env["NOT_SET_HERE"] = "planted too"
    assert "planted" not in world.run("validate", str(world.manifests)).out + world.plan().out
    assert "started web" in world.apply().out
    assert world.one("web").env["TOKEN"] == "planted too"
    # Once it runs, it runs on without: only another start would ask again.
    del world.env["NOT_SET_HERE"]
    before = world.one("web").pid
    assert "nothing to do" in world.apply().out
    world.declare("web", env=env, config={"size": 2})
    assert "! blocked web" in world.apply(code=5).out
    assert world.one("web").pid == before


def test_limits_hold_in_the_agent(world):
    world.task("job", "report", run={"limits": {"openFiles": 20}})
    world.declare("web", run={"limits": {"openFiles": 64}})
    world.apply("--wait")
    import resource

    assert resource.prlimit(world.one("web").pid, resource.RLIMIT_NOFILE) == (64, 64)
    world.declare("web", run={"limits": {"cpuTime": "1500ms"}})
    world.apply()
    assert resource.prlimit(world.one("web").pid, resource.RLIMIT_CPU) == (2, 3)


def test_max_running_is_never_passed(world):
    world.fleet(limits={"maxRunning": 2})
    for name in ("a", "b", "c"):
        world.declare(name)
    said = world.apply()
    assert "limits.maxRunning is 2" in said.out
    world.check_exactly("a", "b")


def test_only_and_selector_choose(world):
    world.declare("a", labels={"team": "x"})
    world.declare("b", labels={"team": "y"})
    world.apply("-l", "team=x")
    world.check_exactly("a")
    world.apply("--only", "b")
    world.check_exactly("a", "b")
    said = world.apply("--only", "bb", code=1)
    assert "did you mean b" in said.err


def test_a_service_keeps_its_workspace_through_a_replacement(world):
    world.declare("web", config={"size": 1})
    world.apply()
    space = world.home / "agents" / world.record("web")["deployment_id"]
    (space / "database").write_text("precious")
    world.declare("web", config={"size": 2})
    world.apply()
    assert (space / "database").read_text() == "precious"
    assert "Goal" not in world.run("logs", "web", "--previous").err


@pytest.mark.slow
def test_a_deployment_whose_last_run_is_forgotten_leaves_no_workspace_when_it_is_deleted(world):
    world.fleet(sync={"prune": True, "maxDeletions": "100%"})
    world.declare("api")
    world.declare("web", config={"size": 1})
    world.apply()
    world.declare("web", desiredState="stopped", config={"size": 1})
    world.apply()
    world.declare("web", desiredState="stopped", config={"size": 2})
    world.apply()
    assert not world.entries()["web"].get("run")
    world.remove("web")
    world.apply()
    world.check_exactly("api")


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["renamed", "removed"])
def test_what_a_fleet_deployed_under_another_name_can_be_deleted_as_the_message_says(world, tmp_path, fate):
    world.fleet()
    world.declare("web")
    world.declare("mail")
    world.declare("kept")
    world.apply()
    other = tmp_path / "other"
    shutil.copytree(world.manifests / "workloads", other / "workloads")
    (other / "fleet.yaml").write_text((world.manifests / "fleet.yaml").read_text().replace('"field"', '"beyond"'))
    (other / "far.yaml").write_text((world.manifests / "web.yaml").read_text().replace('"web"', '"far"'))
    assert world.run("apply", "-f", str(other)).code == 0
    fleet = world.manifests / "fleet.yaml"
    if fate == "renamed":
        fleet.write_text(fleet.read_text().replace('"field"', '"meadow"'))
    else:
        fleet.unlink()
    world.remove("mail")
    said = world.apply("--prune", code=5).out
    assert "left alone: kept, mail, web, applied from this folder when its Fleet was field" in said
    command = re.search(r"`haymaker (delete [^`]* --only kept --only mail --only web)`", said)
    assert command is not None, said
    one = re.search(r"blocked web .*`haymaker (delete [^`]*)`", said)
    assert one is not None, said
    assert "deleted web" in world.run(*one[1].split(), "--yes").out
    said = world.run(*command[1].replace(" --only web", "").split(), "--yes")
    assert said.code == 0, str(said)
    assert "deleted mail" in said.out
    assert "Applied: 2 created" in world.apply().out
    assert "nothing to do" in world.apply().out
    world.check_exactly("web", "kept", "far")
    world.fleet()
    fleet.write_text(fleet.read_text().replace('"field"', '"hill"'))
    assert "2 deleted." in world.delete().out
    world.check_exactly("far")
    assert world.run("delete", "-f", str(other), "--yes").code == 0


@pytest.mark.slow
def test_deleting_one_file_is_about_that_file_alone(world):
    world.declare("web", protect=True)
    world.declare("mail")
    world.apply()
    said = world.run("delete", "-f", str(world.manifests / "mail.yaml"), "--yes")
    assert said.code == 0, str(said)
    assert "deleted mail" in said.out
    assert "left alone" not in said.out + said.err
    said = world.run("delete", "-f", str(world.manifests / "web.yaml"), "--yes")
    assert said.code == 5, str(said)
    assert "no manifest declares it" not in said.out
    world.declare("web", protect=False)
    world.apply("--only", "web")
    assert world.run("delete", "-f", str(world.manifests / "web.yaml"), "--yes").code == 0
    assert world.everybody() == []
