"""sdk `mini` against a scripted model: the suite of all drivers, and what is its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from model_server import Call, Turn, Usage, call, calls, say
from model_server.fixtures import serve as serve
from support.fixtures import world as world

from goal_agent.driver_suite import GOAL, KEY, DriverSuite

if TYPE_CHECKING:
    from model_server import ModelServer


class MiniSuite(DriverSuite):
    sdk = "mini"

    def shell(self, command: str, turn: dict[str, Any] | None = None) -> Turn:
        return call("shell", turn or {}, command=command)


@pytest.mark.slow
class TestMiniOnAnthropic(MiniSuite):
    def environment(self, server: ModelServer) -> dict[str, str]:
        return {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": server.url,
            "LLM_MAX_RETRIES": "0",
        }

    def test_money_is_capped_by_the_prices_given(self) -> None:
        self.agent.env["HAYMAKER_BUDGET_MAX_COST_USD"] = "0.01"
        turn = self.shell("echo again", {"times": 99, "usage": Usage(2000, 100)})
        done = self.run(turn, prices={"input": 1.0, "output": 10.0})
        assert done.code == 3, done.log
        assert done.result["cost_usd"] == pytest.approx(0.012)
        assert done.closing[0].startswith("Goal not achieved: $0.0120 of $0.01 spent")

    def test_a_cap_on_money_without_prices_is_refused(self) -> None:
        self.agent.env["HAYMAKER_BUDGET_MAX_COST_USD"] = "1"
        done = self.run()
        assert done.code == 2
        assert "nothing tells what sdk `mini` costs" in done.closing[0]

    def test_a_tool_that_is_used_wrongly_is_told_to_the_model(self) -> None:
        done = self.run(
            calls(Call("shell", "no json"), Call("browse", {"url": "x"}), Call("shell", {"cmd": "ls"})),
            calls(Call("shell", {"command": "sleep 60", "timeout_seconds": 0.2}), Call("shell", {"command": "exit 3"})),
            self.shell("yes | head -c 100000; echo; echo hello > greeting"),
            say("Done."),
        )
        assert done.code == 0, done.log
        told = [said.text for asked in self.server.asked for said in asked.news if said.role == "tool"]
        assert told[1:5] == [
            "error: there is no tool browse; the only one is shell",
            "error: shell takes no cmd",
            "[timed out after 0.2 s]",
            "[exit code 3]",
        ]
        assert "bytes left out" in told[5]
        assert len(told[5]) < 17_000

    def test_a_history_that_was_lost_or_torn_is_no_end(self) -> None:
        goal = GOAL.replace("-q hello", "-q nope")
        self.run(self.shell("echo hello > greeting; echo x > x"), say("Done."), goal=goal, max_turns=2)
        (history,) = (self.agent.folder / ".agent").glob("mini-*.jsonl")
        with history.open("a") as file:
            file.write('{"role": "us')
        self.server = self.serve(say("Nothing more.", times=2), say("Anew.", times=2))
        torn = self.agent.finish(self.agent.launch("main.py"))
        assert [e["resumed"] for e in self.kinds(torn, "session")] == [True, True]
        assert all(json.loads(line) for line in history.read_text().splitlines())
        history.unlink()
        lost = self.agent.finish(self.agent.launch("main.py"))
        assert not self.kinds(lost, "session")[0]["resumed"]
        assert "cannot be resumed (FileNotFoundError); a new one begins" in lost.log
        assert "Write `hello` into the file greeting." in self.server.asked[2].text, "it is given the goal anew"


class TestMiniOnOpenAI(MiniSuite):
    test_whatever_was_started_ends_with_the_agent_and_nobody_else_does = None  # shown above

    def environment(self, server: ModelServer) -> dict[str, str]:
        return {
            "LLM_PROVIDER": "openai",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": server.openai_url,
            "OPENAI_MODEL": "scripted",
            "LLM_MAX_RETRIES": "0",
        }

    def test_a_missing_key_is_told_before_anything_is_asked(self) -> None:
        """A server of one's own may need no key, so nothing is missing before it says so."""
        self.server = self.serve()
        del self.agent.env["OPENAI_API_KEY"]
        done = self.agent.finish(self.start())
        assert done.code == 4
