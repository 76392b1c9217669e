"""Goals and what comes with them: workloads that are nothing but a goal, and skills beside a goal."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.reading import read_goal
from agent_haymaker.testing import eventually
from haymaker_goal_agent import PromptAnalyzer
from reconciler.load import WorkTree, load_base
from reconciler.manifest.cache import cache_path, load_cache

if TYPE_CHECKING:
    from pathlib import Path

    from tests.load.conftest import Fleet

GOAL = "# Sweep\n\n## Goal\n\nSweep.\n\n## Steps\n\n```sh\ntrue\n```\n\n## Success Criteria\n\n- Clean: `true`\n"
PROMPT = 'name: sweeper\nversion: "1"\ntype: prompt\ngoal: {file: sweep.md}\n'


@pytest.fixture
def sweeper(fleet: Fleet) -> Fleet:
    fleet.write("sweeper/workload.yaml", PROMPT)
    fleet.write("sweeper/sweep.md", GOAL)
    fleet.deploy("hall", "workload: sweeper")
    return fleet


@pytest.mark.parametrize(
    ("text", "sdk", "what", "severity"),
    [
        ("\n \n", "script", "the goal is empty", "error"),
        ("<!-- later -->\n\n## Goal\n", "mini", "the goal is empty", "error"),
        ("## Goal\n\n## Steps\n\n```sh\ntrue\n```\n", "script", "the goal is empty", "error"),
        ("# Tidy up\n\n## Goal\n", "mini", "is nothing but a title", "warning"),
        ("# Tidy up\n\n## Success Criteria\n\n- Clean: `true`\n", "mini", "", ""),
        ("Tidy up.\n", "mini", "", ""),
        ("# Tidy up\n\n## Steps\n\n```sh\ntrue\n```\n", "script", "", ""),
    ],
)
def test_a_goal_that_its_agent_would_refuse_is_refused_and_no_other(
    fleet: Fleet, text: str, sdk: str, what: str, severity: str
) -> None:
    fleet.write("goal.md", text)
    env = "env: [{name: ANTHROPIC_API_KEY, value: x}]"
    fleet.deploy("hall", f"workload: goal-agent\ngoal: {{file: goal.md}}\nconfig: {{sdk: {sdk}}}\n{env}")
    loaded = fleet.load()
    told = [(p.severity, p.where.partition(" ")[2]) for p in loaded.problems if what in p.what]
    assert told == ([(severity, "spec.goal.file")] if what else []), loaded.problems
    assert len(loaded.problems) == len(told)
    try:
        PromptAnalyzer().analyze_text(text)
        refused = False
    except ManifestError:
        refused = True
    assert refused == (severity == "error") == ("hall" not in loaded.desired)


def skill(fleet: Fleet, name: str, path: str = "SKILL.md", text: str = "---\nname: x\ndescription: y\n---\n") -> Path:
    return fleet.write(f"sweeper/skills/{name}/{path}", text)


def test_a_prompt_is_run_by_the_goal_agent_with_its_own_goal(sweeper: Fleet) -> None:
    for home in (False, True, True):
        loaded = sweeper.load(home=home)
        assert loaded.problems == ()
        want = loaded.desired["hall"]
        assert want.recipe.argv[-2:] == ("haymaker_goal_agent", "run")
        assert want.recipe.files == {"prompt.md": str(sweeper.folder / "sweeper/sweep.md")}
        assert {
            "check_timeout_seconds": 60,
            "goal_file": "prompt.md",
            "sdk": "script",
        }.items() <= want.recipe.config.items()
        assert want.has_checks


def test_a_deployment_of_a_prompt_may_bring_a_goal_of_its_own(sweeper: Fleet) -> None:
    sweeper.deploy("attic", f"workload: sweeper\ngoal:\n  inline: |\n    {GOAL.replace(chr(10), chr(10) + '    ')}")
    want = sweeper.load().desired["attic"]
    assert want.recipe.inline_files == {"prompt.md": GOAL}
    assert want.recipe.files == {}


def test_a_prompt_has_the_settings_of_its_runtime_and_its_own(sweeper: Fleet) -> None:
    schema = "config_schema:\n  check_timeout_seconds: {default: 5}\n  room: {type: string, default: hall}\n"
    sweeper.write("sweeper/workload.yaml", PROMPT + schema)
    want = sweeper.load().desired["hall"]
    assert (want.recipe.config["check_timeout_seconds"], want.recipe.config["room"]) == (5, "hall")
    sweeper.deploy("hall", "workload: sweeper\nconfig: {check_timeout_seconds: 0}")
    (problem,) = sweeper.load().problems
    assert "check_timeout_seconds" in str(problem)


@pytest.mark.parametrize(
    ("path", "text"),
    [("sweep.md", GOAL + "\nMore.\n"), ("workload.yaml", PROMPT.replace('"1"', '"2"')), ("skills/a/b.txt", "more")],
)
def test_what_a_prompt_is_made_of_belongs_to_its_digest(sweeper: Fleet, path: str, text: str) -> None:
    skill(sweeper, "a")
    before = sweeper.digest("hall")
    sweeper.write(f"sweeper/{path}", text)
    assert sweeper.digest("hall") != before


def test_skills_beside_the_goal_are_handed_over(sweeper: Fleet) -> None:
    skill(sweeper, "dusting")
    skill(sweeper, "dusting", "scripts/wave.py", "print()")
    skill(sweeper, "dusting", ".swp")
    skill(sweeper, "no-skill", "README.md")
    files = dict(sweeper.load().desired["hall"].recipe.files)
    assert files.pop("prompt.md")
    assert files == {
        f"files/skills/dusting/{path}": str(sweeper.folder / f"sweeper/skills/dusting/{path}")
        for path in ("SKILL.md", "scripts/wave.py")
    }


def test_a_skill_that_comes_or_goes_is_noticed_from_the_cache(sweeper: Fleet) -> None:
    def is_kept() -> bool:
        tree = WorkTree(sweeper.folder)
        return bool(sweeper.load(home=True).desired) and load_cache(cache_path(sweeper.home, tree), tree).is_whole

    def seen() -> str:
        first = sweeper.load(home=True).desired["hall"].digest
        eventually(is_kept)  # once the files are old enough for their stamps to be trusted
        assert sweeper.load(home=True).desired["hall"].digest == first == sweeper.digest("hall")
        return first

    without = seen()
    added = skill(sweeper, "dusting")
    with_it = seen()
    skill(sweeper, "dusting", "more.txt")
    with_more = seen()
    added.unlink()
    assert len({without, with_it, with_more}) == 3
    assert seen() == without, "a folder without SKILL.md is no skill"


def test_skills_that_lead_out_of_the_repository_are_refused(sweeper: Fleet, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/x").mkdir(parents=True)
    (tmp_path / "elsewhere/x/SKILL.md").write_text("secret")
    (sweeper.folder / "sweeper/skills").symlink_to(tmp_path / "elsewhere")
    (problem,) = sweeper.load().problems
    assert "skills/ beside the goal: the path leads out of" in str(problem)


def test_a_commit_has_the_same_goal_and_skills(sweeper: Fleet) -> None:
    skill(sweeper, "dusting")
    skill(sweeper, "dusting", "scripts/wave.py", "print()")
    (sweeper.folder / "sweeper/skills/dusting/link").symlink_to("SKILL.md")
    (sweeper.folder / "sweeper/skills/gone").symlink_to("nowhere")
    (sweeper.folder / "sweeper/skills/round").symlink_to(".")
    git = ["git", "-C", str(sweeper.folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    now = sweeper.load(home=True)
    then = load_base(sweeper.folder, "HEAD", now, home=sweeper.home)
    assert now.problems == then.problems == ()
    assert now.desired["hall"].digest == then.desired["hall"].digest
    assert set(now.desired["hall"].recipe.files) == {
        "prompt.md", *(f"files/skills/dusting/{path}" for path in ("SKILL.md", "link", "scripts/wave.py"))
    }  # fmt: skip


def test_a_goal_without_a_step_is_told_beforehand_where_only_steps_are_run(sweeper: Fleet) -> None:
    sweeper.write("sweeper/sweep.md", GOAL.replace("```sh", "```console"))
    sweeper.deploy("attic", "workload: sweeper\ngoal:\n  inline: |\n    # Only words\n")
    problems = {p.name: p for p in sweeper.load().problems}
    assert {name: p.severity for name, p in problems.items()} == {"hall": "warning", "attic": "warning"}
    told = "sweep.md has no step that `sdk: script` can run (the block at line 9 is in `console`)"
    assert told in problems["hall"].what
    assert problems["attic"].where.endswith("attic.yaml:7:5 spec.goal.inline")
    assert "```sh" in problems["hall"].fix
    assert {p.severity for p in sweeper.load(strict=True).problems} == {"error"}


@pytest.mark.parametrize(
    ("old", "new", "what", "fix"),
    [
        (
            "## Success Criteria",
            "## Sucess Criteria",
            "13: the heading 'Sucess Criteria'",
            "did you mean Success Criteria?",
        ),
        ("## Success Criteria", "Success\n---", "13: the heading 'Success'", "did you mean Success Criteria?"),
        ("## Success Criteria", "### Definition of Done (all)", "13: the heading", "did you mean Definition of Done?"),
        (
            "## Goal",
            "## Constraits\n\n- Softly.\n\n## Goal",
            "3: the heading 'Constraits'",
            "did you mean Constraints?",
        ),
        ("- Clean:", "```shell\nfalse\n```\n\n- Clean:", "15: a `shell` block is not run", "write `sh` to run it"),
        (
            "## Success Criteria",
            "## Success Criteria\n\n- The report is there: `output/report.md`\n- `./check.txt`\n- `sh -e x.md`",
            "15: the check `output/report.md` runs that as a program",
            "write `test -e output/report.md` if it has to be there, or `./output/report.md` to run it",
        ),
        ("## Success", "```py\nprint()\n```\n\n## Success", "13: a `py` block is not run", "write `python` to run it"),
    ],
)
def test_a_slip_in_a_goal_is_told_with_its_line(sweeper: Fleet, old: str, new: str, what: str, fix: str) -> None:
    sweeper.write("sweeper/sweep.md", GOAL.replace(old, new))
    (problem,) = sweeper.load().problems
    assert (problem.severity, problem.fix) == ("warning", fix)
    assert problem.what.startswith(f"sweeper/sweep.md:{what}")


@pytest.mark.parametrize(
    "heading", ["Step 1", "Tasks", "Content", "Roles", "Note", "Inclusion criteria", "Success stories"]
)
def test_a_heading_of_its_own_is_no_slip(sweeper: Fleet, heading: str) -> None:
    sweeper.write("sweeper/sweep.md", GOAL.replace("## Steps", f"## {heading}\n\nText.\n\n## Steps"))
    assert sweeper.load().problems == ()


def test_a_goal_of_another_workload_is_opaque(fleet: Fleet) -> None:
    fleet.write("goal.md", b"## Success Criteria\n- good: `false`\n```sh\nnever closed \xff\n")
    fleet.deploy("one", "workload: analyst\ngoal: {file: goal.md}")
    loaded = fleet.load()
    assert loaded.problems == ()
    assert loaded.desired["one"].criteria == ()


@pytest.mark.parametrize(
    "piece",
    [
        "word *a _b [c]( d",
        "## heading",
        "- item `true`",
        "- item\n\n  ```sh\n  true\n  ```\n",
        "text\n\n```sh\ntrue\n```\n",
    ],
)
@pytest.mark.parametrize("head", ["", "## Success Criteria\n\n"])
def test_reading_a_goal_takes_as_much_longer_as_the_goal_is(head: str, piece: str) -> None:
    def calls(pieces: int) -> int:
        text, made = head + "\n".join([piece] * pieces), 0

        def count(_frame: object, event: str, _arg: object) -> None:
            nonlocal made
            made += event.endswith("call")

        sys.setprofile(count)
        try:
            goal = read_goal(text)
            goal.criteria()
            goal.steps()
        finally:
            sys.setprofile(None)
        return made

    calls(1)
    assert calls(400) < 2.3 * calls(200)
