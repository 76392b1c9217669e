"""
sdk `microsoft`: the Microsoft Agent Framework with its OpenAI client; shell and file tools are ours.

The framework's own loop caps quietly and keeps its history in memory. So answers are counted here, and the messages are
kept in the workspace at each of them, fit to be resumed. It refuses to guess where the model is: the variables of
OpenAI and of Azure must not both be set.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from agent_framework import Agent, Content, Message, chat_middleware, function_middleware, tool
from agent_framework.exceptions import AgentFrameworkException
from agent_framework_openai import OpenAIChatCompletionClient
from openai import AsyncAzureOpenAI, AsyncOpenAI

from agent_haymaker.records import read_record, write_record
from haymaker_goal_agent.drivers import files, shell
from haymaker_goal_agent.drivers.kept import INTERRUPTED, reopen
from haymaker_goal_agent.drivers.loopback import bypass_proxy
from haymaker_goal_agent.drivers.protocol import Called, DriverError, Ended, Note, Returned, Said, Session, Turn, Used
from haymaker_goal_agent.drivers.shell import Ran
from haymaker_goal_agent.masking import Mask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from haymaker_goal_agent.drivers.protocol import Event, Task

_REQUEST_SECONDS = 300.0
_RETRIES = 3
_AZURE_VERSION = "2024-10-21"


class MicrosoftDriver:
    """Lets the framework's agent work, and listens to it through its middleware."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def attempt(self, task: Task) -> AsyncIterator[Event]:
        model, openai = _client(task, self._environment)
        kept = reopen(task.folder, "microsoft-{}.json", task.session, _read)
        if kept.note:
            yield Note(kept.note)
        yield Session(kept.id, bool(kept.messages), model)
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        ear = _Ear(events, kept.path, Mask(self._environment), task.turns or 0)
        client = OpenAIChatCompletionClient(model=model, async_client=openai)
        client.function_invocation_configuration["max_iterations"] = (task.turns or 0) + 1  # ours is reached first
        client.function_invocation_configuration["allow_concurrent_invocation"] = False
        prompt = task.prompt if kept.messages else task.opening
        agent = Agent(client=client, instructions=task.system, tools=ear.tools, middleware=ear.both)
        work = asyncio.ensure_future(agent.run([*kept.messages, Message("user", [prompt])]))
        work.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            yield Ended("done", (await work).text)
        except _CapReachedError:
            yield Ended("turns")
        except AgentFrameworkException as error:
            if ear.is_capped:
                yield Ended("turns")
            elif isinstance(error.__cause__, DriverError):
                raise error.__cause__ from error
            else:
                raise DriverError(str(error.__cause__ or error)) from error
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await openai.close()


class _CapReachedError(Exception):
    """The model may not be asked again."""


class _Ear:
    """Hears every answer of the model and every call of a tool; makes events of them, and keeps the history."""

    def __init__(self, events: asyncio.Queue[Event | None], path: Path, mask: Mask, turns: int) -> None:
        self._tell = events.put_nowait
        self._path = path
        self._mask = mask
        self._turns = turns
        self._ran: Ran | None = None  # what the tool gave that was called last; they are called one at a time
        self.is_capped = False

    @property
    def tools(self) -> list[Any]:
        return [
            _tool(shell.NAME, shell.DESCRIPTION, shell.PARAMETERS, self._shell),
            _tool("read_file", files.READ, files.PATH, self._read),
            _tool("write_file", files.WRITE, files.PATH_AND_TEXT, self._write),
        ]

    @property
    def both(self) -> list[Any]:
        """The middleware; the framework tells their kinds by a mark that only a function can carry."""

        @chat_middleware  # type: ignore[untyped-decorator]  # where the framework is not installed
        async def hear_model(context: Any, call_next: Callable[[], Awaitable[None]]) -> None:
            await self._hear_model(context, call_next)

        @function_middleware  # type: ignore[untyped-decorator]
        async def hear_tool(context: Any, call_next: Callable[[], Awaitable[None]]) -> None:
            await self._hear_tool(context, call_next)

        return [hear_model, hear_tool]

    async def _hear_model(self, context: Any, call_next: Callable[[], Awaitable[None]]) -> None:
        if self._turns <= 0:
            self.is_capped = True
            raise _CapReachedError
        self._turns -= 1
        self._tell(Turn())
        asked = list(context.messages)
        self._keep(asked)
        await call_next()
        answer = context.result
        self._keep([*asked, *answer.messages])
        usage = answer.usage_details or {}
        self._tell(
            Used(
                usage.get("input_token_count") or 0,
                usage.get("output_token_count") or 0,
                usage.get("cache_read_input_token_count") or 0,
                model=answer.model or "",
            )
        )
        if answer.text.strip():
            self._tell(Said(answer.text))

    def _keep(self, messages: list[Any]) -> None:
        """Write the history down; secrets stay in memory."""
        record = {"schema_version": 1, "messages": [message.to_dict() for message in messages]}
        write_record(self._path, json.dumps(self._mask.over(record), default=str), durable=False)

    async def _hear_tool(self, context: Any, call_next: Callable[[], Awaitable[None]]) -> None:
        call = str(context.metadata["call_id"])
        self._tell(Called(call, context.function.name, dict(context.arguments)))
        self._ran = None
        try:
            await call_next()
        except Exception as error:
            self._tell(Returned(call, str(error), ok=False))
            raise
        self._tell(self._returned(call))

    def _returned(self, call: str) -> Returned:
        ran = self._ran or Ran("error: the arguments do not fit", ok=False)  # the framework says so to the model
        return Returned(call, ran.output, ran.ok)

    async def _shell(self, command: object = None, timeout_seconds: object = None) -> str:
        return self._done(await shell.run(command, timeout_seconds))

    def _read(self, path: str) -> str:
        return self._done(files.read(path))

    def _write(self, path: str, content: str) -> str:
        return self._done(files.write(path, content))

    def _done(self, ran: Ran) -> str:
        self._ran = ran
        return ran.output or "[no output]"


def _read(path: Path) -> list[Any]:
    return _closed([Message.from_dict(message) for message in read_record(path)["messages"]])


def _closed(messages: list[Any]) -> list[Any]:
    """Answer the tool calls that nothing came of, since the agent was stopped: no provider takes an open one."""
    contents = [content for message in messages for content in message.contents]
    answered = {content.call_id for content in contents if content.type == "function_result"}
    open_calls = [c.call_id for c in contents if c.type == "function_call" and c.call_id not in answered]
    results = [Content.from_function_result(call, result=INTERRUPTED) for call in open_calls]
    return messages + [Message("tool", [result]) for result in results]


def _client(task: Task, environment: Mapping[str, str]) -> tuple[str, AsyncOpenAI]:
    """Give the model and the client to ask it with; both spellings of where it is are explicit."""
    get = environment.get
    key, azure = get("OPENAI_API_KEY"), get("AZURE_OPENAI_ENDPOINT")
    limits: dict[str, Any] = {"timeout": _REQUEST_SECONDS, "max_retries": int(get("LLM_MAX_RETRIES") or _RETRIES)}
    if azure and (key or get("OPENAI_BASE_URL")):
        raise _misconfigured("both OpenAI's variables and AZURE_OPENAI_ENDPOINT are set", "set one or the other")
    if azure:
        model = task.model or get("AZURE_OPENAI_DEPLOYMENT")
        if not model:
            raise _misconfigured(
                "sdk `microsoft` on Azure needs AZURE_OPENAI_DEPLOYMENT", "put it under `env`, or set config.model"
            )
        bypass_proxy(azure)
        version = get("AZURE_OPENAI_API_VERSION") or _AZURE_VERSION
        azure_key = get("AZURE_OPENAI_API_KEY")
        who: dict[str, Any] = {"api_key": azure_key} if azure_key else {"azure_ad_token_provider": _identity()}
        return model, AsyncAzureOpenAI(
            **who, azure_endpoint=azure, api_version=version, azure_deployment=model, **limits
        )
    model = task.model or get("OPENAI_MODEL")
    if not key:
        raise _misconfigured("sdk `microsoft` needs OPENAI_API_KEY", "put it under `env` of the manifest")
    if not model:
        raise _misconfigured("sdk `microsoft` needs to know the model", "set config.model, or OPENAI_MODEL under `env`")
    bypass_proxy(get("OPENAI_BASE_URL", ""))
    return model, AsyncOpenAI(api_key=key, **limits)


def _identity() -> Callable[[], Awaitable[str]]:
    """Give what gives a token of the identity that Azure's own tools find here; it stands in for a key."""
    from azure.core.exceptions import AzureError

    from agent_haymaker.llm.identity import COGNITIVE_SERVICES, Identity, explain_azure

    identity = Identity(COGNITIVE_SERVICES)

    async def token() -> str:
        try:
            return await identity.token_async()
        except AzureError as error:
            fix = "set AZURE_OPENAI_API_KEY under `env` of the manifest, or give this machine an identity"
            raise DriverError(explain_azure(error).words, fix=fix) from error

    return token


def _misconfigured(what: str, fix: str) -> DriverError:
    return DriverError(what, fix=fix, setup=True)


def _tool(name: str, description: str, schema: dict[str, Any], work: Callable[..., Any]) -> Any:
    return tool(work, name=name, description=description, schema=schema, approval_mode="never_require")
