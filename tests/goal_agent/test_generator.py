"""The five stages together: golden agent directories, determinism, and what each stage refuses."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent_haymaker.errors import ManifestError
from haymaker_goal_agent import (
    AgentAssembler,
    GoalAgentPackager,
    GoalDefinition,
    ObjectivePlanner,
    PromptAnalyzer,
    SkillSynthesizer,
)
from haymaker_goal_agent.models import SkillSet
from haymaker_goal_agent.packager import files_of

CASES = sorted((Path(__file__).parent / "cases").iterdir())
GOAL = "# Tidy\n\n## Goal\n\nTidy the folder.\n\n## Steps\n\n```sh\ntrue\n```\n"


def bundle_of(text: str, folders=()):
    goal = PromptAnalyzer().analyze_text(text)
    plan = ObjectivePlanner().generate_plan(goal)
    skills = SkillSynthesizer(folders).synthesize_with_sdk_tools(plan, sdk="script")
    return AgentAssembler().assemble(goal, plan, skills, name="sample", config={"check_timeout_seconds": 60})


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_agent_directory_is_the_golden_one(case, tmp_path):
    bundle = bundle_of((case / "prompt.md").read_bytes().decode())
    made = read_all(GoalAgentPackager(tmp_path / "agent").package(bundle))
    if os.environ.get("GOLDEN"):
        GoalAgentPackager(case / "agent").package(bundle)
    assert made == read_all(case / "agent")


def test_the_same_bundle_gives_the_same_bytes(tmp_path):
    text = (CASES[0] / "prompt.md").read_text(encoding="utf-8")
    first = GoalAgentPackager(tmp_path / "a").package(bundle_of(text))
    second = GoalAgentPackager(tmp_path / "b" / "deep").package(bundle_of(text))
    assert read_all(first) == read_all(second) == files_of(bundle_of(text))


def test_packaging_again_drops_the_skills_of_before_and_keeps_what_the_agent_made(tmp_path):
    folder = GoalAgentPackager(tmp_path).package(bundle_of(GOAL))
    (folder / "skills/old").mkdir()
    (folder / "output").mkdir()
    (folder / "output/report.md").write_text("mine")
    GoalAgentPackager(tmp_path).package(bundle_of(GOAL))
    assert not (folder / "skills/old").exists()
    assert (folder / "output/report.md").read_text() == "mine"


def test_a_link_planted_where_skills_belong_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/skills").symlink_to(precious)
    GoalAgentPackager(tmp_path / "agent").package(bundle_of(GOAL))
    assert [p.name for p in precious.iterdir()] == ["file"]


@pytest.mark.parametrize("headings", range(1, 13))
def test_a_plan_has_three_to_five_phases_and_every_step_in_order(headings):
    text = "# N\n\n## Goal\n\nDo it.\n\n" + "".join(f"## H{n}\n\n```sh\n: {n}\n```\n\n" for n in range(headings))
    plan = ObjectivePlanner().generate_plan(PromptAnalyzer().analyze_text(text))
    assert 3 <= len(plan.phases) <= 5
    assert [step.code for phase in plan.phases for step in phase.steps] == [f": {n}\n" for n in range(headings)]
    assert [phase.dependencies for phase in plan.phases[1:]] == [(phase.name,) for phase in plan.phases[:-1]]


@pytest.mark.parametrize(("words", "phases"), [(20, 3), (400, 4), (900, 5)])
def test_a_goal_without_steps_is_planned_by_its_domain(words, phases):
    goal = PromptAnalyzer().analyze_text("# X\n\n## Goal\n\n" + "word " * words)
    assert len(ObjectivePlanner().generate_plan(goal).phases) == phases


def test_a_plan_names_its_risks():
    goal = PromptAnalyzer().analyze_text(
        "## Goal\n\nX.\n\n```sh\nrm -rf cache\ncurl -O https://x.example\n```\n\n## Success Criteria\n\n- Nice\n"
    )
    assert ObjectivePlanner().generate_plan(goal).risk_factors == (
        "the step at line 6 removes or overwrites",
        "the step at line 6 needs the network",
        "1 of 1 success criteria have no machine check",
    )


def test_a_goal_without_a_runnable_step_is_refused_with_what_to_add():
    with pytest.raises(ManifestError) as refusal:
        bundle_of("# X\n\n## Goal\n\nBe good.\n\n```text\nnothing\n```\n")
    assert str(refusal.value) == (
        "prompt.md:1: the goal has no step that sdk `script` can run (the block at line 7 is in `text`)\n"
        "  fix: add a section `## Steps` with at least one block fenced as ```sh, ```bash or ```python; "
        "a block in another language, or in none, is not run; "
        "or choose an sdk with a model: claude, copilot, microsoft, mini"
    )


def test_everything_that_is_missing_is_said_at_once():
    goal = replace(PromptAnalyzer().analyze_text(GOAL), goal=" ")
    plan = ObjectivePlanner().generate_plan(goal)
    with pytest.raises(ManifestError) as refusal:
        AgentAssembler().assemble(goal, plan, SkillSet(), name="", sdk="none")
    for part in ("no name", "goal is empty", "there is no sdk `none`", "skills are missing: shell-steps"):
        assert part in refusal.value.what


def test_a_goal_made_by_hand_is_complete_or_refused():
    with pytest.raises(ValueError, match="domain is 'gardening'; it has to be one of data-processing, "):
        GoalDefinition(goal="Weed.", domain="gardening")
    with pytest.raises(ValueError, match="complexity is 'huge'"):
        GoalDefinition(goal="Weed.", domain="general", complexity="huge")
    goal = GoalDefinition(goal="Weed.", domain="general")
    plan = ObjectivePlanner().generate_plan(goal)
    skills = SkillSynthesizer().synthesize_with_sdk_tools(plan, sdk="mini")
    with pytest.raises(ManifestError, match="no prompt that the agent could read"):
        AgentAssembler().assemble(goal, plan, skills, name="weeder", sdk="mini")
    whole = replace(goal, title="Weeds", raw_prompt="Weed.\n")
    bundle = AgentAssembler().assemble(whole, plan, skills, name="weeder", sdk="mini")
    assert files_of(bundle)["prompt.md"] == b"Weed.\n"


def test_the_tools_of_another_sdk_are_refused():
    goal = PromptAnalyzer().analyze_text(GOAL)
    plan = ObjectivePlanner().generate_plan(goal)
    for sdk in ("script", "claude"):
        skills = SkillSynthesizer().synthesize_with_sdk_tools(plan, sdk=sdk)
        assert AgentAssembler().assemble(goal, plan, skills, name="a", sdk=sdk).tools
        with pytest.raises(ManifestError, match="its tools are not those of sdk `mini`") as refusal:
            AgentAssembler().assemble(goal, plan, skills, name="a", sdk="mini")
        assert refusal.value.fix == "synthesize them with sdk='mini'"


@pytest.mark.parametrize(
    ("sdk", "tools"),
    [
        ("script", ["sh"]),
        ("claude", ["Bash", "Edit", "Glob", "Grep", "Read", "WebFetch", "WebSearch", "Write"]),
        ("copilot", ["bash", "create", "edit", "glob", "grep", "view", "web_fetch"]),
        ("microsoft", ["read_file", "shell", "write_file"]),
        ("mini", ["shell"]),
    ],
)
def test_an_sdk_gives_the_tools_that_the_plan_asks_for(sdk, tools):
    plan = ObjectivePlanner().generate_plan(PromptAnalyzer().analyze_text(f"{GOAL}\n```sh\ncurl x\n```\n"))
    assert [tool.name for tool in SkillSynthesizer().synthesize_with_sdk_tools(plan, sdk=sdk).tools] == tools


def test_an_sdk_that_is_none_is_refused_with_those_there_are():
    plan = ObjectivePlanner().generate_plan(PromptAnalyzer().analyze_text(GOAL))
    with pytest.raises(ManifestError, match="there is no sdk `gpt`") as refusal:
        SkillSynthesizer().synthesize_with_sdk_tools(plan, sdk="gpt")
    assert refusal.value.fix == "use one of: script, claude, copilot, microsoft, mini"


def skill(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "SKILL.md").write_text(text, encoding="utf-8")


def test_a_skill_beside_the_goal_is_taken_when_it_fits(tmp_path):
    skill(tmp_path, "tidying", "---\nname: tidying\ndescription: >\n  How to tidy\n  a folder well.\n---\nBe quick.\n")
    skill(tmp_path, "baking", "---\nname: baking\ndescription: Bread and cakes.\n---\n")
    skill(tmp_path, "shell-steps", "---\nname: shell-steps\ndescription: Ours.\n---\nHouse rules.\n")
    skills = {skill.name: skill for skill in bundle_of(GOAL, [tmp_path]).skills}
    assert sorted(skills) == ["shell-steps", "tidying", "verification"]
    assert skills["shell-steps"].content.endswith("House rules.\n"), "a skill of one's own replaces the built-in one"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no front matter\n", "begins with front matter"),
        ("---\nname: [\n---\n", "not YAML"),
        ("---\n- a\n---\n", "not a mapping"),
        ("---\nname: ../up\ndescription: x\n---\n", "needs a `name`"),
        ("---\nname: fine\n---\n", "needs a `description`"),
    ],
)
def test_a_wrong_skill_is_refused_by_its_place(tmp_path, text, message):
    skill(tmp_path, "wrong", text)
    with pytest.raises(ManifestError, match=message) as refusal:
        bundle_of(GOAL, [tmp_path])
    assert str(refusal.value).startswith("skills/wrong/SKILL.md")
