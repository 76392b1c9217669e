"""A stop, for real: whatever the current step is made of, nothing of it is left, and the partial result is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support.fixtures import world as world

from agent_haymaker.testing import eventually
from goal_agent.tree_suite import TreeSuite, is_alive

HEAD = "# Sample\n\n## Goal\n\nDo it.\n\n## Steps\n\n"

FAMILY = """```sh
echo $$ >> pids
(sleep 60 & echo $! >> pids; wait) &
setsid sh -c 'echo $$ >> pids; sleep 60' &
setsid sh -c '(echo $$ > /dev/null; env -i sleep 60 & echo $! >> pids); exit 0'
(setsid sleep 60 & echo $! >> pids) &
touch ready
wait
```
"""


PATIENT = """
from haymaker_goal_agent import children
children.Children.__init__.__defaults__ = (600.0,)
children._STOP_IS_ON_ITS_WAY_SECONDS = 60.0
"""


@pytest.fixture
def patient(agent, tmp_path):
    """
    An agent that gives whoever resists a stop ten minutes: a test that waits them out does not end. And it waits a
    minute for a stop that its step may have met first, however long the test takes to send it.
    """
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient/sitecustomize.py").write_text(PATIENT)
    agent.env["PYTHONPATH"] = f"{tmp_path}/patient:{agent.env['PYTHONPATH']}"
    return agent


def start_family(agent, goal=HEAD + FAMILY):
    process = agent.start(goal)
    eventually((agent.folder / "ready").exists)
    return process


def pids_of(agent) -> list[int]:
    return [int(pid) for pid in (agent.folder / "pids").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_mid_step_leaves_nothing_of_its_tree(agent, is_gone, number):
    process = start_family(agent)
    pids = eventually(lambda: pids_of(agent) if len(pids_of(agent)) == 5 else None)
    assert not any(is_gone(pid) for pid in pids), "they all ran"
    process.send_signal(number)
    done = agent.finish(process)
    assert done.code == 128 + number
    assert all(is_gone(pid) for pid in pids)
    assert done.closing == [
        f"Goal not achieved: {number.name}: stopped in step 1 of 1 (prompt.md:10)",
        f"Exit code: {128 + number}",
    ]
    assert (done.result["verdict"], done.result["steps"]) == ("stopped", {"done": 0, "total": 1})
    assert done.events[-1]["verdict"] == "stopped"


def test_a_step_may_end_in_order(agent):
    tidy = "```sh\ntrap 'echo tidy > tidied; exit 0' TERM\ntouch ready\nwhile :; do sleep 0.05; done\n```\n"
    goal = f"{HEAD}{tidy}\n```sh\ntouch never\n```\n"
    process = start_family(agent, goal)
    process.terminate()
    assert agent.finish(process).code == 143
    assert (agent.folder / "tidied").read_text() == "tidy\n"
    assert not (agent.folder / "never").exists()


def test_a_second_stop_waits_no_longer_for_a_step_that_ignores_the_first(patient, is_gone):
    agent = patient
    step = "trap 'touch asked' TERM\necho $$ > pids\ntouch ready\nwhile :; do sleep 0.05 || :; done"
    goal = f"{HEAD}```sh\n{step}\n```\n"
    process = start_family(agent, goal)
    process.terminate()
    eventually((agent.folder / "asked").exists)
    process.terminate()
    done = agent.finish(process)
    assert (done.code, done.result["verdict"]) == (143, "stopped")
    assert is_gone(pids_of(agent)[0])


def test_a_stop_that_comes_too_late_changes_nothing(agent):
    process = start_family(agent, f"{HEAD}```sh\ntouch ready\nsleep 60\n```\n")
    process.terminate()
    while process.poll() is None:  # also between the verdict and the end of the process
        process.terminate()
    done = agent.finish(process)
    assert (done.code, done.result["verdict"]) == (143, "stopped")


def test_a_stop_of_the_whole_group_at_once_ends_the_same(agent, is_gone):
    process = start_family(agent)
    pids = pids_of(agent)
    os.killpg(process.pid, signal.SIGTERM)
    assert agent.finish(process).code == 143
    assert all(is_gone(pid) for pid in pids)


def test_a_stop_mid_check_ends_the_check(agent, is_gone):
    check = "- `sh -c 'echo $$ > pids; touch ready; sleep 60'`\n- `true`\n"
    process = start_family(agent, f"{HEAD}```sh\ntrue\n```\n\n## Success Criteria\n\n{check}")
    process.terminate()
    done = agent.finish(process)
    assert done.code == 143
    assert [c["status"] for c in done.result["checks"]] == ["stopped"]
    assert is_gone(pids_of(agent)[0])


def test_a_tree_that_keeps_forking_while_it_is_stopped_is_ended(agent):
    seconds = f"60.{os.urandom(4).hex().translate(str.maketrans('abcdef', '123456'))}"  # of this test alone
    goal = HEAD + f"```sh\ntouch ready\nwhile :; do (setsid sleep {seconds} &) ; sleep 0.002; done\n```\n"
    process = start_family(agent, goal)
    process.terminate()
    assert agent.finish(process).code == 143
    import psutil

    left = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", seconds]]
    assert [p for p in left if is_alive(p)] == []


def test_no_grace_is_waited_out_where_nothing_resists(patient):
    process = start_family(patient, HEAD + "```sh\ntouch ready\nsleep 60\n```\n")
    process.terminate()
    assert patient.finish(process).code == 143


def test_a_stop_that_reaches_the_step_first_is_a_stop_all_the_same(patient):
    agent = patient
    process = start_family(agent, HEAD + "```sh\necho $$ > pids\ntouch ready\nsleep 60\n```\n")
    os.kill(pids_of(agent)[0], signal.SIGTERM)
    process.terminate()
    done = agent.finish(process)
    assert (done.code, done.result["verdict"]) == (143, "stopped")


def test_a_disk_that_refuses_ends_the_run_and_leaves_nothing_running(agent, is_gone):
    agent.run(HEAD + "```sh\nsleep 60 &\necho $! > pids\n```\n\n" + "```sh\ntrue\n```\n\n" * 5)
    with (agent.folder / "main.sh").open("w") as script:
        script.write('ulimit -f 1\nexec "$@"\n')
    process = subprocess.Popen(
        ["sh", "main.sh", sys.executable, "main.py"], cwd=agent.folder, env=agent.env, stdout=subprocess.PIPE, text=True
    )
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.splitlines()[-2:] == ["Goal not achieved: the agent cannot go on: File too large", "Exit code: 1"]
    assert is_gone(pids_of(agent)[0])


class TestScriptUnderHaymaker(TreeSuite):
    sdk = "script"
    seconds = 5

    def scenario(self, hide, how):
        then = {"done": "true", "failed": "false"}.get(how, "sleep 86400")
        return f"{HEAD}```sh\n{hide}\n{then}\n```\n", {}
