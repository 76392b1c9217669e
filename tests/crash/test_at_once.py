"""Two commands at once: one has the lock, the other says so or waits, and no agent is ever there twice."""

from __future__ import annotations

import signal

import pytest

from agent_haymaker.testing import eventually


def both(world, first, second):
    """Start two commands at the same time and give how each ended."""
    running = [world.popen(*first), world.popen(*second)]
    said = [p.communicate(timeout=180) for p in running]
    for _, err in said:
        assert b"Traceback" not in err, err
    return [(p.returncode, out.decode() + err.decode()) for p, (out, err) in zip(running, said, strict=True)]


def apply_args(world, *more):
    return ("apply", "-f", str(world.manifests), "--yes", *more)


def race(world, rounds):
    refused = 0
    for number in range(rounds):
        patient = ("--lock-timeout", "2m") if number % 2 else ()
        world.declare("web", config={"colour": f"shade {number}"})
        before = world.starts("web")
        ended = both(world, apply_args(world, *patient), apply_args(world, *patient))
        codes = sorted(code for code, _ in ended)
        assert codes in ([0, 0], [0, 6]), ended
        assert not (patient and codes != [0, 0]), ended
        for code, text in ended:
            if code == 6:
                refused += 1
                assert "the lock is held by" in text, text
        world.check_exactly("web")
        assert world.starts("web") == before + 1
    return refused


def test_of_two_applies_at_once_one_acts_and_the_other_says_who_does(world):
    race(world, 2)


@pytest.mark.slow
def test_of_two_applies_at_once_none_ever_starts_a_second_agent(world):
    race(world, 20)


def test_an_apply_during_a_delete_is_refused_and_the_delete_ends_everything(world):
    world.declare("web", "deaf", run={"terminationGracePeriod": "10m"})
    world.apply()
    eventually(lambda: world.lines("deaf"))  # so that the delete waits until somebody else ends it
    delete = world.popen("delete", "-f", str(world.manifests), "--yes")
    eventually(lambda: (world.home / "locks/pass.lock").read_bytes())
    said = world.apply(code=6)
    assert "`haymaker delete`" in said.err
    assert delete.poll() is None, "the delete was over before the apply was tried"
    waiting = world.popen("apply", "-f", str(world.manifests), "--yes", "--lock-timeout", "2m")
    world.kill(world.one("web").pid)
    delete.communicate(timeout=120)
    assert delete.returncode == 0
    assert b"deployed web" in waiting.communicate(timeout=120)[0]
    world.declare("web", "deaf", run={"terminationGracePeriod": "0s"})
    world.apply()
    world.check_exactly("web")


@pytest.mark.slow
def test_a_lock_whose_holder_was_killed_is_free_at_once(world):
    world.declare("web", "deaf", run={"terminationGracePeriod": "3s"})
    world.apply()
    eventually(lambda: world.lines("deaf"))
    delete = world.popen("delete", "-f", str(world.manifests), "--yes")
    claim = world.claim_path(world.one("web").run_id)
    eventually(lambda: "stop_requested" in claim.read_text())
    delete.send_signal(signal.SIGKILL)
    delete.communicate()
    world.delete("--lock-timeout", "0s")
    world.check_exactly()
