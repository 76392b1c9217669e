"""A goal agent asks a model, at the fleet's price: its caps end it, and what it cost is on record."""

from __future__ import annotations

import pytest
from model_server import call, say
from model_server.fixtures import serve

from agent_haymaker.testing import eventually

__all__ = ["serve"]

GOAL = "# Tidy\n\n## Goal\n\nMake the folder tidy.\n\n## Success Criteria\n\n- It is there: `test -d tidy`\n"


@pytest.mark.slow
def test_a_model_that_goes_on_is_ended_by_the_cost_of_its_run(world, serve):
    server = serve(*(call("shell", command=f"echo {n}") for n in range(20)), say("Done."))
    world.fleet(prices={"quill": {"inputPerMTok": 20000, "outputPerMTok": 20000}})
    env = {"ANTHROPIC_API_KEY": "sk-not-a-real-key", "ANTHROPIC_BASE_URL": server.url, "LLM_MAX_RETRIES": "0"}
    world.task(
        "job", "goal-agent", goal={"inline": GOAL}, config={"sdk": "mini", "model": "quill", "max_turns": 30},
        budget={"maxCostUSD": 1}, env=[{"name": name, "value": value} for name, value in env.items()],
    )  # fmt: skip
    world.apply()
    eventually(lambda: not world.everybody())
    world.apply()
    status = world.run("status", "job", "-o", "json").json
    assert (status["health"], status["reason"]) == ("Degraded", "BudgetExceeded"), world.run("logs", "job").out
    assert "of $1 spent" in status["message"]
    assert 1 < len(server.asked) < 20
    [item] = world.run("usage", "--by", "model", "-o", "json").json["items"]
    assert (item["key"], item["runs"], item["runsWithUnknownCost"]) == ("quill", 1, 0)
    assert item["costUSD"] == pytest.approx(0.02 * (item["inputTokens"] + item["outputTokens"]))
