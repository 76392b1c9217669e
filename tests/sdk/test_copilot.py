"""GitHub Copilot's SDK and the program that npm has of it carry a task out against our model, without any login."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from model_server import FOREVER, Usage, When, call, say

pytestmark = pytest.mark.sdk

PROGRAM = Path(sys.prefix) / "cli/node_modules/.bin/copilot"


@pytest.mark.parametrize("wire", ["completions", "responses"])
def test_it_calls_a_tool_and_tells_the_usage(serve, tmp_path, wire):
    from copilot import CopilotClient, RuntimeConnection
    from copilot.session import PermissionHandler

    server = serve(
        say("A note", when=When(tools=False), times=FOREVER),  # what it asks for itself, such as a title
        call("bash", {"usage": Usage(100, 10)}, command="printf hello > note.txt", description="Writes a note"),
        say("Done.", usage=Usage(200, 20, cached=150)),
        key="k",
    )
    (tmp_path / "work").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": server.openai_url,
        "COPILOT_MODEL": "the-model",
    }
    provider = {"type": "openai", "base_url": server.openai_url, "api_key": "k", "wire_api": wire}
    told = []

    async def run() -> None:
        connection = RuntimeConnection.for_stdio(path=str(PROGRAM))
        async with CopilotClient(
            connection=connection, env=environment, working_directory=str(tmp_path / "work")
        ) as client:
            session = await client.create_session(
                model="the-model",
                provider=provider,
                streaming=True,
                working_directory=str(tmp_path / "work"),
                on_permission_request=PermissionHandler.approve_all,
            )
            session.on(told.append)
            await session.send_and_wait("Write a note.", timeout=60)

    asyncio.run(run())
    assert (tmp_path / "work/note.txt").read_text(encoding="utf-8") == "hello"
    usage = [event.data for event in told if event.type.value == "assistant.usage"]
    assert sum(report.output_tokens for report in usage) == 30
    assert any(said.role == "tool" for said in server.asked[-1].news)
