"""The cache saves time and changes nothing: whatever happens to files or to it, the answer is that of a fresh read."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.load.conftest import same

if TYPE_CHECKING:
    from tests.load.conftest import Fleet


def settle(fleet: Fleet) -> None:
    """Make every file old enough for its times to vouch for it."""
    newest = max(max(p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in fleet.folder.rglob("*"))
    while time.time_ns() <= newest + 60_000_000:
        time.sleep(0.01)


def test_a_second_load_is_equal_and_parses_nothing(fleet: Fleet) -> None:
    for i in range(20):
        fleet.deploy(
            f"a-{i}", f"workload: sleeper\nconfig: {{n: {i}}}\nrun: {{mode: service, timeout: 5m}}\nprotect: true"
        )
    fleet.write("goals/g.md", "# Goal\n")
    spec = "workload: analyst\ngoal: {file: ../goals/g.md}\nupdate: {strategy: Manual}\nrenamedFrom: [old]"
    fleet.deploy(
        "b", spec + "\ndependsOn: [{name: a-1, condition: Started}]\nrun: {backoff: {factor: 3}}", path="t/b.yaml"
    )
    fleet.deploy("c", "workload: analyst\ngoal: {inline: Do it.}\nconfig: {verbose: true}", metadata=", labels: {x: y}")
    fleet.write(
        "fleet.yaml", "apiVersion: haymaker/v1\nkind: Fleet\nmetadata: {name: prod}\nspec: {sync: {prune: true}}\n"
    )
    fleet.write(".haymakerignore", "drafts/\n")
    fleet.write("drafts/x.yaml", "nonsense: [")
    settle(fleet)
    fresh = fleet.load()
    assert not fresh.problems
    same(fleet.load(home=True), fresh)
    same(fleet.load(home=True), fresh)
    code = (
        "import sys; from pathlib import Path; from reconciler.load import load\n"
        f"loaded = load(Path({str(fleet.folder)!r}), home=Path({str(fleet.home)!r}))\n"
        "assert len(loaded.desired) == 22, loaded\n"
        "print([m for m in ('yaml', 'pydantic', 'jsonschema', 'pathspec', 'importlib.metadata') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"


def _change(fleet: Fleet, dice: random.Random) -> None:
    name = f"a-{dice.randrange(6)}"
    match dice.randrange(9):
        case 0 | 1:
            fleet.deploy(name, f"workload: sleeper\nconfig: {{n: {dice.randrange(4)}}}")
        case 2:
            (fleet.folder / f"{name}.yaml").unlink(missing_ok=True)
        case 3:
            fleet.deploy(name, "workload: analyst\ngoal: {file: goal.md}")
        case 4:
            fleet.write("goal.md", f"# Goal {dice.randrange(3)}\n")
        case 5:
            fleet.write("run.sh", f"sleep {dice.randrange(3)}\n")
        case 6:
            kept = "{sync: {prune: true}}" if dice.random() < 0.5 else "{defaults: {run: {timeout: 1h}}}"
            head = "apiVersion: haymaker/v1\nkind: Fleet\nmetadata: {name: prod}\nspec: "
            fleet.write("fleet.yaml", head + kept + "\n")
        case 7:
            fleet.deploy(name, f"workload: sleeper\ndependsOn: [{{name: a-{dice.randrange(6)}}}]")
        case _:
            fleet.write(".haymakerignore", dice.choice(["", "a-1.yaml\n", "a-[23].yaml\n!a-3.yaml\n"]))


@pytest.mark.parametrize("seed", range(6))
def test_after_any_changes_the_cache_says_what_a_fresh_read_says(fleet: Fleet, seed: int) -> None:
    dice = random.Random(seed)
    fleet.write("goal.md", "# Goal\n")
    for _ in range(25):
        for _ in range(dice.randrange(3)):
            _change(fleet, dice)
        if dice.random() < 0.4:
            settle(fleet)
        same(fleet.load(home=True), fleet.load())


def test_a_change_within_one_tick_of_the_clock_and_of_equal_size_is_seen(fleet: Fleet) -> None:
    for n in range(150):
        fleet.deploy(
            "mailer",
            f"workload: sleeper\nconfig: {{n: {n:03}}}" if n > 99 else f"workload: sleeper\nconfig: {{n: {n + 100}}}",
        )
        loaded = fleet.load(home=True)
        assert loaded.desired["mailer"].spec["config"] == {"n": n if n > 99 else n + 100}


def test_a_file_whose_times_were_set_back_is_seen_to_have_changed(fleet: Fleet) -> None:
    file = fleet.deploy("mailer", "workload: sleeper\nconfig: {n: 1}")
    settle(fleet)
    fleet.load(home=True)
    before = file.stat()
    draft = fleet.write("draft", file.read_bytes().replace(b"n: 1", b"n: 2"))
    os.utime(draft, ns=(before.st_atime_ns, before.st_mtime_ns))
    draft.rename(file)
    assert fleet.load(home=True).desired["mailer"].spec["config"] == {"n": 2}


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"version": 999}', b"truncate", b"swap"])
def test_a_cache_that_is_garbage_is_rebuilt(fleet: Fleet, garbage: bytes) -> None:
    fleet.deploy("mailer")
    settle(fleet)
    fresh = fleet.load(home=True)
    [cache] = [path for path in (fleet.home / "cache").iterdir() if path.name != "workloads.json"]
    good = cache.read_bytes()
    if garbage == b"swap":
        record = json.loads(good)
        record["files"] = {name: [1, 2] for name in record["files"]}
        garbage = json.dumps(record).encode()
    cache.write_bytes(good[: len(good) // 2] if garbage == b"truncate" else garbage)
    same(fleet.load(home=True), fresh)
    same(fleet.load(home=True), fresh)


def test_a_cache_that_cannot_be_written_is_no_error(fleet: Fleet) -> None:
    fleet.deploy("mailer")
    fleet.home.write_text("a file where the folder should be")
    same(fleet.load(home=True), fleet.load())


def test_without_leave_to_write_nothing_is_written(fleet: Fleet) -> None:
    from reconciler.load import load

    fleet.deploy("mailer")
    fleet.deploy("installed", "workload: goal-agent\ngoal: {inline: Do it.}")
    assert len(load(fleet.folder, home=fleet.home, write_cache=False).desired) == 2
    assert not fleet.home.exists()
    assert len(fleet.load(home=True).desired) == 2
    assert [oct(path.stat().st_mode & 0o777) for path in (fleet.home, fleet.home / "cache")] == ["0o700", "0o700"]
    assert {path.stat().st_mode & 0o777 for path in (fleet.home / "cache").iterdir()} == {0o600}


def test_an_empty_file_keeps_what_it_declared_before(fleet: Fleet) -> None:
    file = fleet.deploy("mailer")
    settle(fleet)
    fleet.load(home=True)
    file.write_text("")
    loaded = fleet.load(home=True)
    assert loaded.broken_names == {"mailer"}
    assert not loaded.complete


def test_a_file_that_is_being_written_is_read_whole_or_not_at_all(fleet: Fleet) -> None:
    import threading

    text = fleet.deploy(
        "mailer", "workload: sleeper\nconfig:\n" + "".join(f"  k{i}: {i}\n" for i in range(200))
    ).read_text()
    stop = threading.Event()

    def save_over_and_over() -> None:
        while not stop.is_set():
            with open(fleet.folder / "mailer.yaml", "w") as file:
                for at in range(0, len(text), 97):
                    file.write(text[at : at + 97])
                    file.flush()

    writer = threading.Thread(target=save_over_and_over)
    writer.start()
    try:
        for _ in range(60):
            loaded = fleet.load(home=True)
            whole = "mailer" in loaded.desired and len(loaded.desired["mailer"].spec["config"]) == 200
            # A torn read may be seen as wrong, or as a shorter config while the writer stands still; never as absence.
            assert whole or "mailer" in loaded.broken_names or not loaded.complete or "mailer" in loaded.desired
    finally:
        stop.set()
        writer.join()
