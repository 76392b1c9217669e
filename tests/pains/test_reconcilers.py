"""What users of other reconcilers complain about, row by row: each through the real CLI with real processes."""

from __future__ import annotations

import json
import re
import shlex
import shutil

import pytest
from crash.scenarios import INJECT
from support.world import AGENT

from agent_haymaker.testing import eventually


def test_pain_01_no_accident_with_the_folder_prunes_an_agent(world):
    world.fleet(sync={"prune": True})
    paths = [world.declare(name) for name in ("a", "b", "c")]
    world.apply()
    pids = {name: world.one(name).pid for name in "abc"}
    kept = [path.read_text() for path in paths]
    for path in paths:
        path.unlink()
    assert "declares nothing" in world.apply(code=5).out
    paths[0].write_text(kept[0])
    assert "maxDeletions" in world.apply(code=5).out  # two of three is more than 20 %
    paths[1].write_text(kept[1][: len(kept[1]) // 2])
    assert "cannot be read" in world.apply(code=65).out
    said = world.run("apply", "-f", str(paths[0]), "--prune", "--yes")
    assert "single file" in said.out
    assert {name: world.one(name).pid for name in "abc"} == pids


def test_pain_02_protection_outlives_the_manifest_that_declared_it(world):
    world.fleet(sync={"prune": True, "maxDeletions": "100%", "allowEmpty": True})
    world.declare("web", protect=True)
    world.apply()
    agent = world.one("web")
    world.remove("web")
    assert "protect: true was applied" in world.apply(code=5).out
    world.delete(code=5)
    assert world.one("web").pid == agent.pid
    world.declare("web", protect=False)
    world.apply()
    world.delete()
    world.check_exactly()


def test_pain_03_a_moved_file_and_a_renamed_deployment_keep_their_process(world):
    path = world.declare("old", who="web")
    world.apply()
    agent = world.one("web")
    moved = world.manifests / "elsewhere" / "other-name.yaml"
    moved.parent.mkdir()
    path.rename(moved)
    assert "nothing to do" in world.apply().out
    moved.unlink()
    world.declare("new", who="web")
    assert "renamedFrom: [old]" in world.apply("--dry-run", "--prune", code=None).out
    world.declare("new", who="web", renamedFrom=["old"])
    assert "renamed old to new" in world.apply().out
    assert world.one("web").pid == agent.pid
    world.check_exactly("web")


def test_pain_04_apply_twice_plans_nothing_and_a_default_written_out_is_no_change(world):
    world.declare("web")
    world.apply()
    agent = world.one("web")
    assert "nothing to do" in world.apply().out
    world.declare(
        "web",
        desiredState="running",
        suspend=False,
        deletionPolicy="Delete",
        protect=False,
        dependsOn=[],
        config={"size": 1, "colour": "green"},
        run={"restartPolicy": "Always", "backoffLimit": 3, "sideEffects": "external"},
        update={"strategy": "Recreate"},
    )
    assert "nothing to do" in world.apply().out
    assert world.plan("--detailed-exitcode", code=0)
    assert world.one("web").pid == agent.pid
    assert world.starts("web") == 1


def test_pain_05_why_prints_the_whole_decision(world):
    world.task("job", "fail", run={"restartPolicy": "OnFailure", "backoffLimit": 0})
    world.apply()
    eventually(lambda: not world.agents() and world.starts("job") == 1)
    world.apply(code=None)
    assert world.apply(code=0)
    said = world.run("why", "job")
    assert "backoffLimit" in said.out
    assert "exit code 1" in said.out
    assert "job.yaml" in said.out


def test_pain_06_no_wait_is_without_end_and_none_keeps_others_out(world):
    world.task("job", "work")
    waiting = world.popen("apply", "-f", str(world.manifests), "--yes", "--wait", "--timeout", "4s")
    agent = world.one("job")
    assert "nothing to do" in world.apply("--lock-timeout", "60s").out
    assert waiting.wait(120) == 4
    waiting.communicate()
    assert world.one("job").pid == agent.pid


def test_pain_07_a_fix_does_not_wait_for_the_backoff_of_what_it_mends(world):
    slow = {"restartPolicy": "OnFailure", "backoff": {"duration": "1h", "maxDuration": "2h"}}
    world.task("job", "fail", run=slow)
    world.apply()
    eventually(lambda: not world.agents() and world.starts("job") == 1)
    said = world.apply()
    assert "failure 1" in said.out + world.apply().out
    assert world.starts("job") == 1
    world.task("job", "report", run=slow)
    world.apply()
    eventually(lambda: world.lines("reported"))


def test_pain_08_a_deletion_ends_in_time_and_twice_does_no_harm(world):
    world.declare("web", "deaf", run={"terminationGracePeriod": "0s"})
    world.apply()
    eventually(lambda: world.lines("deaf"))
    world.delete()
    world.check_exactly()
    assert "nothing to do" in world.delete().out
    assert [line["event"] for line in world.history("web")][-1] == "removed"


def test_pain_09_no_secret_is_in_any_record_or_message_and_its_name_is(world):
    secret = "s3cr3t-a8f1c2"
    (world.manifests / "token").write_text(secret + "-file\n")
    env = [
        {"name": "KEY", "valueFrom": {"env": "CALLERS_KEY"}},
        {"name": "TOKEN", "valueFrom": {"file": "token"}},
    ]
    world.declare("web", env=env)
    missing = world.apply(code=5)
    assert "CALLERS_KEY, which is not set" in missing.out
    assert not world.agents()
    said = [missing, world.apply(CALLERS_KEY=secret), world.run("why", "web"), world.plan(), world.run("status")]
    agent = world.one("web")
    assert (agent.env["KEY"], agent.env["TOKEN"]) == (secret, f"{secret}-file")
    world.declare("web", env=[{"name": "KEY", "valueFrom": {"env": "ANOTHER_KEY"}}])
    said.append(world.plan(code=5))
    assert "ANOTHER_KEY" in said[-1].out + said[-1].err or "env.KEY" in said[-1].out
    assert not [str(s) for s in said if secret in str(s)]
    assert not [name for name, (_, content) in world.snapshot().items() if secret.encode() in content]


def test_pain_10_an_agent_gets_the_least_environment(world):
    world.declare("web", env=[{"name": "MINE", "value": "yes"}])
    world.apply(AWS_SECRET_ACCESS_KEY="x", ANTHROPIC_API_KEY="y", TZ="UTC")
    names = set(world.one("web").env)
    ours = {n for n in names if n.startswith("HAYMAKER_")}
    assert names - ours == {"PATH", "HOME", "LANG", "TZ", "LEDGER", "WHO", "MINE"}
    assert "HAYMAKER_RUN_ID" in ours
    assert "HAYMAKER_HOME" not in ours


def test_pain_11_a_dry_run_writes_nothing_and_signals_nobody(world):
    world.declare("new")
    world.apply("--dry-run")
    assert not world.home.exists()
    world.fleet(sync={"maxDeletions": "100%"})
    for name in ("goes", "changes", "stops"):
        world.declare(name)
    world.apply()
    before, agents = world.snapshot(), sorted(a.pid for a in world.agents())
    assert len(agents) == 4
    world.remove("goes")
    world.declare("changes", config={"size": 2})
    world.declare("stops", desiredState="stopped")
    said = world.apply("--dry-run", "--prune", code=None)
    assert "1 to replace, 1 to delete" in said.out
    assert world.plan("--detailed-exitcode", code=None).code in (2, 5)
    after = world.snapshot()
    assert {n for n in after if n.split("/")[0] != "cache"} == {n for n in before if n.split("/")[0] != "cache"}
    assert {n: s for n, s in after.items() if n in before} == before
    assert sorted(a.pid for a in world.agents()) == agents


def test_pain_12_what_was_approved_is_what_runs_or_nothing(world):
    world.declare("web")
    plan = world.folder / "plan"
    world.plan("--out", str(plan))
    world.declare("web", config={"size": 2})
    assert world.run("apply", str(plan), "--yes").code == 7
    assert world.agents() == []
    world.plan("--out", str(plan))
    assert world.run("apply", str(plan), "--yes").code == 0
    agent = world.one("web")
    world.declare("web", config={"size": 3})
    world.plan("--out", str(plan))
    world.kill(agent.pid)
    eventually(lambda: not world.agents())
    assert world.run("apply", str(plan), "--yes").code == 7  # the world moved, not the manifest
    assert world.starts("web") == 1


def test_pain_13_each_end_has_its_exit_code_and_a_partial_failure_is_never_0(world):
    world.declare("web")
    assert world.plan("--detailed-exitcode", code=2)
    assert world.plan(code=0)
    refused = [{"name": "KEY", "valueFrom": {"command": ["false"]}}]
    world.declare("bad", env=refused)
    assert world.apply(code=3)
    world.delete()
    world.remove("web")
    assert world.apply(code=1)
    world.declare("bad", colour="red")
    assert world.apply(code=65)
    assert world.run("apply", "--no-such-flag").code == 64


def test_pain_14_a_bad_file_blocks_nobody_else_and_every_error_is_told(world):
    good = world.declare("kept")
    world.declare("web")
    world.apply()
    agent = world.one("kept")
    good.write_text(good.read_text().replace('"spec"', '"spek"'))
    world.write("torn.yaml", "apiVersion: haymaker/v1\nkind: [")
    world.declare("more", config={"size": 99})
    world.declare("web", config={"size": 2})
    said = world.apply(code=65)
    for file in ("kept.yaml", "torn.yaml", "more.yaml"):
        assert file in said.err, str(said)
    assert "replaced web" in said.out
    assert world.one("kept").pid == agent.pid
    world.kill(agent.pid)
    eventually(lambda: "started kept" in world.apply(code=65).out)  # its last good spec stays in force
    world.check_exactly("kept", "web")


def test_pain_15_a_typo_is_an_error_that_offers_the_nearest_word(world):
    world.declare("web", restartPolicie="Never")
    world.declare("job", config={"sise": 2})
    said = world.apply(code=65)
    assert "restartPolicie" in said.err
    assert "restartPolicy" in said.err or "run" in said.err
    assert "size" in said.err
    assert world.agents() == []


def test_pain_16_changed_content_rolls_out(world):
    world.write(
        "reader/workload.yaml",
        """
        name: reader
        version: "1"
        type: runtime
        command: [python3, ./reader.py]
        config_schema:
          goal_file: {type: string, format: file}
        """,
    )
    code = world.write("reader/reader.py", AGENT.read_text())
    goal = world.write("goals/goal.md", "# first\n")
    world.declare("web", "reader", goal={"file": "goals/goal.md"})
    world.apply()
    first = world.one("web")
    goal.write_text("# second\n")
    assert "replaced web" in world.apply().out
    second = world.one("web")
    code.write_text(code.read_text() + "\n# new\n")
    assert "replaced web" in world.apply().out
    third = world.one("web")
    assert len({first.run_id, second.run_id, third.run_id}) == 3
    world.check_exactly("web")


def test_pain_17_a_goal_is_opaque_bytes(world):
    goal = b"{{ x }} ${HOME} $(id) %s \\n \xe2\x82\xac\r\n\ttab $$ {% raw %}\n"
    world.write(
        "reader/workload.yaml",
        f"""
        name: reader
        version: "1"
        type: runtime
        command: [{shutil.which("python3")}, -I, -S, {AGENT}]
        config_schema:
          goal_file: {{type: string, format: file}}
        """,
    )
    (world.manifests / "goal.md").write_bytes(goal)
    world.declare("web", "reader", goal={"file": "goal.md"})
    world.apply()
    world.one("web")
    assert (world.home / "agents" / world.entries()["web"]["id"] / "prompt.md").read_bytes() == goal


def test_pain_18_a_folder_that_cannot_be_read_deletes_nothing_and_records_are_never_half(world):
    world.fleet(sync={"prune": True, "maxDeletions": "100%", "allowEmpty": True})
    world.declare("web")
    world.apply()
    agent = world.one("web")
    world.plain = True
    world.manifests.chmod(0o000)
    said = world.apply("--prune", code=None)
    world.manifests.chmod(0o755)
    assert said.code != 0, str(said)
    aside = world.manifests.rename(world.folder / "aside")
    assert world.apply("--prune", code=None).code != 0
    aside.rename(world.manifests)
    assert world.one("web").pid == agent.pid
    world.declare("web", config={"size": 2})
    record, read = world.record_path("web"), 0
    apply = world.popen("apply", "-f", str(world.manifests), "--yes")
    while apply.poll() is None:
        assert json.loads(record.read_text())["deployment_id"]
        read += 1
    apply.communicate()
    assert read > 3


def test_pain_19_what_depends_waits_for_the_condition_and_then_for_nothing(world):
    checks = {"checks": [{"name": "report", "file": {"path": "report.md", "minBytes": 1}}]}
    world.task("first", "work", success=checks)
    world.task("second", "report", dependsOn=[{"name": "first", "condition": "GoalMet"}])
    world.apply()
    world.one("first")
    assert "waiting second  first is not GoalMet yet" in world.apply().out
    assert world.starts("second") == 0
    waiting = world.popen("apply", "-f", str(world.manifests), "--yes", "--wait", "--timeout", "120s")
    (world.ledger / "first.go").touch()
    assert waiting.wait(120) == 0, waiting.communicate()
    waiting.communicate()
    assert world.starts("second") == 1
    world.task("first", "work", config={"size": 2}, success=checks)
    world.task("second", "report", config={"size": 2}, dependsOn=[{"name": "first", "condition": "GoalMet"}])
    said = world.plan(code=None).out
    assert "waiting second  second.yaml changed since it was deployed; it waits: first is not GoalMet yet" in said


def test_pain_21_a_second_owner_is_refused(world, tmp_path):
    world.fleet()
    world.declare("web")
    world.apply()
    agent = world.one("web")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(world.manifests, other, dirs_exist_ok=True)
    fleet = {"apiVersion": "haymaker/v1", "kind": "Fleet", "metadata": {"name": "other"}, "spec": {}}
    (other / "fleet.yaml").write_text(json.dumps(fleet))
    (other / "web.yaml").write_text((other / "web.yaml").read_text().replace('"run"', '"suspend": false, "run"'))
    for command in (("apply",), ("apply", "--prune"), ("delete",)):
        said = world.run(command[0], "-f", str(other), "--yes", *command[1:])
        assert said.code == (0 if command[0] == "delete" else 5), str(said)
        if command[0] == "apply":
            assert f"fleet field deployed it from {world.manifests}" in said.out
            assert f"`haymaker delete -f {world.manifests} --only web`" in said.out
    assert world.one("web").pid == agent.pid


@pytest.mark.parametrize("is_gone", [False, True])
def test_pain_21_what_a_refused_owner_is_told_to_do_makes_room_for_it(world, tmp_path, is_gone):
    first = tmp_path / "the first"
    world.fleet()
    world.declare("web")
    world.declare("mail")
    shutil.copytree(world.manifests, first)
    world.fleet_named("other")
    world.remove("mail")
    world.run("apply", "-f", str(first))
    mail = world.one("mail")
    if is_gone:
        shutil.rmtree(first)
    said = world.apply(code=5)
    advice = shlex.split(re.search(r"`haymaker (delete [^`]*)`", said.out)[1])
    done = world.run(*advice, "--yes")
    assert (done.code, "is gone: this is about what was applied from it" in done.out) == (0, is_gone), str(done)
    assert "deployed web" in world.apply().out
    assert world.one("mail").pid == mail.pid
    assert world.run("delete", "-f", str(first), "--yes").code == 0
    assert world.run("delete", "-f", str(first), "--yes").code == (65 if is_gone else 0)
    world.check_exactly("web")


def test_pain_21_a_second_folder_of_one_fleet_name_is_told_what_it_takes_and_what_it_leaves(world, tmp_path):
    world.declare("web")
    world.declare("mail")
    world.apply()
    agent = world.one("mail")
    other = tmp_path / "other"
    shutil.copytree(world.manifests, other)
    (other / "mail.yaml").unlink()
    (other / "web.yaml").write_text((other / "web.yaml").read_text().replace('"run"', '"protect": true, "run"'))
    said = world.run("plan", "-f", str(other))
    assert f"left alone: mail, applied from {world.manifests} as fleet default too" in said.out
    assert f"taken over from {world.manifests}: web" in said.out
    assert world.one("mail").pid == agent.pid


def test_pain_01_a_folder_prunes_nothing_that_another_one_declares(world, tmp_path):
    for name in ("a", "b"):
        world.declare(name)
    world.apply()
    pids = {name: world.one(name).pid for name in "ab"}
    other = tmp_path / "other"  # of the same fleet, as every folder without a Fleet is
    shutil.copytree(world.manifests, other)
    (other / "b.yaml").unlink()
    apply = ("apply", "-f", str(other), "--prune", "--yes")
    said = world.run(*apply)
    assert f"left alone: b, applied from {world.manifests} as fleet default too" in said.out
    assert {name: world.one(name).pid for name in "ab"} == pids
    aside = world.manifests.rename(world.folder / "aside")
    assert "deleted b" in world.run(*apply).out  # what is left of a folder that is gone
    assert world.agents("b") == []
    aside.rename(world.manifests)


def test_pain_22_an_interrupted_apply_is_gone_on_with_and_leaves_no_lock(world):
    world.declare("web")
    said = world.apply(code=-9, PYTHONPATH=INJECT, CRASH_AT="write:7", CRASH_WHEN="after")
    assert world.home.exists(), str(said)
    said = world.apply()
    assert "nothing to do" in world.apply().out, str(said)
    world.check_exactly("web")
    assert world.starts("web") == 1


@pytest.mark.parametrize("way", ["stop", "delete"])
def test_pain_23_no_child_of_an_agent_is_left_wherever_it_went(world, way):
    world.declare("web", "family", run={"terminationGracePeriod": "1s"})
    world.apply()
    # Its descendants are what they are to be: with an environment that is bare but for the run id.
    eventually(lambda: sorted(a.env.get("WHO", "") for a in world.everybody()) == ["", "", "web"])
    if way == "stop":
        world.declare("web", "family", desiredState="stopped", run={"terminationGracePeriod": "1s"})
        world.apply()
    else:
        world.delete()
    assert world.everybody() == []


def test_pain_24_attempts_are_counted_on_disk_and_a_task_is_not_rerun_by_default(world):
    world.declare("once", "fail", run={"mode": "task"})
    world.task("thrice", "fail", run={"restartPolicy": "OnFailure", "backoffLimit": 2})

    def over():
        world.apply(code=None)
        return "backoffLimit is 2" in world.plan(code=None).out

    eventually(over)
    world.apply(code=0)
    assert world.starts("once") == 1
    assert world.starts("thrice") == 3
    assert world.record("once")["status"] == "failed"


def test_pain_26_done_is_what_checks_outside_the_agent_say(world):
    checks = {"checks": [{"name": "proof", "file": {"path": "proof.md", "minBytes": 1}}]}
    world.task("job", "report", success=checks)
    said = world.apply("--wait", "--timeout", "120s", code=3)
    assert "proof" in said.out + said.err
    run = world.entries()["job"]["run"]
    assert run["exit_code"] == 0
    assert run["goal_met"] is False
    assert world.record("job")["status"] == "failed"
