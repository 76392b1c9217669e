"""
sdk `claude`: the Claude Agent SDK, whose bundled CLI does the work.

The CLI is given a configuration, a temporary folder and sessions of the agent's own, so that nothing of the person who
runs haymaker leaks in. Tools beyond the plan's are denied, not asked for: nobody is there to answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import claude_agent_sdk
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    ResultMessage,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from haymaker_goal_agent.drivers import keyed
from haymaker_goal_agent.drivers.loopback import bypass_proxy
from haymaker_goal_agent.drivers.protocol import Called, DriverError, Ended, Note, Returned, Said, Session, Turn, Used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from haymaker_goal_agent.drivers.protocol import Event, Task

_KEYS = {
    "ANTHROPIC_API_KEY": "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR",
    "CLAUDE_CODE_OAUTH_TOKEN": "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR",
}
"""The first that is set counts; each with the variable by which the CLI knows the descriptor to read it from."""
_FOREIGN = ("CLAUDECODE", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "ANTHROPIC_AUTH_TOKEN")
"""What a session around this one may have set: it would send the agent elsewhere, or as somebody else."""
_DEFAULTS = {"CLAUDE_CODE_MAX_RETRIES": "3", "API_TIMEOUT_MS": "120000"}
_INTERRUPT_SECONDS = 2.0
_LONGEST_TMPDIR = 70  # characters; the CLI makes sockets below it, and a socket's path has 107 at most
_CAPS = {"error_max_turns", "error_max_budget_usd"}
_NO_MODEL = "<synthetic>"  # the CLI's own words, such as those of an error


class ClaudeDriver:
    """Hands a prompt to the CLI and translates what it tells."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._counted = Used()
        self._message = ""

    async def attempt(self, task: Task) -> AsyncIterator[Event]:
        key = next((name for name in _KEYS if self._environment.get(name)), None)
        if key is None:
            raise DriverError(
                f"sdk `claude` needs {' or '.join(_KEYS)}, and neither is set",
                fix="put one under `env` of the manifest",
                setup=True,
            )
        home = _home(task)
        session = task.session
        if session and not _has(home, session):
            yield Note(f"session {session} cannot be resumed: the CLI has no record of it; a new one begins")
            session = ""
        said: list[str] = []
        with _surroundings(home), _keyed(home, key, self._environment[key]) as program:
            try:
                async with (
                    ClaudeSDKClient(_options(task, session, program, said.append)) as client,
                    _interrupting(client),
                ):
                    await client.query(task.prompt if session else task.opening)
                    async for message in client.receive_response():
                        for event in self._translated(message, task, resumed=bool(session)):
                            yield event
            except (ClaudeSDKError, OSError) as error:
                raise DriverError(f"the CLI failed: {(said or [str(error)])[-1].strip()}") from error

    def _translated(self, message: object, task: Task, *, resumed: bool) -> Iterator[Event]:
        match message:
            case SystemMessage(subtype="init"):
                is_known = resumed and message.data["session_id"] == task.session
                yield Session(message.data["session_id"], is_known, str(message.data.get("model", "")))
            case AssistantMessage():
                yield from self._answer(message)
            case UserMessage() if isinstance(message.content, list):
                for block in message.content:
                    if isinstance(block, ToolResultBlock):
                        yield Returned(block.tool_use_id, _text(block.content), not block.is_error)
            case ResultMessage():
                yield from self._result(message, task)
            case _:
                pass  # progress, hooks, rate limits: nothing that an agent's record needs

    def _answer(self, message: AssistantMessage) -> Iterator[Event]:
        if message.model == _NO_MODEL:
            return  # the result says it again
        if message.message_id != self._message:
            self._message = message.message_id or ""
            yield Turn()
            used = _tokens(message.usage or {}, message.model)
            self._counted = Used(
                self._counted.input_tokens + used.input_tokens,
                self._counted.output_tokens + used.output_tokens,
                self._counted.cached_tokens + used.cached_tokens,
                model=message.model,
            )
            yield used
        for block in message.content:
            if isinstance(block, TextBlock) and block.text.strip():
                yield Said(block.text)
            elif isinstance(block, ToolUseBlock):
                yield Called(block.id, block.name, block.input)

    def _result(self, result: ResultMessage, task: Task) -> Iterator[Event]:
        """The numbers of the result are right; those of a streamed answer count its output only in part."""
        whole, counted = _tokens(result.usage or {}, self._counted.model), self._counted
        yield Used(
            max(0, whole.input_tokens - counted.input_tokens),
            max(0, whole.output_tokens - counted.output_tokens),
            max(0, whole.cached_tokens - counted.cached_tokens),
            cost_usd=max(0.0, (result.total_cost_usd or 0.0) - task.session_cost_usd),  # over the whole session
            model=counted.model,
        )
        if denied := sorted(
            {str(d.get("tool_name", "?")) for d in result.permission_denials or () if isinstance(d, dict)}
        ):
            yield Note(f"denied, since the plan does not hold it: {', '.join(sorted(denied))}")
        if result.subtype in _CAPS:
            yield Ended("turns")
        elif result.is_error:  # whatever the subtype says
            what = result.result or "; ".join(result.errors or ()) or result.subtype
            raise DriverError(what.strip())
        else:
            yield Ended("done", result.result or "")


def _home(task: Task) -> Path:
    home = Path.cwd() / task.folder / "claude"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def _has(home: Path, session: str) -> bool:
    return any(home.glob(f"projects/*/{session}.jsonl"))


def _options(task: Task, session: str, program: Path, on_stderr: Any) -> ClaudeAgentOptions:
    return ClaudeAgentOptions(
        cli_path=program,
        cwd=str(Path.cwd()),
        tools=list(task.tools),
        allowed_tools=list(task.tools),
        permission_mode="dontAsk",  # as root the CLI refuses to bypass permissions
        system_prompt={"type": "preset", "preset": "claude_code", "append": task.system},
        model=task.model or None,
        max_turns=task.turns,
        max_budget_usd=None if task.cost_usd is None else task.session_cost_usd + task.cost_usd,
        resume=session or None,
        setting_sources=[],
        strict_mcp_config=True,
        stderr=on_stderr,
    )


@contextlib.asynccontextmanager
async def _interrupting(client: ClaudeSDKClient) -> AsyncIterator[None]:
    """End the turn before the connection where this is left early: the CLI would work on behind a closed one."""
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.interrupt(), _INTERRUPT_SECONDS)
        raise


@contextlib.contextmanager
def _surroundings(home: Path) -> Iterator[None]:
    """Put the CLI's environment into our own, which it inherits."""
    for name in _FOREIGN:
        os.environ.pop(name, None)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ |= {
        "CLAUDE_CONFIG_DIR": str(home),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    bypass_proxy(os.environ.get("ANTHROPIC_BASE_URL", ""))
    with contextlib.ExitStack() as stack:
        temporary = home / "tmp"
        if len(str(temporary)) > _LONGEST_TMPDIR:
            temporary = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True))
            )
        temporary.mkdir(mode=0o700, exist_ok=True)
        os.environ["CLAUDE_CODE_TMPDIR"] = str(temporary)
        yield


@contextlib.contextmanager
def _keyed(home: Path, name: str, key: str) -> Iterator[Path]:
    """Give a program that starts the CLI with its key behind a descriptor: its environment is open to its tools."""
    pipe, program = home / "key", home / "cli"
    pipe.unlink(missing_ok=True)  # of an attempt that was killed
    os.mkfifo(pipe, 0o600)
    words = [sys.executable, "-I", "-S", keyed.__file__, pipe, _KEYS[name], _program()]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
    program.chmod(0o700)
    Thread(target=lambda: pipe.write_text(key), daemon=True).start()  # returns once the CLI is there to read
    try:
        yield program
    finally:
        pipe.unlink(missing_ok=True)


def _program() -> str:
    bundled = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
    found = str(bundled) if bundled.is_file() else shutil.which("claude")
    if found is None:
        raise DriverError(
            "sdk `claude` needs the Claude Code CLI, which this build of claude-agent-sdk does not bundle",
            fix="install claude where PATH of the agent leads",
            setup=True,
        )
    return found


def _tokens(usage: dict[str, Any], model: str) -> Used:
    """Give the tokens of a usage; what was read from the cache or written to it is input too."""
    cached = int(usage.get("cache_read_input_tokens") or 0)
    fresh = int(usage.get("input_tokens") or 0) + int(usage.get("cache_creation_input_tokens") or 0)
    return Used(fresh + cached, int(usage.get("output_tokens") or 0), cached, 0.0, model)


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)
