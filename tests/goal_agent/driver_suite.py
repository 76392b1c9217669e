"""
What every sdk with a model behind it must do, against a scripted model on the loopback: one suite, real SDKs.

A subclass says how its sdk is pointed at the server, and how a model asks it to run a shell command.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
import pytest
from model_server import FOREVER, Turn, Usage, When, cut, fail, hang, say

from agent_haymaker.testing import eventually
from goal_agent.tree_suite import LONG_SECONDS, TreeSuite, is_alive

if TYPE_CHECKING:
    from model_server import ModelServer

    from goal_agent.conftest import Agent, Finished

GOAL = """# Greet

## Goal

Write `hello` into the file greeting.

## Success Criteria

- The greeting is there: `cat greeting; grep -q hello greeting`
"""
KEY = f"sk-not-a-real-key-{os.urandom(5).hex()}"  # of this test process alone: all that runs is searched for it
LOOK = """\
# The environment of every process that may be looked into, and of this one.
(cat /proc/[0-9]*/environ || ps axeww) 2>/dev/null | tr '\\0' '\\n' > others
env > own
"""


class Driving:
    """How a test goes, for one sdk."""

    sdk: ClassVar[str]
    resumes: ClassVar[bool] = True
    sdks_own: ClassVar[tuple[str, ...]] = ()
    """Folders of `.agent` that the sdk itself writes, as it likes."""
    spare_turns: ClassVar[int] = 0
    """So many requests may the sdk make besides the conversation; the suite answers them."""

    def environment(self, server: ModelServer) -> dict[str, str]:
        """What points the sdk at the server, the key included."""
        raise NotImplementedError

    def shell(self, command: str, turn: dict[str, Any] | None = None) -> Turn:
        """The model's wish to run a command."""
        raise NotImplementedError

    config: ClassVar[dict[str, object]] = {}

    @pytest.fixture(autouse=True)
    def _at_hand(self, agent: Agent, serve: Any) -> None:
        self.agent, self._serve = agent, serve

    def serve(self, *turns: Turn) -> ModelServer:
        server: ModelServer = self._serve(*turns, key=KEY)
        self.agent.env |= self.environment(server)
        return server

    def run(self, *turns: Turn, goal: str = GOAL, **config: object) -> Finished:
        self.server = self.serve(*turns)
        process = self.start(goal, **config)
        process.wait(LONG_SECONDS)
        return self.agent.finish(process)

    def start(self, goal: str = GOAL, **config: object) -> Any:
        return self.agent.start(goal, **{"sdk": self.sdk, **self.config, **config})

    def kinds(self, done: Finished, kind: str) -> list[dict[str, Any]]:
        return [event for event in done.events if event["type"] == kind]

    def scenario(self, hide: str, how: str) -> tuple[str, dict[str, str]]:
        then = {"done": say("Done."), "failed": fail(401, "no", times=FOREVER)}.get(how, hang(times=FOREVER))
        server = self.serve(self.shell(f"{hide}; echo hello > greeting"), then)
        return GOAL, self.environment(server)


class DriverSuite(Driving, TreeSuite):
    """Subclass it as `Test...`, and every obligation is tested."""

    def test_a_tool_call_writes_a_file_and_the_check_proves_it(self) -> None:
        used = Usage(input=1000, output=20)
        done = self.run(self.shell("echo hello > greeting", {"usage": used}), say("Done, as asked.", usage=used))
        assert (done.code, done.closing) == (0, ["Goal achieved", "Exit code: 0"]), done.log
        result = done.result
        assert (result["verdict"], result["turns"], result["attempts"]) == ("met", 2, 1)
        assert result["tool_calls"] == 1
        assert result["usage"]["input_tokens"] == 2000
        assert result["usage"]["output_tokens"] == 40
        assert result["session_id"]
        assert result["model"]
        tools = [(e["state"], e["progress"]) for e in self.kinds(done, "tool")]
        assert tools == [("started", True), ("done", True)]
        assert [e["number"] for e in self.kinds(done, "turn")] == [1, 2]
        assert self.kinds(done, "usage")[-1]["total"]["input_tokens"] == 2000
        transcript = self.agent.folder / "transcript.jsonl"
        said = [json.loads(line) for line in transcript.read_text().splitlines()]
        assert [line["role"] for line in said] == ["user", "tool call", "tool result", "agent"]
        assert "Write `hello` into the file greeting." in said[0]["text"]
        assert stat.S_IMODE(transcript.stat().st_mode) == 0o600

    def test_what_fails_a_check_is_the_next_prompt_in_the_same_session(self) -> None:
        done = self.run(
            self.shell("echo hullo > greeting"),
            say("Done."),
            self.shell("echo hello > greeting", {"when": When(news="hullo")}),
            say("Mended."),
        )
        assert (done.code, done.result["attempts"]) == (0, 2), done.log
        assert [e["status"] for e in self.kinds(done, "check")] == ["failed", "passed"]
        assert len({e["id"] for e in self.kinds(done, "session")}) == 1
        assert [e["resumed"] for e in self.kinds(done, "session")] == [False, True]
        assert "hello" in self.server.asked[-1].text, "the history is whole"

    def test_a_secret_that_a_tool_prints_is_in_nothing_that_the_agent_writes_down(self) -> None:
        self.agent.env |= {"ACCOUNT": "hunter2-of-this-test", "HAYMAKER_SECRET_ENV": "ACCOUNT"}
        done = self.run(self.shell("echo $ACCOUNT; echo hello > greeting"), say("Done."))
        assert done.code == 0, done.log
        assert "hunter2" in self.server.asked[-1].text, "the model has it, to work with"
        kept = self.agent.folder / ".agent"
        sdks_own = [kept / name for name in self.sdks_own]
        for file in self.agent.folder.rglob("*"):
            if file.is_file() and not any(file.is_relative_to(folder) for folder in sdks_own):
                assert b"hunter2" not in file.read_bytes(), file

    @pytest.mark.slow
    def test_a_model_that_never_calls_its_tools_does_not_achieve_the_goal(self) -> None:
        done = self.run(say("I have written the greeting.", times=FOREVER))
        assert done.code == 1
        assert done.closing[0].startswith("Goal not achieved: 1 of 1 check failed: The greeting is there")
        assert "did nothing new in 2 attempts" in done.closing[0]

    @pytest.mark.slow
    def test_turns_are_capped(self) -> None:
        done = self.run(self.shell("echo again", {"times": FOREVER}), max_turns=3)
        assert (done.code, done.result["verdict"]) == (3, "budget spent"), done.log
        assert done.closing[0].startswith("Goal not achieved: 3 of 3 turns used; 1 of 1 check failed")
        assert len(self.server.asked) <= 3 + self.spare_turns
        progress = [e["progress"] for e in self.kinds(done, "tool") if e["state"] == "started"]
        assert progress[:2] == [True, False], "the same call with the same arguments is no progress"

    @pytest.mark.slow
    def test_tokens_are_capped(self) -> None:
        self.agent.env["HAYMAKER_BUDGET_MAX_TOKENS"] = "5000"
        done = self.run(self.shell("echo again", {"times": FOREVER, "usage": Usage(2000, 10)}))
        assert (done.code, done.result["verdict"]) == (3, "budget spent"), done.log
        assert "of 5000 tokens used" in done.closing[0]
        assert len(self.server.asked) <= 5 + self.spare_turns, len(self.server.asked)

    @pytest.mark.slow
    @pytest.mark.parametrize("status", [400, 401, 429, 500])
    def test_an_error_of_the_provider_ends_the_run_and_is_told(self, status: int) -> None:
        done = self.run(fail(status, "the scripted reason", times=FOREVER))
        assert (done.code, done.result["verdict"]) == (4, "failed"), done.log
        assert "the scripted reason" in done.closing[0] or str(status) in done.closing[0]
        for path in self.agent.folder.rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes(), path

    @pytest.mark.slow
    def test_a_stream_that_is_always_cut_ends_the_run(self) -> None:
        done = self.run(cut("This never arrives whole, however often it is asked for.", times=FOREVER))
        assert (done.code, done.result["verdict"]) == (4, "failed"), done.log

    @pytest.mark.slow
    def test_a_missing_key_is_told_before_anything_is_asked(self) -> None:
        self.server = self.serve()
        self.agent.env = {name: value for name, value in self.agent.env.items() if value != KEY}
        done = self.agent.finish(self.start())
        assert done.code == 2, done.log
        assert "KEY" in done.closing[0]
        assert not self.server.asked

    @pytest.mark.slow
    def test_a_stop_in_a_tool_leaves_nothing_and_the_session_goes_on(self) -> None:
        long = "echo $$ > pids; setsid sleep 61.7 & echo $! >> pids; echo ready >> pids; sleep 61.7"
        self.server = self.serve(
            self.shell(long),
            self.shell("echo hello > greeting", {"when": When(anywhere="started again")}),
            say("Done."),
        )
        process = self.start()
        pids = self.agent.folder / "pids"
        eventually(lambda: "ready" in pids.read_text() if pids.exists() else False, within=LONG_SECONDS)
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(below) >= 3, "a worker and the family of its tool"
        process.terminate()
        done = self.agent.finish(process)
        assert (done.code, done.result["verdict"]) == (143, "stopped"), done.log
        assert done.closing[0].startswith("Goal not achieved: SIGTERM")
        assert not [p for p in below if is_alive(p)]
        again = self.agent.finish(self.agent.launch("main.py"))
        assert again.code == 0, again.log
        assert [e["resumed"] for e in self.kinds(again, "session")] == [self.resumes]
        assert again.result["session_id"] == done.result["session_id"]

    @pytest.mark.slow
    def test_a_stop_while_the_model_thinks_is_quick_and_leaves_nothing(self) -> None:
        self.server = self.serve(hang(times=FOREVER))
        process = self.start()
        eventually(lambda: self.server.asked, within=LONG_SECONDS)
        below = psutil.Process(process.pid).children(recursive=True)
        assert below
        process.terminate()
        done = self.agent.finish(process)
        assert (done.code, done.result["verdict"]) == (143, "stopped")
        assert not [p for p in below if is_alive(p)]

    @pytest.mark.slow
    def test_a_tool_finds_the_provider_s_key_in_no_environment_and_no_file(self) -> None:
        (self.agent.folder / "look.sh").write_text(LOOK)
        done = self.run(self.shell("sh look.sh; echo hello > greeting"), say("Done."))
        assert done.code == 0, done.log
        assert {request.key for request in self.server.requests} == {KEY}
        others = (self.agent.folder / "others").read_text(errors="replace")
        assert others.count(f"HAYMAKER_WORKSPACE={self.agent.folder}") >= 2, "the worker's and the tool's"
        for path in self.agent.folder.rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes(), path

    @pytest.mark.slow
    def test_what_the_agent_is_told_reaches_the_model(self) -> None:
        inbox = self.agent.folder / "inbox"
        inbox.mkdir()
        (inbox / "0001").write_text("Write it in lower case.")
        done = self.run(self.shell("echo hello > greeting"), say("Done."))
        assert done.code == 0, done.log
        assert "Write it in lower case." in self.server.asked[0].text
