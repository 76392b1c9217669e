"""The demo's own agents, run as plain processes on the data that is committed."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from agent_haymaker.testing import eventually

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture
def source(tmp_path):
    """A copy of the manifests, so that the demo shares its report in the test's own folder."""
    shutil.copytree(MANIFESTS, tmp_path / "repo/manifests")
    return tmp_path / "repo/manifests"


@pytest.fixture
def demo(agent, source):
    agent.env |= {"HAYMAKER_SOURCE_DIR": str(source), "SHARED_DIR": "../.demo/shared"}
    return agent


def analyse(demo):
    return demo.run((MANIFESTS / "goals/explain-the-morning.md").read_bytes())


def test_the_analyst_achieves_its_goal_with_the_numbers_of_the_log(demo, source):
    done = analyse(demo)
    assert done.code == 0, done.log
    report = (done.folder / "output/report.md").read_text(encoding="utf-8")
    log = (MANIFESTS / "data/access.log").read_text(encoding="utf-8").splitlines()
    failed = sum('" 50' in line for line in log)
    assert f"{len(log) - 2} requests" in report
    assert f"; {failed} of them failed" in report
    assert f"2 of its {len(log)} lines could not be read" in report
    for finding in (
        "`POST /checkout` failed",
        "checkout 2.8.0",
        "rollback",
        "`GET /search`",
        "`203.0.113.77`",
        "logo-2025.png",
    ):
        assert finding in report
    assert [c["status"] for c in done.result["checks"]] == ["passed"] * 4 + ["not checked"]
    assert (source.parent / ".demo/shared/report.md").read_text(encoding="utf-8") == report


def test_the_analyst_fails_where_a_line_was_lost(demo, source):
    """The checks are real: they fail when the report does not say what the log says."""
    goal = (MANIFESTS / "goals/explain-the-morning.md").read_text(encoding="utf-8")
    wrong = goal.replace("            unread += 1\n", "")
    assert wrong != goal
    done = demo.run(wrong)
    assert done.code == 1
    assert "No line of the log is lost" in done.closing[0]


def test_the_analyst_finds_nothing_in_a_quiet_log(demo, source):
    lines = (MANIFESTS / "data/access.log").read_text(encoding="utf-8").splitlines()
    quiet = [line for line in lines if '" 200 ' in line and "search" not in line]
    (source / "data/access.log").write_text("\n".join(quiet) + "\n", encoding="utf-8")
    done = analyse(demo)
    assert done.code == 1, "no findings, so its criterion of three is not met"
    assert "at least three findings" in done.closing[0]


def test_the_publisher_makes_a_page_of_what_the_analyst_shared(demo, source):
    analyse(demo)
    done = demo.run((MANIFESTS / "goals/publish-the-report.md").read_bytes(), max_turns=2)
    assert done.code == 0, done.log
    weight = [e["status"] for e in done.events if e["type"] == "check" and "light" in e["criterion"]]
    assert weight == ["failed", "passed"], "the first attempt is too heavy, the second is not"
    page = (source.parent / ".demo/shared/index.html").read_text(encoding="utf-8")
    assert page.count("<h3>") == 4
    assert page.count("<table>") == 2
    assert "<code>POST /checkout</code>" in page


def test_the_publisher_fails_without_a_report(demo):
    done = demo.run((MANIFESTS / "goals/publish-the-report.md").read_bytes())
    assert done.code == 1
    assert done.closing[0].startswith("Goal not achieved: step 1 of 3 failed at prompt.md:13")


def test_the_board_serves_the_page_and_ends_in_order(demo, source):
    demo.folder.joinpath("config.json").write_text(json.dumps({"port": 0}))
    demo.env["HAYMAKER_CONFIG"] = str(demo.folder / "config.json")
    board = demo.launch(str(source / "board.py"))
    address = eventually(lambda: next(line.split()[-1] for line in demo.log.splitlines() if "http://" in line))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address) as answer:
        assert b"No report has been published yet" in answer.read()
    (source.parent / ".demo/shared").mkdir(parents=True)
    (source.parent / ".demo/shared/index.html").write_text("<h1>Here</h1>")
    with opener.open(address) as answer:
        assert answer.read() == b"<h1>Here</h1>"
    board.send_signal(signal.SIGTERM)
    assert board.wait(60) == 0


def test_the_data_tells_the_story_that_the_manifests_promise():
    with (MANIFESTS / "data/deploys.csv").open(encoding="utf-8", newline="") as file:
        assert [row["service"] for row in csv.DictReader(file)] == ["search", "checkout", "checkout", "catalog"]


def test_the_demo_needs_nothing_but_python_and_a_shell():
    """Its programs compile, and import the standard library alone."""
    code = (MANIFESTS / "board.py").read_text(encoding="utf-8")
    check = subprocess.run([sys.executable, "-I", "-S", "-c", f"compile({code!r}, 'board.py', 'exec')"], check=False)
    assert check.returncode == 0
