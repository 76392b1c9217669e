"""Streams that are closed, full, or whose reader has gone: what changes the world does all of it, or nothing."""

from __future__ import annotations

import os
import subprocess

import pytest
from support.world import SCRIPT


def run(world, words, how):
    """Run a command with a stream as `how` says, and give its exit code and what it said on stderr."""
    env, cwd = world.env, world.folder
    if how == "no reader":
        process = world.popen(*words)
        process.stdout.close()
        said = process.stderr.read().decode()
        process.stderr.close()
        return process.wait(timeout=120), said
    redirect = {"full": ">/dev/full", "closed": "<&- >&-", "all closed": "<&- >&- 2>&-"}[how]
    line = f'exec "$0" "$@" {redirect}'
    done = subprocess.run(
        ["sh", "-c", line, SCRIPT, *words],
        env=env,
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(("how", "code"), [("no reader", 0), ("closed", 0), ("all closed", 0), ("full", 1)])
def test_a_pass_that_nobody_hears_is_done_to_its_end(world, how, code):
    world.declare("web")
    world.declare("mail")
    folder = ("-f", str(world.manifests))
    ended, said = run(world, ("apply", *folder), how)
    assert (ended, "fault in haymaker" in said) == (code, False)
    assert ("No space left" in said) == (how == "full")
    world.check_exactly("mail", "web")
    if how == "closed":
        ended, said = run(world, ("delete", *folder), how)
        assert (ended, "pass --yes where there is no terminal" in said) == (5, True), said
    assert run(world, ("delete", *folder, "--yes"), how)[0] == code
    world.check_exactly()


def test_without_a_word_left_to_say_nothing_else_is_opened_in_its_place(world):
    """A closed stdout's number is the next file's: what is printed must not land in a record."""
    world.declare("web")
    assert run(world, ("apply", "-f", str(world.manifests)), "all closed")[0] == 0
    for path in world.home.rglob("*"):
        if path.is_file() and not os.path.islink(path):
            assert b"deployed web\n" not in path.read_bytes(), path
