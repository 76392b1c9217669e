"""Records written together: each whole, each with its own answer."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from agent_haymaker.errors import PlatformError
from agent_haymaker.records import write_records
from reconciler.commit import GroupWrite

if TYPE_CHECKING:
    from pathlib import Path


def test_each_record_of_a_group_is_there_with_its_own_content_and_identity(tmp_path: Path) -> None:
    async def write_all() -> list[tuple[int, int, int]]:
        group = GroupWrite()
        jobs = [group.write(tmp_path / f"{n}.json", b"%d\n" % n) for n in range(50)]
        return list(await asyncio.gather(*jobs))

    identities = asyncio.run(write_all())

    assert sorted(os.listdir(tmp_path)) == sorted(f"{n}.json" for n in range(50)), "no draft stays"
    for n, identity in enumerate(identities):
        found = (tmp_path / f"{n}.json").stat()
        assert (tmp_path / f"{n}.json").read_bytes() == b"%d\n" % n
        assert identity == (found.st_ino, found.st_size, found.st_mtime_ns)
        assert found.st_mode & 0o777 == 0o600


def test_a_record_that_the_host_refuses_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    (tmp_path / "taken.json").mkdir()
    (tmp_path / "taken.json" / "inside").touch()

    good, gone, taken = write_records(
        [(tmp_path / "good.json", b"1"), (tmp_path / "gone" / "r.json", b"2"), (tmp_path / "taken.json", b"3")]
    )

    assert not isinstance(good, PlatformError)
    assert isinstance(gone, PlatformError)
    assert str(tmp_path / "gone" / "r.json") in str(gone.where)
    assert isinstance(taken, PlatformError)
    assert sorted(os.listdir(tmp_path)) == ["good.json", "taken.json"], "no draft stays"


def test_what_is_refused_is_told_to_its_own_writer_and_the_group_goes_on(tmp_path: Path) -> None:
    async def write_all() -> None:
        group = GroupWrite()
        with pytest.raises(PlatformError):
            await group.write(tmp_path / "gone" / "r.json", b"")
        await group.write(tmp_path / "later.json", b"later")

    asyncio.run(write_all())

    assert (tmp_path / "later.json").read_bytes() == b"later"


def test_a_writer_that_ran_out_of_time_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def write_all() -> None:
        group = GroupWrite()
        hasty = asyncio.create_task(group.write(tmp_path / "hasty.json", b"1"))
        patient = asyncio.create_task(group.write(tmp_path / "patient.json", b"2"))
        await asyncio.sleep(0)
        hasty.cancel()
        await patient

    asyncio.run(write_all())

    assert (tmp_path / "patient.json").read_bytes() == b"2"
