"""sdk `microsoft`: the real Agent Framework against a scripted model, as OpenAI and as Azure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from goal_agent.driver_suite import KEY, DriverSuite, Driving
from model_server import Turn, call, say
from support.azure_identity import TOKEN, managed_identity

if TYPE_CHECKING:
    from model_server import ModelServer

pytestmark = pytest.mark.sdk


class TestMicrosoft(DriverSuite):
    sdk = "microsoft"

    def environment(self, server: ModelServer) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": server.openai_url,
            "OPENAI_MODEL": "scripted",
            "LLM_MAX_RETRIES": "1",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }

    def shell(self, command: str, turn: dict[str, Any] | None = None) -> Turn:
        return call("shell", turn or {}, command=command)

    def test_files_are_read_and_written_by_tools_of_their_own(self) -> None:
        done = self.run(
            call("write_file", path="deep/er/greeting", content="hello\n"),
            call("read_file", path="deep/er/greeting"),
            call("read_file", path="none"),
            self.shell("cp deep/er/greeting ."),
            say("Done."),
        )
        assert done.code == 0, done.log
        told = [said.text for asked in self.server.asked for said in asked.news if said.role == "tool"]
        assert told[:3] == ["wrote 6 bytes to deep/er/greeting", "hello\n", "error: none is not there, or not a file"]
        assert [e["state"] for e in self.kinds(done, "tool")[4:6]] == ["started", "failed"]

    def test_openai_and_azure_at_once_are_refused(self) -> None:
        self.agent.env["AZURE_OPENAI_ENDPOINT"] = "https://azure.example"
        done = self.run()
        assert done.code == 2
        assert "both OpenAI's variables and AZURE_OPENAI_ENDPOINT are set" in done.closing[0]


class TestMicrosoftOnAzure(Driving):
    """The same driver, asking an Azure resource: with a key, and as the identity of its environment."""

    sdk = "microsoft"

    def environment(self, server: ModelServer) -> dict[str, str]:
        return {
            "AZURE_OPENAI_API_KEY": KEY,
            "AZURE_OPENAI_ENDPOINT": server.url,
            "AZURE_OPENAI_DEPLOYMENT": "scripted",
            "LLM_MAX_RETRIES": "1",
        }

    def shell(self, command: str, turn: dict[str, Any] | None = None) -> Turn:
        return call("shell", turn or {}, command=command)

    def test_a_key_asks_for_the_deployment(self) -> None:
        done = self.run(self.shell("echo hello > greeting"), say("Done."))
        assert (done.code, done.result["model"]) == (0, "scripted"), done.log
        assert {request.headers["api-key"] for request in self.server.requests} == {KEY}
        assert all("/deployments/scripted/" in request.path for request in self.server.requests)

    def test_without_a_key_the_identity_of_the_environment_asks(self) -> None:
        with managed_identity() as env:
            self.agent.env |= env
            self.server = self._serve(self.shell("echo hello > greeting"), say("Done."))
            self.agent.env |= {**self.environment(self.server), "AZURE_OPENAI_API_KEY": ""}
            done = self.agent.finish(self.start())
        assert done.code == 0, done.log
        assert {request.headers["authorization"] for request in self.server.requests} == {f"Bearer {TOKEN}"}

    def test_without_a_key_and_an_identity_it_is_told_what_to_do(self) -> None:
        self.server = self._serve()
        self.agent.env |= {**self.environment(self.server), "AZURE_OPENAI_API_KEY": ""}
        self.agent.env["AZURE_TOKEN_CREDENTIALS"] = "EnvironmentCredential"
        done = self.agent.finish(self.start())
        assert done.code == 4
        assert "no identity of Azure to act as" in done.closing[0]
        assert "set AZURE_OPENAI_API_KEY" in done.closing[0]

    def test_a_deployment_that_is_not_named_is_told(self) -> None:
        self.serve()
        del self.agent.env["AZURE_OPENAI_DEPLOYMENT"]
        done = self.agent.finish(self.start())
        assert done.code == 2
        assert "needs AZURE_OPENAI_DEPLOYMENT" in done.closing[0]
