"""What agents use is on record, once for each run, with the real CLI and agents that tell of it."""

from __future__ import annotations

import pytest

from agent_haymaker.testing import eventually


def used(world, *args: str) -> dict[str, tuple[int, float]]:
    said = world.run("usage", "-o", "json", *args)
    return {item["key"]: (item["runs"], item["costUSD"]) for item in said.json["items"]}


def test_a_run_counts_while_it_runs_and_once_when_it_was_killed(world):
    world.declare("web", "spend", config={"size": 2}, run={"backoff": {"duration": "1h", "maxDuration": "1h"}})
    world.apply()
    agent = world.one("web")
    eventually(lambda: world.lines("spent"))
    assert used(world) == {"web": (1, 1.0)}
    world.kill(agent.pid)
    world.apply()
    assert used(world) == {"web": (1, 1.0)}
    assert world.record("web")["metadata"]["haymaker"]["run"]["usage"] == {
        "turns": 2, "input_tokens": 200, "output_tokens": 20, "cached_tokens": 0, "cost_usd": 1.0, "model": "quill",
    }  # fmt: skip
    assert world.history("web")[-1]["usage"]["cost_usd"] == 1.0


def test_a_second_attempt_is_not_charged_for_the_first(world):
    world.declare("web", "spend", run={"backoff": {"duration": "0s"}})
    world.apply()
    first = world.one("web")
    eventually(lambda: len(world.lines("spent")) == 1)
    world.kill(first.pid)
    world.apply()
    eventually(lambda: len(world.lines("spent")) == 2)
    world.kill(world.one("web").pid)
    world.apply()
    assert used(world)["web"][0] >= 2
    runs, cost = used(world)["web"]
    assert cost == 0.5 * runs


@pytest.mark.slow
@pytest.mark.usefixtures("one_day")
def test_usage_adds_up_by_name_label_day_and_model_and_outlives_the_deployment(world):
    world.task("one", "bill", config={"size": 1}, labels={"team": "red"})
    world.task("two", "bill", config={"size": 3}, labels={"team": "blue"})
    world.task("three", "report")
    world.settle("one", "two", "three")
    assert used(world) == {"one": (1, 0.5), "two": (1, 1.5)}
    world.delete()
    assert used(world, "--by", "label:team") == {"red": (1, 0.5), "blue": (1, 1.5)}
    assert used(world, "--by", "model") == {"quill": (2, 2.0)}
    [(day, sums)] = used(world, "--by", "day").items()
    assert sums == (2, 2.0)
    assert used(world, "--since", day) == {"one": (1, 0.5), "two": (1, 1.5)}
    assert used(world, "--since", "0s") == {}
    table = world.run("usage").out
    assert table.splitlines()[-1].split() == ["total", "2", "4", "400", "40", "0", "2.0000"]
    assert world.run("usage", "--by", "colour").code == 64
    assert world.run("usage", "--since", "yesterday").code == 64
