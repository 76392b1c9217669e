"""
sdk `copilot`: GitHub's Copilot SDK, which drives the Copilot CLI.

The wheel holds no CLI: COPILOT_CLI_PATH names one, or it is on PATH. With a provider of one's own no login is needed.
The SDK has no cap on turns, so they are counted here; its sessions are kept in a folder of the agent's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copilot import CopilotClient, RuntimeConnection
from copilot.session import PermissionHandler

from haymaker_goal_agent.drivers.loopback import bypass_proxy
from haymaker_goal_agent.drivers.protocol import Called, DriverError, Ended, Note, Returned, Said, Session, Turn, Used

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from haymaker_goal_agent.drivers.protocol import Event, Task

_TOKENS = ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")
_SILENCE_SECONDS = 900.0
"""A CLI that tells nothing for so long, although a tool may be at work, is given up."""
_INTERRUPT_SECONDS = 2.0
_END_SECONDS = 4.0


class CopilotDriver:
    """Hands a prompt to a session of the CLI and translates its events."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._turns = 0
        self._text = ""

    async def attempt(self, task: Task) -> AsyncIterator[Event]:
        self._turns = task.turns or 0
        model, provider = _provider(task, self._environment)
        token = None if provider else self._environment.get(_TOKENS[0])
        client = CopilotClient(
            connection=RuntimeConnection.for_stdio(path=_program()),
            working_directory=os.getcwd(),
            base_directory=_home(task),
            env={**os.environ, **({"COPILOT_OFFLINE": "true"} if provider else {})},
            use_logged_in_user=False if provider or token else None,
            log_level="error",
        )
        try:
            await client.start()
            wishes: dict[str, Any] = {
                "model": model or None,
                "provider": provider,
                "github_token": token,  # the client's own would stand in the environment of the CLI and its tools
                "streaming": False,
                "working_directory": os.getcwd(),
                "available_tools": list(task.tools),
                "system_message": {"mode": "append", "content": task.system},
                "on_permission_request": PermissionHandler.approve_all,
            }
            session, note = await _session(client, task.session, wishes)
            if note:
                yield Note(note)
            is_resumed = bool(task.session) and not note
            yield Session(session.session_id, is_resumed, model)
            async for event in self._follow(session, task.prompt if is_resumed else task.opening):
                yield event
        except OSError as error:
            raise DriverError(f"the CLI failed: {error}") from error
        finally:
            await _end(client)

    async def _follow(self, session: Any, prompt: str) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Any] = asyncio.Queue()
        forget = session.on(lambda event: loop.call_soon_threadsafe(told.put_nowait, event))
        try:
            await session.send(prompt)
            while True:
                try:
                    async with asyncio.timeout(_SILENCE_SECONDS):  # wait_for of Python 3.11 may lose an interrupt
                        event = await told.get()
                except TimeoutError:
                    raise DriverError(f"the CLI said nothing for {_SILENCE_SECONDS:g} s") from None
                if event.type.value == "session.idle":
                    yield Ended("done", self._text)
                    return
                if event.type.value == "assistant.turn_start" and self._turns <= 0:
                    yield Ended("turns")
                    return
                for translated in self._translated(event):
                    yield translated
        finally:
            forget()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(session.abort(), _INTERRUPT_SECONDS)

    def _translated(self, event: Any) -> Iterator[Event]:
        data = event.data
        match event.type.value:
            case "assistant.turn_start":
                self._turns -= 1
                yield Turn()
            case "assistant.message":
                self._text = data.content or ""
                if self._text.strip():
                    yield Said(self._text)
            case "assistant.usage":
                fresh, cached = data.input_tokens or 0, data.cache_read_tokens or 0
                yield Used(fresh, data.output_tokens or 0, cached, model=data.model or "")
            case "tool.execution_start":
                arguments = data.arguments if isinstance(data.arguments, dict) else {"arguments": data.arguments}
                yield Called(data.tool_call_id, data.tool_name, arguments)
            case "tool.execution_complete":
                said = data.result.content if data.result else data.error.message if data.error else ""
                yield Returned(data.tool_call_id, str(said), bool(data.success))
            case "session.error":
                raise DriverError(data.message)
            case _:
                pass  # progress, titles, hints: nothing that an agent's record needs


async def _session(client: CopilotClient, known: str, wishes: dict[str, Any]) -> tuple[Any, str]:
    """Resume a session, or begin one; give it, and why it could not be resumed."""
    note = ""
    if known:
        try:
            return await client.resume_session(known, **wishes), ""
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, a new session does no harm
            note = f"session {known} cannot be resumed ({str(error)[:200]}); a new one begins"
    return await client.create_session(**wishes), note


async def _end(client: CopilotClient) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.stop(), _END_SECONDS)
        return
    with contextlib.suppress(Exception):
        await client.force_stop()


def _provider(task: Task, environment: Mapping[str, str]) -> tuple[str, dict[str, str] | None]:
    """Give the model and the provider to ask; None is GitHub, with a token of the environment."""
    get = environment.get
    model, url = task.model or get("COPILOT_MODEL", ""), get("COPILOT_PROVIDER_BASE_URL")
    if not url:
        if not any(get(name) for name in _TOKENS):
            raise DriverError(
                f"sdk `copilot` needs {', '.join(_TOKENS[:2])}, or a provider of your own: COPILOT_PROVIDER_BASE_URL, "
                "COPILOT_PROVIDER_API_KEY and COPILOT_MODEL",
                fix="put one or the other under `env` of the manifest",
                setup=True,
            )
        return model, None
    if not model:
        raise DriverError(
            "sdk `copilot` with a provider of your own needs to know the model",
            fix="set config.model, or COPILOT_MODEL under `env`",
            setup=True,
        )
    bypass_proxy(url)
    words = {
        "type": get("COPILOT_PROVIDER_TYPE") or "openai",
        "base_url": url,
        "api_key": get("COPILOT_PROVIDER_API_KEY", ""),
        "wire_api": get("COPILOT_PROVIDER_WIRE_API") or "completions",
    }
    return model, words


def _program() -> str:
    found = os.environ.get("COPILOT_CLI_PATH") or shutil.which("copilot")
    if not found or not os.access(found, os.X_OK):
        raise DriverError(
            f"the Copilot CLI is not there: {found}" if found else "sdk `copilot` needs the Copilot CLI",
            fix="npm install -g @github/copilot, or put its path in COPILOT_CLI_PATH under `env` of the manifest",
            setup=True,
        )
    return found


def _home(task: Task) -> str:
    home = Path.cwd() / task.folder / "copilot"
    home.mkdir(mode=0o700, exist_ok=True)
    return str(home)
