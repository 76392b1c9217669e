"""Money has a brake: what starts is within its budget and the fleet's, with the real CLI and agents that spend."""

from __future__ import annotations

import pytest

from agent_haymaker.testing import eventually

DAY = {"period": "day"}


def condition(world, name: str) -> dict:
    conditions = world.run("status", name, "-o", "json").json["conditions"]
    return next(c for c in conditions if c["type"] == "BudgetOK")


def test_a_run_gets_its_cap_and_what_ends_by_it_is_not_started_again(world):
    world.task(
        "job", "bill", config={"size": 4}, budget={"maxCostUSD": 1.5, "maxTurns": 9}, run={"restartPolicy": "Always"}
    )
    world.apply()
    eventually(lambda: world.lines("caps.1.5"))
    eventually(lambda: not world.everybody())
    assert "recorded job: exit code 3" in world.apply().out
    said = world.apply(code=5)
    assert "! blocked job  $1.5 of $1.5 spent" in said.out
    assert world.starts("job") == 1
    status = world.run("status", "job", "-o", "json").json
    assert (status["health"], status["reason"]) == ("Degraded", "BudgetExceeded")
    assert condition(world, "job")["status"] == "False"
    assert status["run"]["usage"]["cost_usd"] == 1.5
    world.task("job", "bill", config={"size": 4}, budget={"maxCostUSD": 9}, run={"restartPolicy": "Always"})
    world.apply()
    eventually(lambda: world.starts("job") == 2)
    eventually(lambda: not world.everybody())


@pytest.mark.usefixtures("one_day")
@pytest.mark.parametrize(
    ("size", "checks"),
    [
        pytest.param(2, [], id="all of it used, to the cent"),
        pytest.param(4, [], id="ended by its cap"),
        pytest.param(2, [{"name": "none", "file": {"path": "none"}}], id="failed its checks"),
    ],
)
def test_the_pass_that_records_an_end_tells_that_no_other_run_is_allowed(world, size, checks):
    run = {"restartPolicy": "Always", "backoff": {"duration": "0s"}}
    budget = {"maxCostUSD": 1.0, **DAY}
    world.task("job", "bill", config={"size": size}, budget=budget, run=run, success={"checks": checks})
    world.apply()
    eventually(lambda: not world.everybody())
    assert "recorded job: exit code " in world.apply(code=None).out
    for _ in range(2):
        status = world.run("status", "job", "-o", "json").json
        assert (status["sync"], condition(world, "job")["status"]) == ("OutOfSync", "False"), status
        assert "its budget for the day is spent: $1.00 of $1.00" in status["message"]
        assert "! blocked job  its budget for the day is spent" in world.apply(code=5).out


@pytest.mark.usefixtures("one_day")
def test_a_day_that_is_spent_starts_nothing_more_and_says_so_everywhere(world):
    world.task("job", "bill", config={"size": 2}, budget={"maxCostUSD": 1.0, **DAY})
    world.settle("job")
    world.task("job", "bill", config={"size": 3}, budget={"maxCostUSD": 1.0, **DAY})
    said = world.apply(code=5)
    assert "its budget for the day is spent: $1.00 of $1.00" in said.out
    asked = world.run("why", "job").out
    assert "$1.00 of $1.00" in asked
    assert "next        nothing, until its budget allows a run\n" in asked, "as the plan says, though it changed"
    assert world.starts("job") == 1
    world.delete()
    world.declare("job", "spend", budget={"maxCostUSD": 1.0, **DAY})
    assert "declared job" in world.apply(code=5).out
    assert condition(world, "job")["reason"] == "BudgetExceeded"
    assert "$1.00 of $1.00" in world.run("status").out
    assert world.starts("job") == 1, "a deployment made anew begins with what its name has spent"
    world.declare("job", "spend", budget={"maxCostUSD": 1.0, "onExceeded": "warn", **DAY})
    assert "it runs all the same" in world.apply().out
    world.check_exactly("job")
    world.tidy()


@pytest.mark.usefixtures("one_day")
def test_the_fleets_budget_is_shared_by_reservation(world):
    world.fleet(budget={"maxCostUSD": 3, "onExceeded": "hold", **DAY}, defaults={"budget": {"maxCostUSD": 2}})
    world.declare("one", "spend")
    world.declare("two", "spend")
    said = world.apply(code=5)
    assert "$2.00 reserved by runs, and a run of it may use $2.00" in said.out
    eventually(lambda: world.lines("spent"))
    world.check_exactly("one")
    assert "$2.00" in condition(world, "two")["message"] or "$1.50" in condition(world, "two")["message"]
    assert world.record("one")["metadata"]["haymaker"]["run"]["caps"] == {"cost_usd": 2.0}
    assert "next        nothing, as long as it runs and keeps to its budget\n" in world.run("why", "one").out
    world.declare("one", "spend", desiredState="stopped")
    world.apply(code=5)
    said = world.apply()
    assert "started two" in said.out, "what was reserved and not used is free again"
    world.check_exactly("two")
    world.tidy()


def test_a_price_of_the_fleet_makes_the_cost_of_a_run_that_tells_none(world):
    world.fleet(prices={"quill": {"inputPerMTok": 1000, "outputPerMTok": 5000}})
    world.write(
        "quiet/workload.yaml",
        """
        name: quiet
        version: "1"
        command: [sh, ./quiet.sh]
        """,
    )
    world.write(
        "quiet/quiet.sh", """echo '{"turns": 1, "model": "quill", "usage": {"input_tokens": 500}}' > result.json\n"""
    )
    world.task("job", "quiet")
    world.settle("job")
    [item] = world.run("usage", "-o", "json").json["items"]
    assert (item["costUSD"], item["runsWithUnknownCost"]) == (0.5, 0)


def test_a_look_at_a_live_run_knows_the_price_of_its_model(world):
    world.fleet(prices={"quill": {"inputPerMTok": 1000, "outputPerMTok": 5000}})
    world.task("job", "squander", budget={"maxCostUSD": 0.25})  # 10 cents more each time, as its tokens tell
    world.apply()
    status = eventually(
        lambda: (found := world.run("status", "job", "-o", "json").json)["reason"] == "BudgetExceeded" and found
    )
    assert " of $0.25 used" in status["message"]
    [item] = world.run("usage", "-o", "json").json["items"]
    assert item["costUSD"] == pytest.approx(item["inputTokens"] / 1000)
    assert item["runsWithUnknownCost"] == 0
    world.delete()


def over(world, name: str) -> str:
    """What `why` says of a live run that is beyond its budget, once it is."""

    def reason() -> str:
        found = world.run("why", name, "-o", "json").json
        return found["reason"] if found["verdict"] == "Overspent" else ""

    return eventually(reason)


@pytest.mark.slow
def test_a_program_that_goes_on_beyond_its_budget_is_ended_by_the_next_pass(world):
    budget = {"maxTokens": 250}
    world.task("waster", "squander", budget=budget, run={"restartPolicy": "Always", "backoffLimit": 9})
    world.task("keeper", "settle", budget=budget)
    world.apply()
    world.one("waster")
    assert " of 250 tokens used, and it goes on" in over(world, "waster")
    looked = world.run("status", "waster", "-o", "json").json
    assert (looked["health"], looked["reason"]) == ("Degraded", "BudgetExceeded"), "before any pass acted on it"
    assert " of 250 tokens used" in condition(world, "waster")["message"]
    world.one("keeper")
    eventually(lambda: usage_of(world, "keeper") > 250)
    said = world.apply().out
    assert "stopped waster, its budget is spent: " in said
    assert "keeper" not in said.partition("\n")[0]
    assert [agent.who for agent in world.agents()] == ["keeper"]
    status = world.run("status", "waster", "-o", "json").json
    assert (status["health"], status["reason"], status["status"]) == ("Degraded", "BudgetExceeded", "failed")
    assert next(c["status"] for c in status["conditions"] if c["type"] == "BudgetOK") == "False"
    used = status["run"]["usage"]
    assert used["input_tokens"] > 250
    assert usage_of(world, "waster") == used["input_tokens"]
    # Its cap again would be spent again; a larger one is another matter.
    assert "raise its budget" in world.apply(code=5).out
    assert world.starts("waster") == 1
    world.task("waster", "squander", budget={"maxTokens": 10**9}, run={"restartPolicy": "Always", "backoffLimit": 9})
    world.apply()
    assert world.one("waster")
    world.check_once()


def usage_of(world, name: str) -> int:
    found = world.run("usage", "-o", "json").json["items"]
    return sum(item["inputTokens"] for item in found if item["key"] == name)
