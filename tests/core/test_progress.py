"""What counts as progress, read from the end of what an agent wrote and no further than need be."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest
from support.plain import as_a_plain_user

from reconciler.progress import MOST_BYTES, PIECE, find_stall

NOW = 1_800_000_000.0


class Workspace:
    """Stands where an engine does: opens the files of a live run."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def open_live(self, workspace, name):
        assert workspace == "mailer-1"
        return (self.folder / name).open("rb")

    def write(self, name: str, content: bytes, *, age: float = 0.0) -> None:
        (self.folder / name).write_bytes(content)
        os.utime(self.folder / name, (NOW - age, NOW - age))

    def stall(self, *, deadline: float = 60.0):
        return find_stall(self, "mailer-1", started_at=NOW - 1000, deadline=deadline, now=NOW)


@pytest.fixture
def agent(tmp_path):
    return Workspace(tmp_path)


def event(age: float, **facts) -> bytes:
    at = datetime.fromtimestamp(NOW - age, UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"at": at, "type": "tool", **facts}).encode() + b"\n"


AGAIN = event(1, progress=False)


@pytest.mark.parametrize(
    ("written", "how"),
    [
        pytest.param(event(10), "", id="a step"),
        pytest.param(event(10) + AGAIN * 3, "", id="a step, and the same again since"),
        pytest.param(event(10) + AGAIN * (3 * PIECE // len(AGAIN)), "", id="a step that is far back"),
        pytest.param(event(10) + AGAIN + b'{"at": "20', "", id="a last line that is torn"),
        pytest.param(b"[]\nnothing\n{\n" + event(10), "", id="lines that are no events"),
        pytest.param(b'{"type": "own"}\n', "", id="a step without a time"),
        pytest.param(b'{"type": "own", "at": []}\n', "", id="a step with a time that is none"),
        pytest.param(event(61), "it repeats itself", id="a step that is too old in a file that is not"),
        pytest.param(event(61) + AGAIN, "it repeats itself", id="only the same again since"),
        pytest.param(event(10) + b" " * MOST_BYTES, "it repeats itself", id="more than is ever read"),
        pytest.param(b"", "it repeats itself", id="nothing"),
    ],
)
def test_a_line_is_progress_unless_it_says_otherwise(agent, written, how):
    agent.write("events.jsonl", written)
    agent.write("agent.log", b"noise\n")
    stall = agent.stall()
    assert stall.text.rpartition(": ")[2] == how
    assert (stall.due > NOW) == (not how)


def test_without_events_the_log_counts_and_without_either_the_start_does(agent):
    assert agent.stall().text.endswith("it is silent")
    assert agent.stall(deadline=2000).text == ""
    agent.write("agent.log", b"word\n", age=30)
    assert agent.stall() == ("", NOW + 30)
    assert agent.stall(deadline=20).text == "no progress within its run.progressDeadline of 20s: it is silent"


@pytest.mark.parametrize("written", ["events.jsonl", "agent.log"])
@pytest.mark.parametrize(
    ("moved", "stamped", "how"),
    [
        pytest.param(86400, 86400 + 10, "", id="a step, then the clock was set forward"),
        pytest.param(86400, 86400 + 61, "silent", id="a step long ago, then the clock was set forward"),
        pytest.param(86400, 10, "", id="a step after the clock was set forward"),
        pytest.param(86400, 61, "silent", id="a step long ago, after the clock was set forward"),
        pytest.param(-86400, -86400 + 10, "", id="a step, then the clock was set back"),
        pytest.param(-86400, -86400 + 61, "silent", id="a step long ago, then the clock was set back"),
        pytest.param(-86400, 10, "", id="a step after the clock was set back"),
        pytest.param(1.5, 61, "silent", id="a start that was recorded a little late is no other clock"),
    ],
)
def test_a_clock_that_was_set_makes_no_stall_and_hides_none(agent, written, moved, stamped, how):
    agent.write(written, event(stamped), age=stamped)
    stall = find_stall(agent, "mailer-1", started_at=NOW - 1000, deadline=60, now=NOW, moved=moved)
    assert how in stall.text
    assert bool(stall.text) == bool(how)


def test_what_cannot_be_read_proves_nothing(agent):
    agent.write("events.jsonl", event(100), age=100)
    (agent.folder / "events.jsonl").chmod(0)
    with as_a_plain_user():
        assert agent.stall().text == ""


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(), lambda path: path.symlink_to(path)], ids=["folder", "link"]
)
def test_what_is_no_file_of_events_is_none(agent, make):
    make(agent.folder / "events.jsonl")
    assert agent.stall().text.endswith("it is silent")


def test_a_file_that_was_not_written_since_is_not_read(agent, monkeypatch):
    agent.write("events.jsonl", event(10), age=61)
    monkeypatch.setattr("reconciler.progress._last_step", None)
    assert agent.stall().text.endswith("it is silent")
