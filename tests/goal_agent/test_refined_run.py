"""An agent whose plan its model refines first: with the real run, on `mini`, against a scripted model."""

from __future__ import annotations

import json

import pytest
from model_server import call, fail, say
from model_server.fixtures import serve

from goal_agent.test_refine import ANSWER, GOAL

__all__ = ["serve"]

KEY = "sk-not-a-real-key"


def point(agent, server) -> None:
    agent.env |= {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url, "LLM_MAX_RETRIES": "0"}


@pytest.mark.slow
def test_the_refined_plan_is_what_the_model_then_follows_and_a_new_start_asks_no_more(agent, serve):
    work = (call("shell", command="mkdir -p tidy"), say("Done."))
    server = serve(say(json.dumps(ANSWER)), *work, *work)
    point(agent, server)
    done = agent.run(GOAL, sdk="mini", model="claude-planner", plan_with_model=True)
    assert done.closing == ["Goal achieved", "Exit code: 0"], done.log
    first = (agent.folder / "plan.json").read_bytes()
    assert json.loads(first)["refinement"]["model"] == server.requests[0].body["model"] == "claude-planner"
    assert "1. Look: See what is there." in server.asked[1].messages[-1].text
    (agent.folder / "tidy").rmdir()
    assert agent.run(GOAL, sdk="mini", model="claude-planner", plan_with_model=True).code == 0
    assert (agent.folder / "plan.json").read_bytes() == first
    assert len(server.asked) == 5


@pytest.mark.slow
def test_a_provider_that_refuses_ends_the_run_before_it_began(agent, serve):
    point(agent, serve(fail(401, "no such key")))
    done = agent.run(GOAL, sdk="mini", plan_with_model=True)
    assert done.code == 4
    assert "the plan could not be refined" in done.closing[0]
    assert KEY not in done.log


def test_what_a_failed_planning_used_is_charged_and_why_it_failed_is_the_result(agent, serve):
    """The first answer does not hold, the second never comes: the first was paid for."""
    server = serve(say("No plan, sorry."), fail(401, f"no such key {KEY}"))
    point(agent, server)
    agent.env["HAYMAKER_BUDGET_PRICES"] = '{"input": 1000, "output": 1000}'
    done = agent.run(GOAL, sdk="mini", model="claude-planner", plan_with_model=True)
    assert (done.code, len(server.asked)) == (4, 2), done.log
    result = done.result
    assert (result["verdict"], result["exit_code"], result["model"]) == ("failed", 4, "claude-planner")
    assert "the plan could not be refined" in result["reason"]
    assert KEY not in (agent.folder / "result.json").read_text()
    tokens = sum(result["usage"].values())
    assert tokens > 0
    assert result["cost_usd"] == pytest.approx(tokens / 1000)
    assert not (agent.folder / "events.jsonl").exists()


def test_no_model_to_ask_is_a_mistake_in_the_config(agent):
    done = agent.run(GOAL, sdk="mini", plan_with_model=True)
    assert done.code == done.result["exit_code"] == 2
    assert "ANTHROPIC_API_KEY" in done.log
    assert done.result["reason"] in done.closing[0]
    assert "config.plan_with_model" in done.log


@pytest.mark.slow
def test_what_planning_used_counts_and_a_plan_that_reaches_a_cap_ends_the_run(agent, serve):
    server = serve(say(json.dumps(ANSWER)))
    point(agent, server)
    agent.env["HAYMAKER_BUDGET_MAX_TOKENS"] = "2"
    done = agent.run(GOAL, sdk="mini", model="claude-planner", plan_with_model=True)
    assert done.code == 3, done.log
    plan, result = (json.loads((agent.folder / name).read_bytes()) for name in ("plan.json", "result.json"))
    planned = plan["refinement"]["usage"]
    assert (result["verdict"], result["turns"], result["model"]) == ("budget spent", 0, "claude-planner")
    assert result["usage"].items() <= planned.items()
    assert planned["input_tokens"] > 0
    told = [json.loads(line) for line in (agent.folder / "events.jsonl").read_text().splitlines()]
    assert [e["total"]["input_tokens"] for e in told if e["type"] == "usage"] == [planned["input_tokens"]]
    assert [e["ending"] for e in told if e["type"] == "usage"] == [True]
    assert len(server.asked) == 1


def test_no_plan_is_asked_for_where_its_cost_is_capped_and_nothing_tells_it(agent, serve):
    server = serve(say(json.dumps(ANSWER)))
    point(agent, server)
    agent.env["HAYMAKER_BUDGET_MAX_COST_USD"] = "1"
    done = agent.run(GOAL, sdk="claude", plan_with_model=True)
    assert (done.code, len(server.asked)) == (2, 0), done.log
    assert "nothing tells what planning with a model costs" in done.log
