"""Real agents, run as plain processes: steps, checks, verdicts, closing lines, exit codes."""

from __future__ import annotations

import json
import stat
import sys

import pytest

HEAD = "# Sample\n\n## Goal\n\nDo it.\n\n## Steps\n\n"


def steps(*blocks: str, criteria: str = "") -> str:
    text = HEAD + "\n\n".join(f"### Part {n}\n\n{block}" for n, block in enumerate(blocks, 1)) + "\n"
    return f"{text}\n## Success Criteria\n\n{criteria}\n" if criteria else text


def sh(code: str, info: str = "sh") -> str:
    return f"```{info}\n{code}\n```"


def test_a_goal_whose_steps_and_checks_pass_is_achieved(agent):
    done = agent.run(
        steps(sh("echo hi > a"), sh("print(open('a').read())", "python"), criteria="- `test -s a`\n- Nice")
    )
    assert done.code == 0
    assert done.closing == ["Goal achieved", "Exit code: 0"]
    assert done.result["verdict"] == "met"
    assert [check["status"] for check in done.result["checks"]] == ["passed", "not checked"]
    assert done.result["steps"] == {"done": 2, "total": 2}


def test_steps_run_in_order_in_the_workspace_phase_by_phase(agent):
    done = agent.run(
        steps(sh("pwd; echo 1 >> order"), sh("echo 2 >> order", "bash"), sh("open('order','a').write('3')", "python"))
    )
    assert (agent.folder / "order").read_text() == "1\n2\n3"
    assert str(agent.folder) in done.log
    kinds = [(e["type"], e.get("name") or e.get("number"), e.get("state")) for e in done.events]
    assert kinds == [
        ("run", None, "started"),
        ("turn", 1, None),
        *[
            line
            for n in (1, 2, 3)
            for line in [
                ("phase", f"Part {n}", "started"),
                ("step", n, "started"),
                ("step", n, "done"),
                ("phase", f"Part {n}", "done"),
            ]
        ],
        ("phase", "Verify", "started"),
        ("phase", "Verify", "done"),
        ("run", None, "ended"),
    ]


def test_the_folder_of_the_results_is_there_before_the_first_step(agent):
    done = agent.run(steps(sh("echo hi > output/report.md"), criteria="- `test -s output/report.md`"))
    assert done.closing == ["Goal achieved", "Exit code: 0"]
    (agent.folder / "elsewhere").mkdir()
    assert agent.run(steps(sh("rm -r output; ln -s elsewhere output"))).code == 0
    assert agent.run(steps(sh("echo again > output/report.md"))).code == 0
    assert (agent.folder / "elsewhere/report.md").read_text() == "again\n"


def test_the_first_step_that_fails_ends_the_run_and_is_named(agent):
    done = agent.run(steps(sh("true"), sh("echo before\nfalse\ntouch never"), sh("touch never"), criteria="- `true`"))
    assert done.code == 1
    assert done.closing == [
        "Goal not achieved: step 2 of 3 failed at prompt.md:18, exit code 1: Part 2",
        "Exit code: 1",
    ]
    assert not (agent.folder / "never").exists()
    assert done.result["verdict"] == "not met"
    assert done.result["checks"] == []


@pytest.mark.parametrize(
    ("block", "outcome"),
    [
        pytest.param(sh("exit 7"), "exit code 7", id="an exit code"),
        pytest.param(sh("kill -9 $$"), "ended by SIGKILL", id="a signal"),
        pytest.param(sh("false | true", "bash"), "exit code 1", id="a pipe that breaks in bash"),
        pytest.param(sh("raise SystemExit(3)", "python"), "exit code 3", id="a Python exit"),
        pytest.param(sh("sleep 60", "sh timeout=200ms"), "timed out after 0.2 s", id="a timeout"),
    ],
)
def test_the_closing_line_says_how_a_step_failed(agent, block, outcome):
    done = agent.run(steps(block))
    assert done.code == 1
    assert done.closing[0] == f"Goal not achieved: step 1 of 1 failed at prompt.md:12, {outcome}: Part 1"


def test_a_traceback_names_the_line_of_the_goal(agent):
    done = agent.run(steps(sh("x = 1\nraise ValueError(x)", "python")))
    assert 'File "prompt.md", line 13, in <module>' in done.log


def test_a_shell_error_names_the_goal(agent):
    assert "prompt.md:12: " in agent.run(steps(sh("no-such-program-here"))).log


def test_a_check_that_fails_decides_whatever_the_steps_did(agent):
    done = agent.run(steps(sh("true"), criteria="- `true`\n- It is there: `test -s none`\n- Also: `exit 4`"))
    assert done.code == 1
    assert done.closing[0] == (
        "Goal not achieved: 2 of 3 checks failed: It is there: `test -s none` (prompt.md:18, exit code 1)"
    )
    assert [c["status"] for c in done.result["checks"]] == ["passed", "failed", "failed"], "all are run"


def test_a_check_that_hangs_fails_and_its_tree_is_ended(agent, is_gone):
    done = agent.run(
        steps(sh("true"), criteria="- `sh -c 'echo $$ > pid; setsid sleep 60 & echo $! >> pid; wait'`"),
        check_timeout_seconds=2,
    )
    assert done.code == 1
    assert "timed out after 2 s" in done.closing[0]
    pids = [int(pid) for pid in (agent.folder / "pid").read_text().split()]
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def test_what_a_step_leaves_running_serves_the_checks_and_is_ended_behind_them(agent, is_gone):
    server = "(while :; do sleep 0.1; done) &\necho $! > pid\nsetsid sleep 60 &\necho $! >> pid"
    goal = steps(sh(server), criteria="- `for p in $(cat pid); do kill -0 $p; done`\n- `sleep 0.05 & true`")
    done = agent.run(goal)
    assert (done.code, done.closing[0]) == (0, "Goal achieved")
    pids = [int(pid) for pid in (agent.folder / "pid").read_text().split()]
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def test_the_output_of_a_step_is_in_the_log_as_it_is(agent):
    done = agent.run(steps(sh("echo out; echo err >&2; printf 'grüße \\360\\237\\214\\276 \\377'"), sh("printf last")))
    raw = (agent.folder / "agent.log").read_bytes()
    assert b"out\nerr\n" + "grüße 🌾 ".encode() + b"\xff\n" in raw
    assert "last\n   done" in done.log, "a line that a step left open is closed"


def test_a_huge_output_is_streamed_and_costs_no_memory(agent):
    done = agent.run(steps(sh("head -c 50000000 /dev/zero | tr '\\0' 'x'")))
    assert done.code == 0
    assert (agent.folder / "agent.log").stat().st_size > 50_000_000
    (agent.folder / "agent.log").unlink()


def test_unicode_crlf_and_a_byte_order_mark_run_as_they_are_written(agent):
    text = steps(sh("printf 'größe' > ä.txt\ntest \"$(cat ä.txt)\" = größe"), criteria="- Größe: `grep -q größe ä.txt`")
    content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    done = agent.run(content)
    assert done.code == 0
    assert (agent.folder / "prompt.md").read_bytes() == content


def test_a_goal_without_steps_is_misconfigured_and_says_what_to_add(agent):
    done = agent.run("# X\n\n## Goal\n\nBe good.\n")
    assert done.code == 2
    assert "add a section `## Steps`" in done.log
    assert done.closing == [
        "Goal not achieved: the goal has no step that sdk `script` can run (prompt.md:1)",
        "Exit code: 2",
    ]


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"sdk": "clause"}, "`sdk` must be one of script, "),
        ({"check_timeout_seconds": 0}, "`check_timeout_seconds` must be a whole number from 1 to 86400, got 0"),
        ({"check_timeout_seconds": "x"}, "`check_timeout_seconds` must be a whole number from 1 to 86400, got 'x'"),
        ({"max_turns": True}, "`max_turns` must be a whole number from 1 to 10000, got True"),
        ({"enable_memory": "yes"}, "`enable_memory` must be true or false, got 'yes'"),
        ({"prices": {"input": 3}}, "`prices` must hold both `input` and `output`"),
    ],
)
def test_a_wrong_config_is_misconfigured(agent, config, what):
    done = agent.run(steps(sh("true")), **config)
    assert done.code == 2
    assert done.closing[0].startswith(f"Goal not achieved: {what}")
    assert "Traceback" not in done.log


def test_a_program_that_is_missing_is_told_before_anything_runs(agent, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "touch"):
        (programs / name).symlink_to(f"/bin/{name}")
    agent.env["PATH"] = str(programs)
    done = agent.run(steps(sh("touch a"), sh("true", "bash")))
    assert done.code == 2
    assert done.closing[0].startswith("Goal not achieved: this bash block cannot be run: there is no bash on PATH")
    assert not (agent.folder / "a").exists()


def test_a_refusal_leaves_no_verdict_of_an_earlier_run(agent):
    assert agent.run(steps(sh("true"))).result["verdict"] == "met"
    refused = agent.run("# X\n")
    assert refused.code == 2
    assert (refused.result["verdict"], refused.result["exit_code"]) == ("misconfigured", 2)
    assert "no step" in refused.result["reason"]


def test_main_py_runs_again_by_hand_from_anywhere(agent, tmp_path):
    agent.run(steps(sh("echo x >> times")))
    assert agent.finish(agent.launch(str(agent.folder / "main.py"))).code == 0
    assert (agent.folder / "times").read_text() == "x\nx\n"


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"schema_version": 9}', '{"schema_version": 1, "phases": [], "sdk": "script"}', None]
)
def test_a_damaged_plan_is_misconfigured_and_no_traceback(agent, damage):
    agent.run(steps(sh("true")))
    path = agent.folder / "plan.json"
    path.unlink() if damage is None else path.write_text(damage)
    done = agent.finish(agent.launch("main.py"))
    assert done.code == 2
    assert "Traceback" not in done.log


def test_a_file_in_the_workspace_shadows_no_module_of_the_agent(agent):
    for name in ("json.py", "signal.py", "agent_haymaker.py"):
        (agent.folder / name).write_text("raise SystemExit('shadowed')")
    assert agent.run(steps(sh("echo fine"))).code == 0


def test_a_python_step_imports_what_an_earlier_step_wrote(agent):
    goal = steps(
        sh("echo 'VALUE = 7' > helper.py"),
        sh("import helper\nassert helper.VALUE == 7\nassert __name__ == '__main__'", "python"),
    )
    assert agent.run(goal).code == 0


def test_a_step_gets_no_input_no_ignored_signals_and_no_descriptors_of_ours(agent):
    goal = steps(
        sh("if read -r line; then exit 5; fi"),
        sh("import signal\nassert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL", "python"),
        sh("yes | head -n 1", "sh"),
        sh("import os\nprint(sorted(os.listdir('/dev/fd')))\nassert len(os.listdir('/dev/fd')) <= 4", "python"),
    )
    assert agent.run(goal).code == 0


def test_a_step_sees_the_environment_that_the_agent_was_given(agent):
    agent.env |= {"HAYMAKER_RUN_ID": "1.2.3", "TOKEN": "s3cret"}
    done = agent.run(steps(sh('test "$HAYMAKER_RUN_ID $TOKEN" = "1.2.3 s3cret"; test "$HAYMAKER_WORKSPACE" = "$PWD"')))
    assert done.code == 0
    assert not any(
        b"s3cret" in p.read_bytes()
        for p in agent.folder.iterdir()
        if p.is_file() and p.name not in ("prompt.md", "plan.json")
    )


def test_what_the_agent_writes_is_private(agent):
    agent.run(steps(sh("true")))
    for name in ("events.jsonl", "result.json", "plan.json", "config.json", "main.py"):
        assert stat.S_IMODE((agent.folder / name).stat().st_mode) == 0o600


def test_two_runs_of_one_goal_write_the_same_agent(agent):
    agent.run(steps(sh("true")))
    first = {p.name: p.read_bytes() for p in agent.folder.iterdir() if p.name in ("main.py", "plan.json", "README.md")}
    agent.run(steps(sh("true")))
    assert first == {name: (agent.folder / name).read_bytes() for name in first}


def test_a_workspace_that_cannot_be_written_is_told(agent):
    (agent.folder / "events.jsonl").mkdir()
    done = agent.run(steps(sh("touch never")))
    assert done.code == 1
    assert done.closing[0].startswith("Goal not achieved: the agent cannot go on: ")
    assert "Traceback" not in done.log
    assert not (agent.folder / "never").exists()


def test_a_running_agent_holds_no_parser(agent):
    heavy = {"markdown_it", "yaml", "pydantic", "asyncio", "subprocess", "dataclasses", "shutil", "logging", "inspect"}
    code = f"import sys, haymaker_goal_agent.automode; print(sorted({heavy} & set(sys.modules)))"
    process = agent.launch("-P", "-c", code)
    assert agent.finish(process).log.strip() == "[]"


def test_result_and_events_are_json_with_utc_times(agent):
    done = agent.run(steps(sh("true"), criteria="- `true`"))
    assert done.result["schema_version"] == 1
    assert done.result["usage"] == {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0}
    assert done.result["started_at"].endswith("Z")
    assert all(event["v"] == 1 and event["at"].endswith("Z") for event in done.events)
    json.dumps(done.result)


def test_python_steps_run_with_the_interpreter_of_the_agent(agent):
    done = agent.run(steps(sh("import sys; print(sys.executable)", "python")))
    assert sys.executable in done.log
