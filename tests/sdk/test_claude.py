"""Claude's agent SDK with its bundled program, as the extra installs them, carries a task out against our model."""

from __future__ import annotations

import asyncio

import pytest
from model_server import FOREVER, Usage, When, call, say

pytestmark = pytest.mark.sdk


def test_it_calls_a_tool_and_tells_the_usage(serve, tmp_path):
    from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, query

    server = serve(
        say("{}", when=When(tools=False), times=FOREVER),  # what it asks for itself, such as a title
        call("Bash", {"usage": Usage(100, 10)}, command="printf hello > note.txt", description="Writes a note"),
        say("Done.", usage=Usage(200, 20, cached=150)),
        key="k",
    )
    (tmp_path / "work").mkdir()
    options = ClaudeAgentOptions(
        cwd=tmp_path / "work",
        model="claude-sonnet-5-5",
        max_turns=5,
        permission_mode="dontAsk",  # what would skip all questions is refused to root
        allowed_tools=["Bash"],
        setting_sources=[],
        env={
            "ANTHROPIC_API_KEY": "k",
            "ANTHROPIC_BASE_URL": server.url,
            "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
            "CLAUDE_CODE_TMPDIR": str(tmp_path),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    )

    async def run() -> ResultMessage:
        messages = [message async for message in query(prompt="Write a note.", options=options)]
        return messages[-1]

    result = asyncio.run(run())
    assert (result.is_error, result.result, result.permission_denials) == (False, "Done.", [])
    assert (tmp_path / "work/note.txt").read_text(encoding="utf-8") == "hello"
    assert result.usage["output_tokens"] == 30
    assert any(said.role == "tool" for said in server.asked[-1].news)
