"""sdk `claude`: the real claude-agent-sdk and its CLI against a scripted model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from goal_agent.driver_suite import KEY, DriverSuite
from model_server import Turn, Usage, call, say

if TYPE_CHECKING:
    from model_server import ModelServer

pytestmark = pytest.mark.sdk


class TestClaude(DriverSuite):
    sdk = "claude"
    sdks_own = ("claude",)

    def environment(self, server: ModelServer) -> dict[str, str]:
        return {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": server.url,
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "CLAUDECODE": "1",
            "ANTHROPIC_AUTH_TOKEN": "of the session around",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }

    def shell(self, command: str, turn: dict[str, Any] | None = None) -> Turn:
        return call("Bash", turn or {}, command=command, description="as asked")

    def test_the_cost_of_a_resumed_session_is_counted_once(self) -> None:
        used = Usage(100_000, 1000)
        done = self.run(
            self.shell("echo hullo > greeting", {"usage": used}),
            say("Done.", usage=used),
            self.shell("echo hello > greeting", {"usage": used}),
            say("Mended.", usage=used),
        )
        assert (done.code, done.result["attempts"]) == (0, 2), done.log
        totals = [e["total"]["cost_usd"] for e in self.kinds(done, "usage")]
        assert done.result["cost_usd"] == totals[-1] > 0
        first = next(total for total in totals if total)
        assert totals[-1] == pytest.approx(2 * first)

    def test_money_is_capped(self) -> None:
        self.agent.env["HAYMAKER_BUDGET_MAX_COST_USD"] = "0.5"
        done = self.run(self.shell("echo again", {"times": 30, "usage": Usage(100_000, 1000)}))
        assert (done.code, done.result["verdict"]) == (3, "budget spent"), done.log
        assert "of $0.5 spent" in done.closing[0]
        assert len(self.server.asked) < 20

    def test_a_tool_that_the_plan_does_not_hold_is_not_there(self) -> None:
        done = self.run(call("WebFetch", url="http://127.0.0.1:9/", prompt="read"), self.shell("echo hello > greeting"),
                        say("Done."))  # fmt: skip
        assert done.code == 0, done.log
        assert "WebFetch" not in self.server.asked[0].tools

    def test_nothing_of_the_person_s_own_configuration_is_used(self) -> None:
        self.run(self.shell("env > seen; echo hello > greeting"), say("Done."))
        seen = (self.agent.folder / "seen").read_text()
        assert f"CLAUDE_CONFIG_DIR={self.agent.folder}/.agent/claude" in seen
        assert not os.path.exists(self.agent.folder / ".claude"), "HOME is the workspace here"
        assert {request.key for request in self.server.requests} == {KEY}
