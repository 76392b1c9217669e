"""The three steps of status detection, and the log as the last resort."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_haymaker.engines import Exit, Handle, Observation, RunState
from agent_haymaker.testing import eventually
from agent_haymaker.workloads import DeploymentStatus
from agent_haymaker.workloads.run_status import detect_status, status_from_log

COMPLETED, FAILED = DeploymentStatus.COMPLETED, DeploymentStatus.FAILED


@pytest.mark.parametrize(
    ("tail", "status"),
    [
        pytest.param("", None, id="an empty log says nothing"),
        pytest.param("working\nstill working\n", None, id="work says nothing"),
        pytest.param("Goal achieved\nExit code: 0\n", COMPLETED, id="a success whose log ends with Exit code: 0"),
        pytest.param("Goal not achieved: no report\nExit code: 1\n", FAILED, id="a failure"),
        pytest.param("Exit code: 0", COMPLETED, id="exit code 0 alone"),
        pytest.param("Exit code: 137\n", FAILED, id="ended by a signal"),
        pytest.param("exit code: -15", FAILED, id="ended by a signal, as Python says it"),
        pytest.param("Agent exited with code 0", COMPLETED, id="as published workloads say it"),
        pytest.param("Agent exited with code 3", FAILED, id="as published workloads say it, failing"),
        pytest.param("GOAL ACHIEVED", COMPLETED, id="in capitals"),
        pytest.param("Goal not achieved\nGoal achieved\n", COMPLETED, id="the last line that decides wins"),
        pytest.param("Goal achieved\nGoal not achieved\n", FAILED, id="and so it does the other way round"),
        pytest.param("Goal achieved\nremoving temporary files\n", COMPLETED, id="what follows does not decide"),
        pytest.param("exit code unknown", None, id="an exit code that is no number"),
    ],
)
def test_a_log_says_how_its_run_ended(tail, status):
    assert status_from_log(tail) is status


@given(noise=st.text(alphabet=st.characters(blacklist_characters="0123456789", blacklist_categories=["Cs"])))
def test_noise_before_the_closing_lines_changes_nothing(noise):
    assert status_from_log(f"{noise}\nGoal achieved\nExit code: 0\n") is COMPLETED
    assert status_from_log(f"{noise}\nGoal not achieved: x\nExit code: 1\n") is FAILED


def seen(state, code=None):
    return Observation(Handle("local", "k"), state, exit=Exit(code=code) if code is not None else None)


@pytest.mark.parametrize(
    ("state", "log_tail", "status"),
    [
        (RunState.PENDING, "Goal achieved", DeploymentStatus.PENDING),
        (RunState.RUNNING, "Goal not achieved\nExit code: 1", DeploymentStatus.RUNNING),
        (RunState.STOPPING, "", DeploymentStatus.RUNNING),
        (RunState.SUCCEEDED, "Exit code: 1", COMPLETED),
        (RunState.FAILED, "Goal achieved", FAILED),
        (RunState.STOPPED, "Goal achieved", DeploymentStatus.STOPPED),
        (RunState.LOST, "Goal achieved\nExit code: 0", COMPLETED),
        (RunState.LOST, "nothing", None),
        (RunState.UNREACHABLE, "Goal achieved", None),
    ],
)
def test_the_engine_outranks_the_log_and_only_a_lost_run_is_read_from_it(state, log_tail, status):
    assert detect_status(observation=seen(state), log_tail=log_tail) is status


def test_every_state_of_a_run_has_an_answer():
    for state in RunState:
        detect_status(observation=seen(state))


def test_a_process_of_our_own_outranks_everything():
    lying = {"observation": seen(RunState.FAILED), "log_tail": "Exit code: 1"}
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert detect_status(process=process, **lying) is DeploymentStatus.RUNNING
    process.communicate(b"\n")
    assert eventually(lambda: detect_status(process=process, **lying)) is COMPLETED
    failing = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    eventually(lambda: detect_status(process=failing) is FAILED)


def test_nothing_known_is_nothing_said():
    assert detect_status() is None
