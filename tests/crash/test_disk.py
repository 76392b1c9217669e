"""
A disk that is full, and folders that may not be written: told clearly, nothing doubled, made good once there is room.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

import pytest

PAGE = 4096


@pytest.fixture
def small_disk(world):
    """A world whose home is a filesystem of one mebibyte."""
    world.home.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", world.home], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield world
        world.tidy()
    finally:
        world.end()
        subprocess.run(["umount", "-l", world.home], check=True)


def fill(world, pages):
    """Leave so many free pages on the disk."""
    filler = world.home / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(PAGE))
    os.truncate(filler, filler.stat().st_size - pages * PAGE)
    return filler


def is_told(said, words):
    assert said.code in (1, 3), str(said)
    assert words in said.err, str(said)


def replace_on_full_disk(world, pages, turn):
    """Replace an agent with so many pages free; return how the apply ended."""
    world.declare("web", config={"colour": f"shade {turn}"})
    before = world.starts("web")
    filler = fill(world, pages)
    said = world.apply(code=None)
    if said.code:
        is_told(said, "No space left on device")
    world.check_once()
    assert len(world.agents("web")) <= 1
    filler.unlink()
    world.apply()
    assert "nothing to do" in world.apply().out, str(said)
    world.check_exactly("web")
    assert world.starts("web") == before + 1, str(said)
    return said.code


def test_a_full_disk_is_told_and_made_good(small_disk):
    world = small_disk
    world.declare("web")
    world.apply()
    assert [replace_on_full_disk(world, pages, pages) for pages in (0, 3)] != [0, 0]


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_point_is_told_and_made_good(small_disk):
    world = small_disk
    world.declare("web")
    world.apply()
    codes = [replace_on_full_disk(world, pages, pages) for pages in range(16)]
    assert codes[0] != 0
    assert codes[-1] == 0, "the disk never had room enough"


@pytest.mark.slow
def test_a_first_apply_on_a_full_disk_leaves_nothing_behind_that_is_in_the_way(small_disk):
    world = small_disk
    world.declare("web")
    for pages in (0, 2, 5):
        filler = fill(world, pages)
        said = world.apply(code=None)
        if said.code:
            is_told(said, "No space left on device")
        assert len(world.agents("web")) <= 1
        filler.unlink()
        world.apply()
        assert "nothing to do" in world.apply().out
        world.check_exactly("web")
        world.delete()
        world.check_exactly()


@pytest.mark.slow
def test_a_delete_on_a_full_disk_stops_the_agent_or_says_why_not(small_disk):
    world = small_disk
    world.declare("web")
    world.apply()
    world.one("web")
    filler = fill(world, 0)
    said = world.delete(code=None)
    if said.code:
        is_told(said, "No space left on device")
    filler.unlink()
    world.delete()
    world.check_exactly()


@pytest.mark.parametrize("room", [500, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 4000))])
def test_a_file_size_limit_is_told_and_made_good(world, room):
    world.declare("web")
    world.apply()
    world.declare("web", config={"size": 2})
    before = world.starts("web") if world.one("web") else 0
    longest = max(p.stat().st_size for p in (world.home / "journal").iterdir())
    world.file_limit = longest + room
    said = world.apply(code=None)
    is_told(said, "File too large")
    world.check_once()
    assert len(world.agents("web")) <= 1
    world.file_limit = None
    world.apply()
    assert "nothing to do" in world.apply().out
    world.check_exactly("web")
    assert world.starts("web") == before + 1


SOME = ["journal", "engines/local/runs"]
OTHERS = ["state", "fleets", "agents", "history", "locks"]


@pytest.mark.parametrize("folder", [*SOME, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_a_folder_that_may_not_be_written_is_told_and_made_good(world, folder):
    world.plain = True
    world.declare("web")
    world.apply()
    world.declare("web", config={"size": 2})
    before = world.starts("web") if world.one("web") else 0
    closed = [world.home / folder, *(p for p in (world.home / folder).iterdir() if folder in ("journal", "locks"))]
    for path in closed:
        path.chmod(0o500)
    said = world.apply(code=None)
    if said.code:
        assert "Permission denied" in said.err, str(said)
        assert said.code in (1, 3), str(said)
    assert len(world.agents("web")) <= 1
    for path in closed:
        path.chmod(0o700)
    world.apply()
    assert "nothing to do" in world.apply().out, str(said)
    world.check_exactly("web")
    assert world.starts("web") == before + 1, str(said)
