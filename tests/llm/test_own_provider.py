"""A provider that somebody else wrote, in the forms that published packages have."""

from __future__ import annotations

import asyncio
import threading

from agent_haymaker.llm import BaseLLMProvider, LLMMessage, LLMResponse

ASKED = [LLMMessage(role="user", content="What next?")]


class Blocking(BaseLLMProvider):
    """One method, no config, no tools."""

    def create_message(self, messages, system=None, max_tokens=1024, temperature=0.7):
        self.thread = threading.get_ident()
        return LLMResponse(content=f"{messages[0].content} {system} {max_tokens} {temperature}", model="own")


class Both(Blocking):
    async def create_message_async(self, messages, system=None, max_tokens=1024, temperature=0.7):
        return LLMResponse(content="natively", model="own", stop_reason="end_turn")


def test_one_method_is_enough_and_the_async_call_runs_it_in_a_thread():
    async def scenario():
        async with Blocking() as client:
            answer = await client.create_message_async(messages=ASKED, system="Be brief.", max_tokens=200)
            return answer, client.thread

    answer, thread = asyncio.run(scenario())
    assert answer.content == "What next? Be brief. 200 0.7"
    assert (answer.model, answer.usage, answer.stop_reason) == ("own", {}, None)
    assert thread != threading.get_ident()


def test_a_native_async_call_is_taken():
    with Both() as client:
        assert client.create_message(ASKED).content == "What next? None 1024 0.7"
        assert asyncio.run(client.create_message_async(ASKED)).content == "natively"


def test_tools_reach_a_provider_that_takes_them():
    class WithTools(BaseLLMProvider):
        def create_message(self, messages, system=None, max_tokens=1024, temperature=0.7, *, tools=()):
            return LLMResponse(content=str(len(tools)), model="own")

    assert asyncio.run(WithTools().create_message_async(ASKED, tools=["a", "b"])).content == "2"
