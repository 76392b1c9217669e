"""Records that cannot be read: `doctor` says each cause once, and what it says to do, done literally, mends it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess

import pytest

from agent_haymaker.testing import eventually

BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(b"\0\xff{]\n" * 9),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "closed": lambda path: path.chmod(0),
}


def follow_the_doctor(world, check):
    """Do what `doctor` says of the one thing that it finds."""
    told = world.run("doctor")
    fixes = re.findall(r"fix: (.*)", told.out)
    assert told.code == 1, str(told)
    assert len(fixes) == 1, str(told)
    assert re.search(f"^fail  {check} ", told.out, re.MULTILINE), str(told)
    command = re.match(r"rm -rf .*|(?:mv|chmod) [^;]*?(?=;|\. Until|$)", fixes[0])[0]
    subprocess.run(command, shell=True, check=True)


def is_content(world):
    told = world.run("doctor")
    assert (told.code, "0 failed, 0 to look at" in told.out) == (0, True), str(told)


@pytest.mark.parametrize("ways", [1, pytest.param(len(BROKEN), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("record", "check", "breaks"),
    [
        ("fleets/default.json", "inventory", BROKEN),
        ("journal/*.jsonl", "journal", ("a folder", "closed")),
        ("state/web-*.json", "records", tuple(BROKEN)[:-1]),
        ("engines/local/runs/*.web-*.jsonl", "(records|runs)", ("cut", "empty", "garbage", "a folder", "closed")),
        ("place.json", "install", tuple(BROKEN)),
        ("install", "install", tuple(BROKEN)),
    ],
)
def test_what_doctor_says_of_a_record_that_cannot_be_read_mends_it(world, record, check, breaks, ways):
    world.plain = True
    world.declare("mail")
    for number, how in enumerate((*breaks,)[:ways], 1):
        world.declare("web", config={"size": number})  # so that each record is written anew
        world.apply()
        before = {agent.pid for agent in world.everybody()}
        BROKEN[how](max(world.home.glob(record)))
        follow_the_doctor(world, check)
        world.settle()
        is_content(world)
        assert {agent.pid for agent in world.everybody()} == before


@pytest.mark.slow
def test_an_inventory_that_is_lost_with_its_journal_is_made_again_from_the_state_records(world):
    world.declare("web")
    world.declare("old", labels={"team": "a"})
    world.task("job")
    world.settle("job")
    before = {agent.pid for agent in world.everybody()}
    shutil.rmtree(world.home / "journal")
    (world.home / "fleets/default.json").write_bytes(b"")
    follow_the_doctor(world, "inventory")
    world.remove("old")
    assert re.search("~ update web +its state record is all that is known of it: it is written", world.apply().out)
    assert {agent.pid for agent in world.everybody()} == before
    assert "- delete old" in world.apply("--prune").out
    world.declare("web", config={"size": 2})
    assert "size 1 → 2" in world.apply().out
    world.settle()
    world.check_exactly("web")
    assert world.starts("job") == 1


@pytest.mark.slow
def test_a_shim_that_answers_nobody_is_named_once(world):
    world.declare("web")
    world.declare("mail")
    world.apply()
    os.kill(world.shim, signal.SIGSTOP)
    os.kill(world.one("web").pid, signal.SIGKILL)
    told = world.run("doctor")
    os.kill(world.shim, signal.SIGCONT)
    assert [line.split()[:2] for line in told.out.splitlines() if line.startswith("fail")] == [["fail", "shim"]]
    eventually(lambda: world.run("doctor").code == 0)
    world.settle()
    world.check_exactly("web", "mail")


def test_a_state_record_of_another_home_is_not_taken_over(world, tmp_path):
    world.declare("web")
    world.apply()
    (kept,) = (world.home / "state").glob("web-*.json")
    elsewhere = tmp_path / "other home"
    (elsewhere / "state").mkdir(parents=True, mode=0o700)
    shutil.copy2(kept, elsewhere / "state")
    said = world.run("apply", "-f", str(world.manifests), HAYMAKER_HOME=str(elsewhere))
    assert "claims this name and no inventory knows it" in said.out
    assert said.code == 5
    world.check_exactly("web")


def test_a_journal_that_was_cut_hides_nothing_that_is_written_after(world):
    from crash.scenarios import INJECT

    world.declare("web")
    world.apply()
    (world.home / "journal/00000001.jsonl").write_bytes(b"")
    world.declare("mail")
    world.apply(code=-9, PYTHONPATH=INJECT, CRASH_AT="write:9", CRASH_WHEN="after")
    world.settle()
    world.check_exactly("web", "mail")
    assert world.starts("mail") == 1
