"""What a run says that it used, and the ledger of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from reconciler.ledger import append_charges, read_charges
from reconciler.usage import Charge, Usage, merge, told_by_event, told_by_result

USED = Usage(turns=2, input_tokens=100, output_tokens=10, cost_usd=0.5, model="quill")


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def charge(key: str, day: str = "2026-11-22", usage: Usage = USED, name: str = "mailer") -> Charge:
    return Charge(at(day), "prod", name, usage, key, {"team": "a"}, unpriced=int(usage.cost_usd is None))


def test_a_result_and_a_usage_line_say_the_same():
    usage = {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 0}
    rest = {"turns": 2, "cost_usd": 0.5}
    assert told_by_result({"usage": usage, "model": "quill", **rest}) == USED
    assert told_by_event({"type": "usage", "model": "quill", "total": {**usage, **rest}}) == USED


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"usage": None},
        {"usage": {"input_tokens": -1}, "cost_usd": -3},
        {"usage": {"input_tokens": True, "output_tokens": "9"}, "cost_usd": float("nan")},
        {"usage": [1, 2], "turns": 10**20, "cost_usd": float("inf")},
        {"usage": {"cached_tokens": 10**9}, "cost_usd": 1e308},
    ],
)
def test_what_is_no_number_of_anything_is_not_counted(record):
    assert told_by_result(record) is None


def test_cached_tokens_are_among_the_input_so_that_no_run_earns_money():
    told = told_by_result({"usage": {"input_tokens": 7, "cached_tokens": 10**9}})
    assert told is not None
    assert told.cached_tokens == 7


@pytest.mark.parametrize(
    "forged",
    [
        {"at": 1e300},
        {"runs": "many"},
        {"usage": {"turns": -1}},
        {"usage": {"cost_usd": 1e308}},
        {"usage": {"model": 3}},
    ],
    ids=str,
)
def test_a_line_of_the_ledger_that_no_run_can_have_made_is_none(tmp_path, forged):
    append_charges(tmp_path, [charge("x.a-1.1.1"), charge("x.a-1.1.2")])
    [ledger] = (tmp_path / "usage").iterdir()
    first, second = ledger.read_text().splitlines()
    record = json.loads(first)
    record["usage"] |= forged.pop("usage", {})
    ledger.write_text(f"{json.dumps(record | forged)}\n{second}\n")
    assert [*read_charges(tmp_path)] == ["x.a-1.1.2"]


def test_a_cost_that_nobody_told_is_unknown_and_not_zero():
    told = told_by_result({"usage": {"input_tokens": 7}})
    assert told is not None
    assert told.cost_usd is None
    both = merge([charge("1"), charge("2", usage=told)])
    assert (both.usage.cost_usd, both.usage.input_tokens, both.runs, both.unpriced) == (0.5, 107, 2, 1)


def test_a_run_that_is_written_twice_counts_once(tmp_path):
    for _ in range(2):
        append_charges(tmp_path, [charge("x.a-1.1.1")])
    append_charges(tmp_path, [charge("x.a-1.1.2")])
    assert merge(read_charges(tmp_path).values()).runs == 2


def test_a_torn_line_harms_no_other(tmp_path):
    append_charges(tmp_path, [charge("one")])
    path = tmp_path / "usage" / "2026-11.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at": 17953')
    append_charges(tmp_path, [charge("two")])
    assert set(read_charges(tmp_path)) == {"one", "two"}


def test_only_runs_that_were_started_since_are_read(tmp_path):
    append_charges(tmp_path, [charge("old", "2026-10-31"), charge("first", "2026-11-01"), charge("new", "2026-11-22")])
    assert set(read_charges(tmp_path, since=at("2026-11-01"))) == {"first", "new"}
    assert set(read_charges(tmp_path, since=at("2026-11-02"))) == {"new"}


def test_old_months_are_folded_by_day_and_nothing_is_lost_or_counted_twice(tmp_path):
    lines = [charge(f"run-{n}", f"2026-0{1 + n % 2}-1{n % 3}", name=f"n{n % 2}") for n in range(60)]
    append_charges(tmp_path, [*lines, *lines])
    before = merge(read_charges(tmp_path).values())
    for month in ("03", "04", "05"):
        append_charges(tmp_path, [charge(f"in {month}", f"2026-{month}-01")], open_keys=["run-2"])
    folded = (tmp_path / "usage" / "2026-01.jsonl").read_text().splitlines()
    assert len(folded) == 4, "three days of one name, and the run whose end is not on record"
    assert "run-2" in {json.loads(line)["key"] for line in folded}
    append_charges(tmp_path, [charge("run-2", "2026-01-12", name="n0")])  # the pass that was killed comes again
    after = merge(read_charges(tmp_path).values())
    assert (after.runs, after.usage.tokens) == (before.runs + 3, before.usage.tokens + 3 * USED.tokens)
    assert after.usage.cost_usd == pytest.approx(before.usage.cost_usd + 1.5)
