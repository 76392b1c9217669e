"""Execute, verify, repeat or end: a script whose first attempt fails a check, and what stops the repeating."""

from __future__ import annotations

import pytest

from agent_haymaker.testing import eventually

MENDS = """# Counts to three

## Goal

Three lines.

## Steps

```sh
echo "attempt $HAYMAKER_ATTEMPT" >> lines
test "$HAYMAKER_ATTEMPT" = 1 || cp "$HAYMAKER_FAILED_CHECKS" "failed-$HAYMAKER_ATTEMPT"
cat "$HAYMAKER_INSTRUCTIONS"
```

## Success Criteria

- There are lines: `test -s lines`
- There are three: `wc -l < lines; test "$(wc -l < lines)" -eq 3`
"""


def checks_of(done):
    return [(e["number"], e["status"]) for e in done.events if e["type"] == "check"]


def test_what_failed_goes_back_to_the_steps_until_every_check_passes(agent):
    done = agent.run(MENDS, max_turns=5)
    assert (done.code, done.closing) == (0, ["Goal achieved", "Exit code: 0"])
    assert checks_of(done) == [(1, "passed"), (2, "failed")] * 2 + [(1, "passed"), (2, "passed")]
    assert (done.result["attempts"], done.result["turns"]) == (3, 3)
    assert (agent.folder / "failed-2").read_text() == (
        '- There are three: `wc -l < lines; test "$(wc -l < lines)" -eq 3` (exit code 1)\n      1\n'
    )
    assert "Attempt 2 of 5" in done.log


def test_a_script_is_tried_once_unless_its_config_says_otherwise(agent):
    done = agent.run(MENDS)
    assert done.code == 1
    assert done.result["attempts"] == 1
    assert "Attempt" not in done.log


def test_the_last_attempt_of_a_script_is_judged_by_its_checks(agent):
    done = agent.run(MENDS, max_turns=2)
    assert done.code == 1
    assert done.closing[0].startswith("Goal not achieved: 1 of 2 checks failed: There are three")
    assert done.result["attempts"] == 2


def test_a_step_that_fails_is_tried_again_too(agent):
    goal = '# X\n\n## Steps\n\n```sh\ncat "$HAYMAKER_FAILED_CHECKS"\ntest $HAYMAKER_ATTEMPT -eq 2\n```\n'
    done = agent.run(goal, max_turns=3)
    assert (done.code, done.result["attempts"]) == (0, 2)
    assert "- step 1 of 1 failed at prompt.md:6, exit code 1" in done.log


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("HAYMAKER_BUDGET_MAX_TURNS", "2", "1 of 2 checks failed"),
        ("HAYMAKER_BUDGET_MAX_SECONDS", "0.01", "its 0.01 seconds are over; 1 of 2 checks failed"),
    ],
)
def test_a_budget_that_is_handed_over_ends_the_repeating(agent, variable, value, reason):
    agent.env[variable] = value
    done = agent.run(MENDS.replace("-eq 3", "-eq 300"), max_turns=300)
    assert done.closing[0].startswith(f"Goal not achieved: {reason}")
    assert done.code == (3 if "SECONDS" in variable else 1)
    assert done.result["verdict"] == ("budget spent" if done.code == 3 else "not met")


def test_a_budget_that_is_no_number_is_misconfigured(agent):
    agent.env["HAYMAKER_BUDGET_MAX_TOKENS"] = "many"
    done = agent.run(MENDS)
    assert done.code == 2
    assert done.closing[0] == "Goal not achieved: it is 'many' (HAYMAKER_BUDGET_MAX_TOKENS)"


def test_what_an_agent_is_told_reaches_its_next_attempt_once_and_is_kept(agent):
    inbox = agent.folder / "inbox"
    inbox.mkdir()
    (inbox / "0001-a").write_text("Count slowly.\n")
    (inbox / "0002-b").write_text("Count aloud.\n")
    (inbox / ".draft").write_text("half writ")
    done = agent.run(MENDS, max_turns=3)
    assert [e["id"] for e in done.events if e["type"] == "told"] == ["0001-a", "0002-b"]
    assert done.log.splitlines()[2:4] == ["Told: Count slowly.", "Told: Count aloud."]
    assert done.log.count("Told: Count slowly.") == 1
    assert done.log.count("\nCount slowly.\n") == 3, "every attempt sees every instruction"
    assert [p.name for p in inbox.iterdir()] == [".draft"]
    assert agent.finish(agent.launch("main.py")).log.count("Told: Count slowly.") == 1


def test_a_goal_that_is_met_is_not_over_while_an_instruction_waits(agent):
    step = 'touch ready\nwhile ! test -e go; do sleep 0.01; done\ncat "$HAYMAKER_INSTRUCTIONS"'
    slow = f"# X\n\n## Steps\n\n```sh\n{step}\n```\n"
    process = agent.start(slow, max_turns=2)
    eventually((agent.folder / "ready").exists)
    (agent.folder / "inbox").mkdir()
    (agent.folder / "inbox/0001-a").write_text("And greet.")
    (agent.folder / "go").touch()
    done = agent.finish(process)
    assert (done.code, done.result["attempts"]) == (0, 2)
    assert "And greet." in done.log.split("Attempt 2")[1]


def test_what_a_failed_check_said_is_in_the_result_and_bounded(agent):
    check = "yes line | head -n 100000; echo the end; false"
    done = agent.run(f"# X\n\n## Steps\n\n```sh\ntrue\n```\n\n## Success Criteria\n\n- `{check}`\n")
    said = done.result["checks"][0]["output"]
    assert said.endswith("line\nthe end\n")
    assert len(said) < 4100
    assert "      the end\n" in done.log


def test_secrets_are_masked_in_what_the_agent_writes_down(agent):
    agent.env |= {"MY_TOKEN": "s3cret-value", "PLAIN": "another-one", "HAYMAKER_SECRET_ENV": "OTHER,PLAIN"}
    learns = "echo token: $MY_TOKEN >> learned.md; cp $HAYMAKER_FAILED_CHECKS failed; cp $HAYMAKER_RECALLED recalled"
    goal = f"# X\n\n## Steps\n\n```sh\n{learns}\n```\n\n## Success Criteria\n\n- `echo $MY_TOKEN $PLAIN; false`\n"
    done = agent.run(goal, max_turns=2, enable_memory=True)
    assert done.result["checks"][0]["output"] == "[redacted] [redacted]\n"
    assert "[redacted] [redacted]" in (agent.folder / "failed").read_text()
    agent.run(goal, enable_memory=True)
    assert "- token: [redacted]\n" in (agent.folder / "recalled").read_text()
    for file in agent.folder.rglob("*"):
        if file.is_file() and file.name != "learned.md":  # that one is the step's own
            assert b"s3cret" not in file.read_bytes(), file
