"""What users complain about who run agents: money without a brake, life without progress, and ways back that fight."""

from __future__ import annotations

import pytest

from agent_haymaker.testing import eventually


def test_pain_20_a_failed_digest_is_held_and_the_way_back_is_an_edit_of_the_manifest(world):
    hurried = {"backoffLimit": 0}
    path = world.declare("web", run=hurried)
    world.apply()
    good, digest = path.read_text(), world.entries()["web"]["digest"]
    world.one("web")
    world.declare("web", "fail", run=hurried)
    world.apply()
    eventually(lambda: "backoffLimit is 0" in world.apply(code=None).out and not world.agents())
    starts = world.starts("web")
    for _ in range(3):
        world.apply(code=None)
    assert world.starts("web") == starts == 2, "what failed is not started again until its manifest changes"
    path.write_text(good)
    assert "replaced web" in world.apply().out
    assert world.one("web").run_id
    assert world.entries()["web"]["digest"] == digest
    assert "nothing to do" in world.apply().out
    world.check_exactly("web")


@pytest.mark.usefixtures("one_day")
def test_pain_25_money_is_asked_for_before_a_start_and_has_a_price(world):
    day = {"maxCostUSD": 1.0, "period": "day"}
    world.task("job", "bill", config={"size": 2}, budget=day)
    world.settle("job")
    world.task("job", "bill", config={"size": 3}, budget=day)
    assert "its budget for the day is spent" in world.apply(code=5).out
    assert world.starts("job") == 1
    config = {"sdk": "mini", "model": "unheard-of"}
    world.task("pricey", "goal-agent", goal={"inline": "# Go\n\n## Goal\n\nGo.\n"}, config=config, budget=day)
    said = world.apply(code=65)
    assert "nobody says what model 'unheard-of' costs" in said.err
    assert world.starts("pricey") == 0


@pytest.mark.slow
def test_pain_25_money_is_counted_during_the_run(world):
    world.task("hungry", "squander", budget={"maxTokens": 250})
    world.apply(code=None)
    eventually(lambda: "its budget is spent" in world.apply(code=None).out)
    assert world.agents("hungry") == []
    assert world.run("status", "hungry", "-o", "json").json["reason"] == "BudgetExceeded"


def test_pain_27_a_process_that_lives_and_goes_in_circles_is_stalled(world):
    world.task("lost", "loop", run={"progressDeadline": "1s", "onStalled": "stop"})
    world.task("busy", "step", run={"progressDeadline": "1s"})
    world.apply()
    agent = world.one("lost")

    def health(name: str) -> str:
        return world.run("status", name, "-o", "json").json["health"]

    eventually(lambda: health("lost") == "Stalled")
    assert world.one("lost").pid == agent.pid, "it lives, and that is not progress"
    eventually(lambda: health("busy") == "Progressing")  # though it may pause, on a busy machine
    assert "stopped lost" in world.apply(code=None).out
    assert world.agents("lost") == []
    assert health("lost") == "Stalled"
    world.one("busy")
