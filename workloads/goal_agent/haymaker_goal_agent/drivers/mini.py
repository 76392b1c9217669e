"""
sdk `mini`: the smallest loop that works. One tool, the shell; the history is one list that only grows.

It asks a model through `agent_haymaker.llm`, so it works with every provider of that layer. The history is kept as
JSON lines in the workspace, a line as soon as there is one, so that a session can be resumed after any kill.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent_haymaker.llm import LLMConfig, LLMError, LLMMessage, LLMTool, LLMToolCall, create_llm_client
from haymaker_goal_agent.drivers import shell
from haymaker_goal_agent.drivers.kept import INTERRUPTED, reopen
from haymaker_goal_agent.drivers.protocol import Called, DriverError, Ended, Note, Returned, Said, Session, Turn, Used
from haymaker_goal_agent.masking import Mask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from agent_haymaker.llm import LLMResponse
    from haymaker_goal_agent.drivers.kept import Kept
    from haymaker_goal_agent.drivers.protocol import Event, Task

_SHELL = LLMTool(shell.NAME, shell.DESCRIPTION, shell.PARAMETERS)
_ANSWER_TOKENS = 8192
_CUT_OFF = "[your answer was cut off at its limit of tokens; go on, in smaller steps]"


class MiniDriver:
    """Asks, runs what the model asks for, and asks again until it asks for nothing more."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def attempt(self, task: Task) -> AsyncIterator[Event]:
        config = self._config(task)
        kept = reopen(task.folder, "mini-{}.jsonl", task.session, _read)
        if kept.note:
            yield Note(kept.note)
        yield Session(kept.id, bool(kept.messages), config.model or config.deployment or "")
        prompt = task.prompt if kept.messages else task.opening
        history = History(kept, Mask(self._environment))
        history.add(LLMMessage("user", prompt))
        async with create_llm_client(config) as client:
            for _ in range(task.turns or 0):
                yield Turn()
                try:
                    answer = await client.create_message_async(
                        history.messages, task.system, _ANSWER_TOKENS, None, tools=[_SHELL]
                    )
                except LLMError as error:
                    yield _used(error.usage, config.model or "")
                    raise DriverError(error.what, fix=error.fix or "") from error
                history.add(answer.as_message())
                yield _used(answer.usage, answer.model)
                if answer.content.strip():
                    yield Said(answer.content)
                if not answer.tool_calls and answer.stop_reason != "max_tokens":
                    yield Ended("done", answer.content)
                    return
                if not answer.tool_calls:
                    history.add(LLMMessage("user", _CUT_OFF))
                async for event in _carry_out(answer, history):
                    yield event
        yield Ended("turns")

    def _config(self, task: Task) -> LLMConfig:
        try:
            config = LLMConfig.from_env(self._environment)
        except ValueError as error:
            raise DriverError(str(error), fix="put it under `env` of the manifest", setup=True) from error
        return config.with_model(task.model) if task.model else config


async def _carry_out(answer: LLMResponse, history: History) -> AsyncIterator[Event]:
    for call in answer.tool_calls:
        yield Called(call.id, call.name, call.arguments or ({"malformed": call.malformed} if call.malformed else {}))
        if call.malformed is not None:
            ran = shell.Ran("error: the arguments are not a JSON object", ok=False)
        elif call.name != shell.NAME:
            ran = shell.Ran(f"error: there is no tool {call.name}; the only one is {shell.NAME}", ok=False)
        elif unknown := call.arguments.keys() - shell.PARAMETERS["properties"].keys():
            ran = shell.Ran(f"error: {shell.NAME} takes no {', '.join(sorted(unknown))}", ok=False)
        else:
            ran = await shell.run(call.arguments.get("command"), call.arguments.get("timeout_seconds"))
        history.add(_result(call, ran))
        yield Returned(call.id, ran.output, ran.ok)


class History:
    """A conversation, in memory and on disk; secrets are in memory alone."""

    def __init__(self, kept: Kept, mask: Mask) -> None:
        self.messages = kept.messages
        self._path = kept.path
        self._mask = mask
        for call in _unanswered(self.messages):
            self.add(_result(call, shell.Ran(INTERRUPTED, ok=False)))

    def add(self, message: LLMMessage) -> None:
        self.messages.append(message)
        line = json.dumps(self._mask.over(asdict(message)), ensure_ascii=False)
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
            file.write(line + "\n")


def _read(path: Path) -> list[LLMMessage]:
    """Read a history; a last line without its end was cut by a kill and never counted."""
    *lines, torn = path.read_bytes().split(b"\n")
    if not lines:
        raise ValueError("nothing was said in it")
    if torn:
        os.truncate(path, path.stat().st_size - len(torn))
    return [_message(json.loads(line)) for line in lines]


def _message(record: dict[str, Any]) -> LLMMessage:
    calls = tuple(LLMToolCall(**call) for call in record.pop("tool_calls"))
    reasoning = tuple(record.pop("reasoning"))
    return LLMMessage(**record, tool_calls=calls, reasoning=reasoning)


def _unanswered(messages: list[LLMMessage]) -> list[LLMToolCall]:
    """The tool calls at the end that nothing came of: a kill came first. No provider takes a history with one."""
    answered = {message.tool_call_id for message in messages}
    last = next((message for message in reversed(messages) if message.role == "assistant"), None)
    return [call for call in last.tool_calls if call.id not in answered] if last is not None else []


def _result(call: LLMToolCall, ran: shell.Ran) -> LLMMessage:
    return LLMMessage("tool", ran.output or "[no output]", tool_call_id=call.id, is_error=not ran.ok)


def _used(usage: dict[str, int], model: str) -> Used:
    get = usage.get
    return Used(get("input_tokens", 0), get("output_tokens", 0), get("cached_tokens", 0), model=model)
