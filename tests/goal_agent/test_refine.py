"""A plan that a model had a hand in: what is taken of its answer, what is recorded, and when it is asked at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from model_server import Usage, fail, say
from model_server.fixtures import serve

from agent_haymaker.goals.place import Place
from agent_haymaker.llm import LLMAuthenticationError, LLMConfig, create_llm_client
from haymaker_goal_agent import ObjectivePlanner, PlanRefiner, PromptAnalyzer
from haymaker_goal_agent.generate import make_bundle
from haymaker_goal_agent.packager import plan_record
from haymaker_goal_agent.refine import recorded_refinement

__all__ = ["serve"]

GOAL = "# Tidy\n\n## Goal\n\nTidy the folder.\n\n## Success Criteria\n\n- It is tidy: `test -d tidy`\n"
ANSWER = {
    "domain": "automation",
    "complexity": "moderate",
    "phases": [
        {"name": "Look", "description": "See what is there.", "required_capabilities": ["shell"], "dependencies": [],
         "parallel_safe": True, "estimated_seconds": 20.2, "success_indicators": ["a list"]},
        {"name": "Sort", "description": "Move it.", "required_capabilities": ["shell", "reporting"],
         "dependencies": ["Look"], "estimated_seconds": 60},
    ],
    "risk_factors": ["A name may be taken."],
}  # fmt: skip


@pytest.fixture
def plan():
    return ObjectivePlanner().generate_plan(PromptAnalyzer().analyze_text(GOAL))


def refine(plan, server):
    config = LLMConfig(provider="openai", model="m-1", endpoint=server.openai_url, api_key="k")
    with create_llm_client(config) as client:
        return PlanRefiner(client).refine(plan)


def test_the_answer_becomes_the_plan_and_the_authors_part_stays(plan, serve):
    server = serve(say(f"Here it is:\n```json\n{json.dumps(ANSWER)}\n```", usage=Usage(900, 80)))
    refined = refine(plan, server)
    assert [(p.name, p.dependencies, p.parallel_safe, p.estimated_duration) for p in refined.phases] == [
        ("Look", (), True, 21.0),
        ("Sort", ("Look",), False, 60.0),
        ("Verify", ("Sort",), False, 1.0),
    ]
    assert (refined.goal.domain, refined.goal.complexity) == ("automation", "moderate")
    assert refined.goal.criteria == plan.goal.criteria
    assert refined.required_skills == ("report-writing", "shell-steps", "verification")
    assert refined.risk_factors == ("A name may be taken.",)
    assert refined.refinement.model == "m-1"
    assert {"input_tokens": 900, "output_tokens": 80}.items() <= refined.refinement.usage.items()
    (asked,) = server.asked
    question = json.loads(asked.messages[-1].text)
    assert question["goal"] == GOAL
    assert question["plan"]["domain"] == plan.goal.domain


WRONG = [
    pytest.param("I cannot do that.", "it is not a JSON object", id="no JSON"),
    pytest.param({"domain": "magic"}, "domain must be one of data-processing", id="a domain that is none"),
    pytest.param({"phases": ANSWER["phases"][:1]}, "phases must be a list of 2 to 4", id="too few phases"),
    pytest.param({"phases": [ANSWER["phases"][0]] * 2}, "there are two phases named Look", id="a phase twice"),
    pytest.param({"phases": ANSWER["phases"][::-1]}, "Sort depends on Look, which is no earlier phase", id="a circle"),
    pytest.param({"phases": [*ANSWER["phases"], {**ANSWER["phases"][0], "name": "Verify"}]}, "the name Verify is taken",
                 id="verification of its own"),
    pytest.param({"risk_factors": [3]}, "risk_factors must hold texts", id="a number for a text"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "why"), WRONG)
def test_what_does_not_hold_is_told_to_the_model_once_and_then_left(plan, serve, said, why):
    text = said if isinstance(said, str) else json.dumps(ANSWER | said)
    server = serve(say(text, times=2))
    kept = refine(plan, server)
    assert kept.phases == plan.phases
    assert kept.refinement.rejected.startswith(why)
    assert kept.refinement.usage["input_tokens"] == 20
    assert why in server.asked[1].messages[-1].text


def test_a_second_answer_that_holds_is_taken(plan, serve):
    refined = refine(plan, serve(say("Hm."), say(json.dumps(ANSWER))))
    assert (refined.phases[0].name, refined.refinement.rejected) == ("Look", "")


def test_a_provider_that_refuses_is_an_error(plan, serve):
    with pytest.raises(LLMAuthenticationError):
        refine(plan, serve(fail(401, "no such key")))


def test_the_record_gives_the_same_bytes_again_without_asking(tmp_path, plan, serve):
    (tmp_path / "goal.md").write_text(GOAL)

    def record(refine):
        return plan_record(
            make_bundle(tmp_path / "goal.md", place=Place("goal.md"), name="tidy", sdk="mini", refine=refine)
        )

    server = serve(say(json.dumps(ANSWER)))
    first = json.loads(json.dumps(record(lambda plan: refine(plan, server))))
    assert first["refinement"]["model"] == "m-1"
    again = json.loads(json.dumps(record(lambda plan: recorded_refinement(plan, first))))
    assert again == first
    assert recorded_refinement(plan, first | {"phases": "damaged"}) is None
    other = ObjectivePlanner().generate_plan(PromptAnalyzer().analyze_text(GOAL + "\nMore.\n"))
    assert recorded_refinement(other, first) is None


def test_only_an_sdk_with_a_model_refines(agent):
    done = agent.run(GOAL + "\n```sh\nmkdir tidy\n```\n", plan_with_model=True)
    assert done.code == 2
    assert "`plan_with_model` needs an sdk with a model" in done.log


def test_importing_the_generator_loads_no_model_and_no_sdk():
    code = (
        "import sys, haymaker_goal_agent.generate, haymaker_goal_agent.refine;"
        "print(sorted({'agent_haymaker.llm', 'anthropic', 'openai', 'pydantic', 'asyncio'} & set(sys.modules)))"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "[]\n"
