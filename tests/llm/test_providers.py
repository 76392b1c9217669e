"""What every provider does, through its real SDK: answers, tools, errors, retries, deadlines; blocking and async."""

from __future__ import annotations

import re
import socket
import time

import pytest
from model_server import FOREVER, Call, Turn, Usage, calls, cut, empty, fail, hang, say

from agent_haymaker.llm import (
    LLMAuthenticationError,
    LLMInvalidRequestError,
    LLMMessage,
    LLMProviderError,
    LLMRateLimitError,
    LLMTool,
)
from llm.conftest import HI, KEY, config_for

SHELL = LLMTool("shell", "Runs a command.", {"type": "object", "properties": {"command": {"type": "string"}}})


def test_it_answers_and_counts_the_tokens(ask, serve):
    server = serve(say("Hello.", usage=Usage(input=100, output=7, cached=40)), key=KEY)
    response = ask(server, system="Be brief.", max_tokens=50)
    assert (response.content, response.model, response.stop_reason) == ("Hello.", "the-model", "end_turn")
    assert response.usage["input_tokens"] == 100
    assert response.usage["output_tokens"] == 7
    assert response.usage["cached_tokens"] == 40
    (asked,) = server.asked
    assert [(said.role, said.text) for said in asked.messages] == [("system", "Be brief."), ("user", "hi")]
    assert server.requests[0].body["max_tokens"] == 50


def test_it_calls_tools_and_takes_their_results(ask, serve):
    two = calls(Call("shell", {"command": "ls"}), Call("shell", {"command": "pwd"}), say="I look.")
    server = serve(two, say("Both done."))
    first = ask(server, tools=[SHELL])
    assert (first.content, first.stop_reason) == ("I look.", "tool_use")
    assert [call.arguments for call in first.tool_calls] == [{"command": "ls"}, {"command": "pwd"}]
    results = [LLMMessage("tool", f"result {i}", tool_call_id=c.id) for i, c in enumerate(first.tool_calls)]
    assert ask(server, [*HI, first.as_message(), *results], tools=[SHELL]).content == "Both done."
    assert server.asked[1].tools == ("shell",)
    assert server.asked[1].messages[1].calls == ("shell", "shell")
    assert [(said.role, said.text) for said in server.asked[1].news] == [("tool", "result 0"), ("tool", "result 1")]


LASTING = {
    400: LLMInvalidRequestError,
    401: LLMAuthenticationError,
    403: LLMAuthenticationError,
    404: LLMInvalidRequestError,
    422: LLMInvalidRequestError,
}


def test_what_another_try_would_not_change_is_an_error_at_once(ask, serve):
    server = serve(*(fail(status, f"this is why: {status}") for status in LASTING))
    for asked, (status, kind) in enumerate(LASTING.items(), start=1):
        with pytest.raises(kind, match=f"this is why: {status}") as raised:
            ask(server)
        assert (type(raised.value), raised.value.status) == (kind, status)
        assert raised.value.fix
        assert len(server.requests) == asked


def test_a_passing_fault_is_tried_again(ask, serve):
    faults = (fail(500), fail(503), fail(529), cut(at="middle"), cut(at="start"))
    server = serve(*(turn for fault in faults for turn in (fault, fault, say("At last."))))
    for asked in range(1, len(faults) + 1):
        assert ask(server).content == "At last."
        assert len(server.requests) == 3 * asked


def test_a_rate_limit_is_waited_out_as_long_as_the_provider_says(ask, serve):
    server = serve(fail(429, retry_after=0.2), say("Now."))
    assert ask(server).content == "Now."
    assert server.requests[1].at - server.requests[0].at >= 0.2


def test_a_rate_limit_beyond_the_deadline_is_an_error_at_once(ask, serve):
    server = serve(fail(429, retry_after=3600))
    with pytest.raises(LLMRateLimitError) as raised:
        ask(server)
    assert raised.value.retry_after == 3600
    assert len(server.requests) == 1


def test_a_fault_that_stays_is_an_error_after_the_last_retry(ask, serve):
    server = serve(fail(500, "on fire", times=FOREVER))
    with pytest.raises(LLMProviderError, match="on fire"):
        ask.with_config(config_for(ask.provider, server, max_retries=2))
    assert len(server.requests) == 3


def test_an_empty_answer_is_an_error_that_says_what_it_cost(ask, serve):
    server = serve(empty(usage=Usage(input=30, output=2)))
    with pytest.raises(LLMProviderError, match="empty") as raised:
        ask(server)
    assert raised.value.usage["input_tokens"] == 30


@pytest.mark.parametrize("page_type", ["text/html", "application/json"])
def test_an_answer_that_is_no_model_s_is_an_error(ask, serve, page_type):
    server = serve(Turn(page="<html>Log in to this network</html>", page_type=page_type))
    with pytest.raises(LLMProviderError, match="not that of a model") as raised:
        ask.with_config(config_for(ask.provider, server, max_retries=1))
    assert "check" in str(raised.value)
    assert len(server.requests) == 1


def test_an_answer_that_never_comes_ends_at_the_deadline(ask, serve):
    config = config_for(ask.provider, serve(hang(times=FOREVER))).model_copy(update={"timeout_seconds": 0.3})
    began = time.monotonic()
    with pytest.raises(LLMProviderError, match="no answer"):
        ask.with_config(config)
    assert 0.3 <= time.monotonic() - began < 60  # the SDK may have to be imported first; its own limit is minutes


def test_a_wrong_endpoint_is_named(ask, serve):
    config = config_for(ask.provider, serve())
    with pytest.raises(LLMInvalidRequestError, match=r"/nowhere(.|\n)*fix: check [A-Z_]+(ENDPOINT|BASE_URL)"):
        ask.with_config(config.model_copy(update={"endpoint": f"{config.endpoint}/nowhere"}))


def test_nobody_at_the_endpoint_is_the_way_failing(ask, serve):
    config = config_for(ask.provider, serve(), max_retries=1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # kept, so that it is given to nobody else; and not listened at
        endpoint = re.sub(r":\d+", f":{nobody.getsockname()[1]}", config.endpoint)
        with pytest.raises(LLMProviderError, match="no answer"):
            ask.with_config(config.model_copy(update={"endpoint": endpoint}))


def test_a_proxy_does_not_stand_before_our_own_machine(ask, serve, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(serve(say("Here."))).content == "Here."


def test_no_error_shows_the_key_even_if_the_server_does(ask, serve):
    server = serve(fail(401, f"{KEY} is not a key"))
    config = config_for(ask.provider, server)
    with pytest.raises(LLMAuthenticationError) as raised:
        ask.with_config(config)
    error = raised.value
    told = [str(error), repr(error), str(error.__dict__), repr(error.__cause__), repr(error.__context__), repr(config)]
    assert not [text for text in told if KEY in text]
    assert "*** is not a key" in str(error)
