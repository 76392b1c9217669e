"""Chat completions: models that want to be asked otherwise, and answers that are not quite right."""

from __future__ import annotations

import asyncio
import json

import pytest
from model_server import Call, Turn, Usage, calls, empty, fail, say

from agent_haymaker.llm import LLMInvalidRequestError, LLMMessage, LLMProviderError, create_llm_client
from agent_haymaker.llm.chat import Manner
from agent_haymaker.llm.faults import Fault
from llm.conftest import HI, config_for

NO_TEMPERATURE = "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is."
OTHER_LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."


@pytest.mark.parametrize("provider", ["openai", "azure_openai", "azure_ai_foundry"])
def test_a_model_is_asked_as_it_wants_from_then_on(provider, serve):
    server = serve(fail(400, OTHER_LIMIT), fail(400, NO_TEMPERATURE), say("one"), say("two"))
    with create_llm_client(config_for(provider, server, max_retries=0)) as client:
        assert [client.create_message(HI).content for _ in range(2)] == ["one", "two"]
    fields = [{"temperature", "max_tokens", "max_completion_tokens"} & set(r.body) for r in server.requests]
    assert fields == [
        {"temperature", "max_tokens"},
        {"temperature", "max_completion_tokens"},
        {"max_completion_tokens"},
        {"max_completion_tokens"},
    ]


@pytest.mark.parametrize(
    ("fault", "learned"),
    [
        (Fault(NO_TEMPERATURE, 400), Manner(temperature=False)),
        (Fault("no", 400, "unsupported_value", "temperature"), Manner(temperature=False)),
        (Fault("Extra inputs are not permitted: temperature", 422), Manner(temperature=False)),
        (Fault("temperature must be at most 2", 400, "decimal_above_max_value", "temperature"), None),
        (Fault("unsupported content, see max_tokens_help", 400), None),
        (Fault(NO_TEMPERATURE, 500), None),
    ],
)
def test_only_a_refusal_of_a_field_changes_the_manner(fault, learned):
    assert Manner().after(fault) == learned


def test_a_limit_that_is_refused_under_both_names_is_an_error(serve):
    other = "Unsupported parameter: 'max_completion_tokens'. Use 'max_tokens' instead."
    server = serve(fail(400, OTHER_LIMIT), fail(400, other))
    with create_llm_client(config_for("openai", server)) as client, pytest.raises(LLMInvalidRequestError):
        client.create_message(HI)


def test_arguments_that_are_no_object_are_kept_as_written_and_sent_back_so(serve):
    server = serve(calls(Call("shell", '{"command": '), Call("shell", "[1]")), say("Sorry."))
    with create_llm_client(config_for("openai", server)) as client:
        first = client.create_message(HI)
        assert [(call.arguments, call.malformed) for call in first.tool_calls] == [({}, '{"command": '), ({}, "[1]")]
        results = [LLMMessage("tool", "not JSON", tool_call_id=call.id, is_error=True) for call in first.tool_calls]
        client.create_message([*HI, first.as_message(), *results])
    sent = server.requests[1].body["messages"][1]["tool_calls"]
    assert [call["function"]["arguments"] for call in sent] == ['{"command": ', "[1]"]


@pytest.mark.parametrize(("stop", "advice"), [("length", "max_tokens"), ("refusal", "refused")])
def test_an_empty_answer_says_why_where_the_reason_is_known(serve, stop, advice):
    server = serve(empty(stop=stop, usage=Usage(output=1024)))
    with create_llm_client(config_for("openai", server)) as client, pytest.raises(LLMProviderError, match=advice):
        client.create_message(HI)


@pytest.mark.parametrize(
    ("turn", "reason"), [(say("x", stop="length"), "max_tokens"), (say("x", stop="refusal"), "refusal")]
)
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_why_it_stopped_has_one_name_everywhere(serve, provider, turn: Turn, reason):
    with create_llm_client(config_for(provider, serve(turn))) as client:
        assert client.create_message(HI).stop_reason == reason


@pytest.mark.parametrize("provider", ["anthropic", "openai", "azure_ai_foundry"])
def test_one_client_serves_one_loop_after_another(serve, provider):
    server = serve(say("one"), say("two"))
    client = create_llm_client(config_for(provider, server))

    async def ask() -> str:
        async with client:
            return (await client.create_message_async(HI)).content

    assert [asyncio.run(ask()) for _ in range(2)] == ["one", "two"]


def test_a_server_of_ones_own_needs_no_key(serve):
    server = serve(say("Hello."))
    with create_llm_client(config_for("openai", server, api_key=None)) as client:
        assert client.create_message(HI, temperature=None).content == "Hello."
    assert "temperature" not in server.requests[0].body
    json.dumps(server.requests[0].body)
