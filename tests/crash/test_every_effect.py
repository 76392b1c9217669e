"""
A real `haymaker apply` is stopped with SIGKILL at every effect it makes; the next one converges.

The quick ones take one effect of each scenario, of another kind each; the slow ones take all of them.
"""

from __future__ import annotations

import pytest

from crash.scenarios import SCENARIOS, Create, kill_at

CHUNKS = 4
# Before the effect that follows is after this one, unless something of another process hangs on it.
WORTH_BOTH_SIDES = {"spawn", "signal", "connect", "rename", "link"}


def kind(effect: str) -> str:
    return effect.partition(" ")[0]


def test_the_effects_of_an_apply_are_all_seen(world):
    scenario = Create(world)
    scenario.begin()
    effects = kill_at(scenario, 0)
    assert len(effects) >= scenario.least
    assert scenario.kinds <= {kind(e) for e in effects}


@pytest.mark.parametrize(
    ("name", "of", "number", "when"),
    [
        ("create", "spawn", 1, "after"),
        ("replace", "signal", 1, "before"),
        ("restart", "rename", 2, "after"),
        ("delete", "unlink", 2, "before"),
        ("record", "connect", 1, "after"),
        ("rename", "sync", 2, "before"),
        ("bill", "sync", 2, "after"),
        ("stop-stalled", "signal", 1, "after"),
        ("stop-overspent", "signal", 1, "before"),
        ("stop-overtime", "signal", 1, "after"),
        ("revert", "connect", 1, "after"),
    ],
)
def test_a_kill_at_an_effect_is_made_good_by_the_next_apply(world, name, of, number, when):
    scenario = SCENARIOS[name](world)
    scenario.begin()
    effects = kill_at(scenario, number, kind=of, when=when)
    assert kind(effects[-1]) == of, "the kill did not strike"


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_effect_is_made_good_by_the_next_apply(world, name, chunk):
    scenario = SCENARIOS[name](world)
    scenario.begin()
    seen: set[str] = set()
    number = chunk + 1
    while len(effects := kill_at(scenario, number)) == number:
        seen.add(kind(effects[-1]))
        if kind(effects[-1]) in WORTH_BOTH_SIDES:
            kill_at(scenario, number, when="after")
        number += CHUNKS
    assert number > scenario.least
    assert scenario.kinds <= {kind(e) for e in effects}
    assert len(seen) > 2
