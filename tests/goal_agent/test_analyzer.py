"""What the analyzer reads in a goal, and what it refuses."""

from __future__ import annotations

import re
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.markdown import parse_duration
from agent_haymaker.goals.place import Place
from haymaker_goal_agent import PromptAnalyzer

GOAL = "# Tidy\n\n## Goal\n\nTidy the folder.\n\n"


def analyze(text: str):
    return PromptAnalyzer().analyze_text(text)


def test_a_criterion_under_its_heading_is_a_criterion_verbatim():
    text = "- The *report* exists, `a` & all: `test -s \"out put/r.md\" && grep -q 'x\\y' <r`\n"
    goal = analyze(GOAL + "## Success Criteria\n\n" + text)
    assert goal.success_criteria == (text.removeprefix("- ").rstrip("\n"),)
    assert goal.criteria[0].check.code == "test -s \"out put/r.md\" && grep -q 'x\\y' <r"


@pytest.mark.parametrize(
    ("item", "check"),
    [
        pytest.param("- It is there: `test -s a`", "test -s a", id="in backticks at the end"),
        pytest.param("- `test -s a`", "test -s a", id="alone"),
        pytest.param("- ``echo `date` ``", "echo `date`", id="in double backticks"),
        pytest.param("- It is in `a` by noon", None, id="code in the middle is prose"),
        pytest.param("- It is in `a`.", None, id="a full stop behind it makes it prose"),
        pytest.param("- Everybody is happy", None, id="no code at all"),
        pytest.param("- It is\n  there: `test\n  -s a`", "test -s a", id="wrapped over lines"),
        pytest.param("- [ ] It is there: `test -s a`", "test -s a", id="a task list"),
        pytest.param("1. It is there: `test -s a`", "test -s a", id="a numbered list"),
    ],
)
def test_a_check_stands_in_backticks_at_the_end(item, check):
    (criterion,) = analyze(f"{GOAL}## Success Criteria\n\n{item}\n").criteria
    assert (criterion.check and criterion.check.code) == check


def test_a_fenced_block_under_a_criterion_is_its_check():
    (criterion,) = analyze(
        f"{GOAL}## Success Criteria\n\n- They agree.\n\n  ```python timeout=2s\n  assert 1 == 1\n  ```\n"
    ).criteria
    assert criterion.text == "They agree."
    assert (criterion.check.language, criterion.check.code, criterion.check.timeout) == ("python", "assert 1 == 1\n", 2)


def test_nested_criteria_are_criteria_too():
    goal = analyze(f"{GOAL}## Success Criteria\n\n- Both:\n  - `test -s a`\n  - `test -s b`\n")
    assert [c.check and c.check.code for c in goal.criteria] == [None, "test -s a", "test -s b"]


def test_paragraphs_are_criteria_where_there_is_no_list():
    goal = analyze(f"{GOAL}## Acceptance criteria\n\nThe file is there: `test -s a`\n\nIt is short.\n")
    assert goal.success_criteria == ("The file is there: `test -s a`", "It is short.")


def test_steps_are_read_in_order_with_their_lines():
    goal = analyze(f"{GOAL}## Steps\n\n### One\n\n```sh\na\n```\n\n### Two\n\n```bash timeout=1m30s\nb\n```\n")
    assert [(s.language, s.code, s.line, s.group, s.timeout) for s in goal.steps] == [
        ("sh", "a\n", 12, "One", None),
        ("bash", "b\n", 18, "Two", 90),
    ]


def test_crlf_and_a_byte_order_mark_change_nothing_but_the_bytes_kept():
    text = f"{GOAL}## Steps\n\n```sh\necho a\necho b\n```\n\n## Success Criteria\n\n- `true`\n"
    crlf = "\ufeff" + text.replace("\n", "\r\n")
    plain, windows = analyze(text), analyze(crlf)
    assert windows.steps == plain.steps
    assert windows.criteria == plain.criteria
    assert windows.raw_prompt == crlf


def test_a_fence_inside_a_longer_fence_is_text():
    goal = analyze(f"{GOAL}## Steps\n\n````sh\ncat > x.md <<'E'\n```sh\nrm -rf /\n```\nE\n````\n")
    (step,) = goal.steps
    assert step.code == "cat > x.md <<'E'\n```sh\nrm -rf /\n```\nE\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("## Constraints\n\n```sh\nrm -rf x\n```\n", id="under Constraints"),
        pytest.param("## Background\n\n```sh\nrm -rf x\n```\n", id="under Background"),
        pytest.param("## Steps\n\n> ```sh\n> rm -rf x\n> ```\n", id="in a quotation"),
        pytest.param("## Steps\n\n```shell\nrm -rf x\n```\n", id="in a language that is nearly one"),
    ],
)
def test_a_block_that_only_looks_like_a_step_is_not_run_and_is_told(text):
    goal = analyze(GOAL + text)
    assert goal.steps == ()
    assert len(goal.notes) == 1
    assert goal.notes[0].line > 5


@pytest.mark.parametrize("block", ["```text\na\n```", "```\na\n```", "    indented\n", "<!--\n```sh\na\n```\n-->"])
def test_what_only_shows_something_is_no_step(block):
    goal = analyze(f"{GOAL}## Steps\n\n{block}\n")
    assert (goal.steps, goal.notes) == ((), ())


def test_a_goal_in_prose_is_read_by_its_cues():
    goal = analyze("Sort the mail. Never delete a message. The inbox should be empty: `test ! -s inbox`\n")
    assert goal.goal.startswith("Sort the mail.")
    assert goal.constraints == ("Never delete a message.",)
    assert goal.criteria[0].check.code == "test ! -s inbox"


def test_lines_that_end_in_a_colon_stand_for_headings_where_there_are_none():
    goal = analyze(
        "Tidy up.\n\n**Goal:** Sort the mail.\n\nConstraints:\n- Keep all\n\n"
        "*Success criteria*:\n\n- Sorted: `test -d out`\n- Neat\n\nSteps:\n\n```sh\nmkdir out\n```\n"
    )
    assert (goal.goal, goal.constraints) == ("Sort the mail.", ("Keep all",))
    assert goal.success_criteria == ("Sorted: `test -d out`", "Neat")
    assert [step.code for step in goal.steps] == ["mkdir out\n"]


def test_under_a_heading_of_ours_such_a_line_is_only_a_line():
    goal = analyze(f"{GOAL}## Success Criteria\n\nConstraints:\n\n- `true`\n")
    assert (goal.constraints, goal.success_criteria) == ((), ("`true`",))


def test_headings_that_are_none_of_ours_are_context():
    goal = analyze(f"{GOAL}## Contacts\n\nAsk Ada.\n\n## Background\n\nLong ago.\n")
    assert goal.context == {"Contacts": "Ask Ada.", "Background": "Long ago."}


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Parse the CSV dataset and aggregate each column", "data-processing"),
        ("Scan the code for a vulnerability or a leaked secret", "security-analysis"),
        ("Organize the folder: rename and archive every file", "automation"),
        ("Run pytest and raise the coverage of flaky tests", "testing"),
        ("Deploy the release, with a rollback", "deployment"),
        ("Monitor uptime and alert on latency", "monitoring"),
        ("Connect the webhook and sync both APIs", "integration"),
        ("Write a newsletter that summarises the findings", "reporting"),
        ("Be kind", "general"),
    ],
)
def test_the_weightiest_cues_name_the_domain(text, domain):
    assert analyze(f"# X\n\n## Goal\n\n{text}\n").domain == domain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "prompt.md:1: the goal is empty\n  fix: say what to achieve under a heading `## Goal`"),
        (
            f"{GOAL}```sh\necho\n",
            "prompt.md:7: the fenced block that opens here with ``` is never closed\n"
            "  fix: add a line ``` behind its last line",
        ),
        (
            f"{GOAL}```sh retry=3\necho\n```\n",
            "prompt.md:7: `retry=3` means nothing behind `sh`\n"
            "  fix: only timeout=DURATION may follow, such as timeout=30s",
        ),
        (
            f"{GOAL}```sh timeout=soon\necho\n```\n",
            "prompt.md:7 timeout: `soon` is not a duration above zero\n  fix: write it like 500ms, 30s, 5m or 1h30m",
        ),
    ],
)
def test_a_wrong_goal_is_refused_with_its_line(text, message):
    with pytest.raises(ManifestError) as refusal:
        analyze(text)
    assert str(refusal.value) == message


def test_a_goal_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    path = tmp_path / "goal.md"
    path.write_bytes(b"# A\n\n## Goal\n\ncaf\xe9\n")
    with pytest.raises(ManifestError, match=r"goal\.md:5: byte 0xe9 is not UTF-8"):
        PromptAnalyzer().analyze(path)


def test_a_goal_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="the goal cannot be read: No such file"):
        PromptAnalyzer().analyze(tmp_path / "none.md")


def test_a_block_too_long_for_one_argument_is_refused():
    with pytest.raises(ManifestError, match="at most 100000 can be run"):
        analyze(f"{GOAL}```sh\n: {'x' * 100_000}\n```\n")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("1h30m", 5400),
        ("0s", None),
        ("5", None),
        ("", None),
        ("1m s", None),
        ("-1s", None),
    ],
)
def test_durations_are_those_of_the_manifests(text, seconds):
    assert parse_duration(text) == seconds


BEGINNINGS = st.sampled_from(["", "# ", "## Steps ", "> ", "**b** ", "[ ] ", "<b>", "    ", "`x`", "1) ", "a | b "])
BULLETS = st.sampled_from(["- ", "* ", "+ ", "1. ", "7) "])
WORDS = st.text("abc xyz`*_<>&!#|~:.é", min_size=1, max_size=20).map(lambda text: f"word {text}".strip())


@settings(max_examples=200)
@given(BULLETS, st.lists(st.tuples(BEGINNINGS, WORDS), min_size=1, max_size=6), st.booleans())
def test_every_list_item_under_success_criteria_is_a_criterion(bullet, items, loose):
    listed = ("\n\n" if loose else "\n").join(f"{bullet}{beginning}{words}" for beginning, words in items)
    goal = analyze(f"{GOAL}## Success Criteria\n\n{listed}\n\n## Steps\n\n```sh\ntrue\n```\n")
    assert len(goal.criteria) >= len(items)
    assert [c.line for c in goal.criteria] == sorted(c.line for c in goal.criteria)


@settings(max_examples=100)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="`\r"), max_size=30), max_size=8))
def test_what_stands_in_a_fence_is_never_a_heading_and_stays_verbatim(lines):
    code = "".join(f"{line}\n" for line in ["# Success Criteria", "## Goal", "- [ ] no criterion", *lines])
    goal = analyze(f"{GOAL}## Steps\n\n```sh\n{code}```\n")
    assert (goal.goal, goal.success_criteria, len(goal.steps)) == ("Tidy the folder.", (), 1)
    assert goal.steps[0].code == code.replace("\x00", "\ufffd")


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_goal_or_refused_with_their_place(content):
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            said = PromptAnalyzer().analyze(file.name, place=Place("g.md")).goal
        except ManifestError as error:
            said = error.where if error.where.startswith("g.md:") else ""
    assert said


STRUCTURE = [
    "# ",
    "## Goal\n",
    "## Steps\n",
    "## Success Criteria\n",
    "- ",
    "1. ",
    "> ",
    "***",
    "[x](y)",
    "<!--",
    "-->",
]
CODE = ["```", "```sh\n", "~~~sh\n", "```python timeout=1s\n", "````\n", "`", "``", "a: `test -s b`"]
SPACE = ["\n", "\r\n", "\t", "    ", "\x00", "\ufeff", "é"]
FRAGMENTS = st.sampled_from([*STRUCTURE, *CODE, *SPACE])


@settings(max_examples=150)
@given(st.lists(st.one_of(FRAGMENTS, st.text(max_size=8)), max_size=30).map("".join))
def test_any_text_is_read_the_same_twice_or_refused_with_its_place(text):
    try:
        goal = analyze(text)
    except ManifestError as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        assert refusal.where.startswith("prompt.md:")
        assert refusal.fix
        return
    assert goal == analyze(text)
    assert goal.raw_prompt == text
    assert len(goal.success_criteria) == len(goal.criteria)
    lines = len(re.split(r"\r\n?|\n", text))
    assert all(1 <= part.line <= lines + 1 for part in (*goal.steps, *goal.criteria))


def nested(lists: int) -> str:
    items = "".join(f"{'  ' * depth}- item {depth}\n" for depth in range(lists))
    return f"## Goal\n\nDo it.\n\n## Notes\n\n{items}\n## Steps\n\n```sh\ntrue\n```\n"


def test_what_stands_behind_lists_in_lists_is_read_or_the_goal_refused():
    assert PromptAnalyzer().analyze_text(nested(38)).steps
    for text in (nested(39), nested(300), "## Goal\n\n" + ">" * 5000 + " deep\n"):
        with pytest.raises(ManifestError, match="nested too deeply") as refused:
            PromptAnalyzer().analyze_text(text)
        assert refused.value.where in ("prompt.md:45", "prompt.md:3")


def test_checks_under_a_heading_in_another_language_are_pointed_out():
    work = "# Ranger\n\nTout ranger.\n\n## Travail\n\n```sh\ntrue\n```\n\n"
    text = f"{work}## Critères de réussite\n\n- Fini : `test -s fini`\n"
    [note] = PromptAnalyzer().analyze_text(text).notes
    assert (note.line, note.fix) == (11, "call that section Success Criteria to have them checked")
    assert "under 'Critères de réussite' check nothing" in note.text
    assert not PromptAnalyzer().analyze_text(text.replace("test -s fini", "fini")).notes
    assert not PromptAnalyzer().analyze_text(text.replace("Critères de réussite", "Success criteria")).notes
