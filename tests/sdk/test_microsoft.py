"""Microsoft's Agent Framework, as its extra installs it, carries a task out against the scripted model."""

from __future__ import annotations

import asyncio

import pytest
from model_server import Usage, call, say

pytestmark = pytest.mark.sdk


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", ["OpenAIChatCompletionClient", "OpenAIChatClient"])
def test_it_calls_a_tool_and_tells_the_usage(serve, tmp_path, wire, stream):
    import agent_framework_openai
    from agent_framework import tool
    from openai import AsyncOpenAI

    server = serve(
        call("note", {"usage": Usage(100, 10)}, text="hello"), say("Done.", usage=Usage(200, 20, cached=150)), key="k"
    )

    @tool
    def note(text: str) -> str:
        """Writes a note."""
        (tmp_path / "note.txt").write_text(text, encoding="utf-8")
        return "written"

    async def run():
        async with AsyncOpenAI(api_key="k", base_url=server.openai_url) as connection:
            client = getattr(agent_framework_openai, wire)(model="m", async_client=connection)
            agent = client.as_agent(name="a", instructions="Be brief.", tools=[note])
            if not stream:
                return await agent.run("Write a note.")
            events = agent.run("Write a note.", stream=True)
            async for _ in events:
                pass
            return await events.get_final_response()

    answer = asyncio.run(run())
    assert answer.text == "Done."
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "hello"
    assert answer.usage_details["input_token_count"] == 300
    assert answer.usage_details["output_token_count"] == 30
    assert "written" in {said.text for said in server.asked[-1].news}
    assert {asked.stream for asked in server.asked} == {stream}
