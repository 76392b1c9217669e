"""What a fault means, and how long a call goes on after it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent_haymaker.llm.attempts import Attempts, backoff
from agent_haymaker.llm.errors import LLMInvalidRequestError, LLMProviderError, LLMRateLimitError
from agent_haymaker.llm.faults import Fault, words_of

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, 0),
    ],
)
def test_when_to_come_back_is_read_in_every_form(headers, seconds):
    assert Fault("", 429, headers=headers).retry_after(NOON) == seconds


@pytest.mark.parametrize(
    ("fault", "kind", "passing"),
    [
        (Fault("", 408), LLMProviderError, True),
        (Fault("", 409), LLMProviderError, True),
        (Fault("", 413), LLMInvalidRequestError, False),
        (Fault("", 302), LLMInvalidRequestError, False),
        (Fault("", 429), LLMRateLimitError, True),
        (Fault("", 429, code="insufficient_quota"), LLMRateLimitError, False),
        (Fault("", 429, headers={"x-should-retry": "false"}), LLMRateLimitError, False),
        (Fault("", 400, headers={"x-should-retry": "true"}), LLMInvalidRequestError, True),
        (Fault("", None), LLMProviderError, True),
    ],
)
def test_each_fault_has_one_meaning(fault, kind, passing):
    assert (fault.kind, fault.is_passing) == (kind, passing)


def test_a_call_tries_no_longer_than_its_retries_and_its_deadline():
    passing = Fault("", 500)
    attempts = Attempts(2, 60, lambda failures: failures)
    assert [attempts.pause_after(passing) for _ in range(3)] == [1, 2, None]
    assert Attempts(2, 60, backoff).pause_after(Fault("", 401)) is None
    assert Attempts(2, 1, lambda _: 5).pause_after(passing) is None
    assert Attempts(2, 60, backoff).pause_after(Fault("", 429, headers={"retry-after": "61"})) is None


def test_the_pauses_double_up_to_a_cap():
    assert [(0.75 * full <= backoff(n) <= full) for n, full in ((1, 0.5), (2, 1), (3, 2), (9, 8))] == [True] * 4


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"error": {"message": "m", "code": "c", "param": "p"}}, {"words": "m", "code": "c", "parameter": "p"}),
        ({"message": "m", "code": 404}, {"words": "m", "code": "404"}),
        ({"detail": [{"msg": "x"}]}, {"words": "[{'msg': 'x'}]"}),
        ({"error": "plain"}, {"words": "plain"}),
        ("<html>\n  Bad Gateway", {"words": "<html> Bad Gateway"}),
        (None, {}),
    ],
)
def test_what_a_server_says_is_found_in_whatever_form(body, found):
    assert words_of(body) == found
