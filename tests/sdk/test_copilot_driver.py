"""sdk `copilot`: the real SDK and the CLI that npm has of it, against a scripted model, without any login."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from goal_agent.driver_suite import KEY, DriverSuite
from model_server import FOREVER, Turn, When, call, say

if TYPE_CHECKING:
    from model_server import ModelServer

pytestmark = pytest.mark.sdk

PROGRAM = Path(sys.prefix) / "cli/node_modules/.bin/copilot"


class TestCopilot(DriverSuite):
    sdk = "copilot"
    sdks_own = ("copilot",)
    spare_turns = 2

    def serve(self, *turns: Turn) -> ModelServer:
        title = say("A title", when=When(tools=False), times=FOREVER)  # what the CLI asks for itself
        return super().serve(title, *turns)

    def environment(self, server: ModelServer) -> dict[str, str]:
        return {
            "COPILOT_CLI_PATH": os.environ.get("COPILOT_CLI_PATH") or str(PROGRAM),
            "COPILOT_PROVIDER_BASE_URL": server.openai_url,
            "COPILOT_PROVIDER_API_KEY": KEY,
            "COPILOT_MODEL": "scripted",
        }

    def shell(self, command: str, turn: dict[str, Any] | None = None) -> Turn:
        return call("bash", turn or {}, command=command, description="as asked")

    @pytest.mark.slow
    def test_a_provider_may_speak_responses(self) -> None:
        self.agent.env["COPILOT_PROVIDER_WIRE_API"] = "responses"
        done = self.run(self.shell("echo hello > greeting"), say("Done."))
        assert done.code == 0, done.log
        assert "responses" in {asked.wire for asked in self.server.asked}

    def test_a_missing_key_is_told_before_anything_is_asked(self) -> None:
        self.serve()
        del self.agent.env["COPILOT_PROVIDER_BASE_URL"]
        done = self.agent.finish(self.start())
        assert done.code == 2, done.log
        assert "COPILOT_PROVIDER_API_KEY" in done.closing[0]

    def test_a_missing_program_is_told(self) -> None:
        self.serve()
        self.agent.env["COPILOT_CLI_PATH"] = "/nowhere/copilot"
        done = self.agent.finish(self.start())
        assert done.code == 2, done.log
        assert "the Copilot CLI is not there: /nowhere/copilot (npm install -g @github/copilot" in done.closing[0]
