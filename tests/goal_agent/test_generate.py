"""`haymaker generate`: the real command line makes an agent directory, and its main.py runs by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.main import run

GOAL = """# Greet

## Goal

Greet.

## Steps

```sh
echo hi > out.txt
```

## Success Criteria

- `test -s out.txt`
"""
TALK = "# Talk\n\n## Goal\n\nThink about it.\n\n## Success Criteria\n\n- It is good\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HAYMAKER_OUTPUT", raising=False)
    Path("goals").mkdir()
    Path("goals/Say hello.md").write_text(GOAL)
    Path("goals/talk.md").write_text(TALK)
    return tmp_path


def start(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    words = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)} | env
    return subprocess.run(
        [sys.executable, str(folder / "main.py")], capture_output=True, text=True, env=words, cwd="/", timeout=120
    )


def test_it_writes_an_agent_that_runs_by_itself(here, capsys):
    assert run(["generate", "goals/Say hello.md"]) == 0
    assert capsys.readouterr().out == (
        "generated say-hello in say-hello\n"
        "  general, sdk script: 3 phases, 1 step, 1 of 1 success criterion checked by a machine\n"
        "  run it: cd say-hello && python main.py\n"
    )
    made = sorted(str(p.relative_to("say-hello")) for p in Path("say-hello").rglob("*") if p.is_file())
    assert [path for path in made if "/" not in path] == [
        "README.md",
        "config.json",
        "main.py",
        "plan.json",
        "prompt.md",
    ]
    assert made[-2:] == ["skills/shell-steps/SKILL.md", "skills/verification/SKILL.md"]
    done = start(here / "say-hello")
    assert done.stdout.splitlines()[-2:] == ["Goal achieved", "Exit code: 0"], done.stdout + done.stderr
    assert (here / "say-hello/out.txt").read_text() == "hi\n"


def test_a_file_that_a_step_wrote_shadows_no_module_of_the_agent(here):
    run(["generate", "goals/Say hello.md", "--out", "a"])
    Path("a/json.py").write_text("raise SystemExit('shadowed')")
    assert start(here / "a").returncode == 0


def test_one_for_a_model_says_what_it_needs(here, capsys):
    assert run(["generate", "goals/talk.md", "--out", "t", "--sdk", "claude", "--name", "talker", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["needs"] == ["pip install 'agent-haymaker[claude]'", "ANTHROPIC_API_KEY in the environment"]
    assert json.loads(Path("t/plan.json").read_text())["agent"] == "talker"
    assert json.loads(Path("t/config.json").read_text()) == {"goal_file": "prompt.md", "sdk": "claude"}
    assert "- ANTHROPIC_API_KEY in the environment\n" in Path("t/README.md").read_text()


def test_skills_beside_the_goal_go_along_with_their_files(here):
    skill = Path("goals/skills/hello")
    (skill / "scripts").mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: greet-hello\ndescription: How we greet.\n---\nBe kind.\n")
    (skill / "scripts/wave.bin").write_bytes(b"\xff\x00")
    (skill / ".swp").write_text("an editor's")
    Path("goals/Say hello.md").write_text(GOAL.replace("Greet.", "Greet as greet-hello says."))
    run(["generate", "goals/Say hello.md", "--out", "a"])
    taken = Path("a/skills/greet-hello")
    assert {str(p.relative_to(taken)) for p in taken.rglob("*") if p.is_file()} == {"SKILL.md", "scripts/wave.bin"}
    assert (taken / "scripts/wave.bin").read_bytes() == b"\xff\x00"


def test_force_writes_again_and_leaves_the_rest(here, capsys):
    run(["generate", "goals/Say hello.md", "--out", "a"])
    Path("a/plan.json").write_text("{}")
    Path("a/mine.txt").write_text("mine")
    assert run(["generate", "goals/Say hello.md", "--out", "a"]) == 64
    assert "where: a\n  fix: give another --out, or --force" in capsys.readouterr().err
    assert run(["generate", "goals/Say hello.md", "--out", "a", "--force"]) == 0
    assert json.loads(Path("a/plan.json").read_text())["agent"] == "say-hello"
    assert Path("a/mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "code", "where"),
    [
        pytest.param(["goals/none.md"], 65, "goals/none.md", id="no goal"),
        pytest.param(["goals/talk.md"], 65, "goals/talk.md", id="no step to run"),
        pytest.param(["goals/open.md"], 65, "goals/open.md:5", id="a fence left open"),
        pytest.param(["goals"], 65, "goals", id="a folder"),
        pytest.param(["goals/talk.md", "--name", "A b"], 64, "--name", id="a name that is none"),
        pytest.param(["goals/Say hello.md", "--out", "goals/talk.md"], 64, "goals/talk.md", id="a file in its place"),
        pytest.param(["goals/Say hello.md", "--out", "goals/talk.md/a"], 1, "goals/talk.md", id="below a file"),
    ],
)
def test_what_cannot_be_made_is_told_by_its_place_and_nothing_is_written(here, capsys, words, code, where):
    Path("goals/open.md").write_text("## Goal\n\nX.\n\n```sh\ntrue\n")
    before = sorted(str(path) for path in here.rglob("*"))
    assert run(["generate", *words]) == code
    told = capsys.readouterr()
    assert f"\n  where: {where}" in told.err
    assert "\n  fix: " in told.err
    assert ("give another --out" in told.err) == ("--out" in words)
    assert told.out == ""
    assert sorted(str(path) for path in here.rglob("*")) == before
