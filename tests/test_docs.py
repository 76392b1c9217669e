"""The pages: what they tell a newcomer to type works as printed, and their links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_haymaker.testing import eventually

ROOT = Path(__file__).parents[1]
FILE_AND_BLOCK = re.compile(r"`(agents/[\w./-]+)`[^`]*\n\n(`{3,})\w*\n(.*?)\n\2\n", re.DOTALL)


@pytest.fixture
def started(tmp_path):
    """Give a function that runs `haymaker` beside the files of docs/getting-started.md, and clean up after it."""
    page = (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")
    files = {name: text + "\n" for name, _, text in FILE_AND_BLOCK.findall(page)}
    assert sorted(files) == [
        "agents/disk-report.md",
        "agents/disk-report.yaml",
        "agents/ticker.sh",
        "agents/ticker.yaml",
        "agents/workload.yaml",
    ]
    (tmp_path / "agents").mkdir()

    def write(*names: str) -> None:
        for name in names:
            (tmp_path / name).write_text(files[name], encoding="utf-8")

    def haymaker(command: str, *, code: int = 0) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / "haymaker", *command.split()],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HAYMAKER_HOME": str(tmp_path / "home")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"haymaker {command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    yield tmp_path, page, write, haymaker
    haymaker("delete -f agents/ --yes")


@pytest.mark.slow
def test_getting_started_works_as_written(started):
    folder, page, write, haymaker = started
    printed = re.findall(r"```text\n(.*?)```", page, re.DOTALL)

    write("agents/disk-report.yaml", "agents/disk-report.md")
    assert haymaker("plan -f agents/") == printed[0]
    haymaker("apply -f agents/ --wait")
    assert "Healthy" in haymaker("status")
    assert "Goal achieved" in haymaker("logs disk-report")

    goal = folder / "agents/disk-report.md"
    goal.write_text(goal.read_text(encoding="utf-8").replace("# How full", "# Just how full"), encoding="utf-8")
    assert haymaker("plan -f agents/") == printed[1]
    haymaker("plan -f agents/ --detailed-exitcode", code=2)
    haymaker("plan -f agents/ --out plan.json")
    haymaker("apply plan.json")
    haymaker("apply -f agents/ --wait")
    haymaker("apply plan.json", code=7)
    assert len(haymaker("runs disk-report").splitlines()) == 3  # a heading and two runs

    write("agents/workload.yaml", "agents/ticker.sh", "agents/ticker.yaml")
    haymaker("apply -f agents/ --wait")
    assert "ticker" in haymaker("why ticker")
    eventually(lambda: len(haymaker("logs ticker").splitlines()) > 1)  # it read its config: seconds: 1
    haymaker("status --exit-status")
    haymaker("plan -f agents/ --detailed-exitcode")

    ticker = folder / "agents/ticker.yaml"
    ticker.write_text(ticker.read_text(encoding="utf-8").replace("seconds:", "second:"), encoding="utf-8")
    haymaker("validate -f agents/", code=65)

    ticker.unlink()
    assert "prune is off" in haymaker("plan -f agents/")


def test_every_link_between_the_pages_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("requirements/*.md")]
    assert len(pages) > 5
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_every_page_can_be_reached_from_the_index():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = sorted(p.name for p in (ROOT / "docs").glob("*.md") if p.name != "README.md")
    assert pages
    assert [p for p in pages if f"({p})" not in index] == []


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(p.name for p in folder.glob("[0-9]*.md"))
    assert pages
    assert [p for p in pages if f"({p})" not in index] == []


def test_every_verdict_and_health_is_explained():
    from reconciler.health import Health
    from reconciler.model.finding import Verdict

    page = (ROOT / "docs/status-and-why.md").read_text(encoding="utf-8")
    missing = [word for word in (*Verdict, *Health) if not re.search(rf"^(\| |`){word}\b", page, re.MULTILINE)]
    assert not missing


def test_every_exit_code_is_in_its_decision():
    from reconciler.exitcodes import ExitCode

    page = (ROOT / "docs/decisions/0009-exit-codes.md").read_text(encoding="utf-8")
    assert sorted(int(n) for n in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)) == sorted(ExitCode)
