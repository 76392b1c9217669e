"""What a start may use, and why there is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.words import FLEET, NOW, desired, ended, observed
from reconciler.budget import Purse, Spent, Window, price_of
from reconciler.classify import classify, failures_after
from reconciler.model.finding import Verdict
from reconciler.model.observed import RunPhase
from reconciler.model.plan import Verb
from reconciler.plan import make_plan
from reconciler.usage import Usage

DAY = {"maxCostUSD": 5.0, "period": "day", "onExceeded": "stop"}
RUN = {"maxCostUSD": 2.0, "maxTurns": 30, "period": "run", "onExceeded": "stop"}


def purse(budget=None, **spent: Spent) -> Purse:
    return Purse("prod", budget or {}, spent, NOW)


def over(name: str, cost: float, *, ago: float = 0.0, **facts) -> Spent:
    return Spent(name, "prod", NOW - ago, {"cost_usd": cost}, **facts)


def live(name: str, cap: float, cost: float = 0.0) -> Spent:
    return over(name, cost, caps={"cost_usd": cap}, is_live=True)


def test_windows_are_days_and_months_in_utc():
    at = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC).timestamp()
    day, month = Window.around(at, "day"), Window.around(at, "month")
    assert (day.start, day.end) == tuple(datetime(2026, *d, tzinfo=UTC).timestamp() for d in ((2, 28), (3, 1)))
    assert (month.start, month.end) == tuple(datetime(2026, *d, tzinfo=UTC).timestamp() for d in ((2, 1), (3, 1)))
    december = Window.around(datetime(2026, 12, 31, tzinfo=UTC).timestamp(), "month")
    assert december.end == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def test_a_run_may_use_its_budget_or_what_is_left_of_its_day():
    assert purse().admit("mailer", RUN).caps == {"cost_usd": 2.0, "turns": 30}
    assert purse(a=over("mailer", 3), b=over("other", 9)).admit("mailer", DAY).caps == {"cost_usd": 2.0}
    assert purse(a=over("post", 4)).admit("mailer", DAY, formerly=["post"]).caps == {"cost_usd": 1.0}
    assert purse(a=over("mailer", 5, ago=86400)).admit("mailer", DAY).caps == {"cost_usd": 5.0}


def test_a_day_that_is_spent_refuses_and_says_until_when():
    answer = purse(a=over("mailer", 5.02)).admit("mailer", DAY)
    assert "its budget for the day is spent: $5.02 of $5.00" in answer.refusal
    assert "1970-01-13 00:00Z" in answer.refusal
    assert answer.wait == 12 * 86400 - NOW


def test_warn_starts_without_a_cap():
    answer = purse(a=over("mailer", 6)).admit("mailer", {**DAY, "onExceeded": "warn"})
    assert (answer.refusal, answer.caps) == ("", {})
    assert "$6.00 of $5.00" in answer.warnings[0]


def test_the_fleet_counts_what_is_reserved_until_it_is_used():
    fleet = {**DAY, "maxCostUSD": 4.0}
    assert purse(fleet).admit("mailer", RUN).caps["cost_usd"] == 2.0
    assert purse(fleet, a=live("other", 2.0, 0.5)).admit("mailer", RUN).refusal == ""
    refused = purse(fleet, a=live("other", 2.5, 0.5)).admit("mailer", RUN).refusal
    assert "$0.50 are spent and $2.00 reserved by runs, and a run of it may use $2.00" in refused
    assert purse(fleet, a=over("other", 0.5)).admit("mailer", RUN).refusal == ""
    assert purse(fleet, a=live("mailer", 2.5, 0.5)).admit("mailer", RUN).refusal == "", "its own run is replaced"


def test_without_a_cap_of_its_own_a_run_gets_what_the_fleet_has_left_unless_it_only_holds():
    fleet = {**DAY, "maxCostUSD": 4.0}
    assert purse(fleet, a=over("other", 1)).admit("mailer", {}).caps == {"cost_usd": 3.0}
    assert purse({**fleet, "onExceeded": "hold"}, a=over("other", 1)).admit("mailer", {}).caps == {}
    assert purse({**fleet, "onExceeded": "hold"}, a=over("other", 4)).admit("mailer", {}).refusal
    assert purse({**fleet, "period": "run"}).admit("mailer", {**RUN, "maxCostUSD": 9}).caps["cost_usd"] == 4.0


def test_a_price_makes_a_cost_and_no_price_makes_none():
    used = Usage(input_tokens=1_000_000, output_tokens=100_000, cached_tokens=500_000, model="quill")
    price = {"inputPerMTok": 2.0, "outputPerMTok": 10.0}
    assert price_of(used, {"quill": price}) == 3.0
    assert price_of(used, {"quill": {**price, "cachedInputPerMTok": 0.2}}) == pytest.approx(2.1)
    assert price_of(used, {"other": price}) is None


def plan_of(*names: str, purse: Purse, seen=None, **facts):
    want = {n: desired(n, **facts) for n in names}
    for one in want.values():
        one.spec["budget"] = facts.get("spec", {}).get("budget", RUN)
    return make_plan(want, seen or {}, policy=FLEET, now=NOW, purse=purse)


def test_starts_of_one_plan_share_the_fleets_budget():
    plan = plan_of("a", "b", "c", purse=purse({**DAY, "maxCostUSD": 4.5}))
    assert [(a.name, a.starts) for a in plan.actions] == [("a", True), ("b", True), ("c", False)]
    [left] = plan.left
    assert (left.name, left.verdict, left.blocked) == ("c", Verdict.OVER_BUDGET, True)
    assert plan.recheck_in == Window.around(NOW, "day").end - NOW


def test_what_runs_goes_on_where_its_successor_has_no_budget():
    full = purse({**DAY, "maxCostUSD": 3.0}, a=over("other", 2.5))
    plan = plan_of("mailer", purse=full, seen={"mailer": observed("mailer", digest="1:b")})
    assert plan.is_empty
    assert plan.left[0].verdict is Verdict.OVER_BUDGET


def test_a_run_that_spent_its_own_budget_is_not_started_again_and_is_no_crash():
    want, seen = desired(restart_policy="Always"), ended(code=3, over_budget="$2 of $2 spent")
    assert classify(want, seen, fleet="prod", now=NOW).verdict is Verdict.OVER_BUDGET
    assert failures_after(want, ended(code=3, over_budget="spent", failures=4)) == 4
    raised = desired(restart_policy="Always", spec={"budget": {**RUN, "maxCostUSD": 4.0}})
    assert classify(raised, seen, fleet="prod", now=NOW).verdict is Verdict.FAILED
    task = desired(restart_policy="Never")
    assert classify(task, seen, fleet="prod", now=NOW).verdict is Verdict.COMPLETED
    daily = desired(restart_policy="Always", spec={"budget": DAY})
    assert classify(daily, seen, fleet="prod", now=NOW).verdict is Verdict.FAILED, "the purse decides"


def test_what_ended_with_the_code_of_a_spent_budget_is_recorded_before_the_next_is_decided():
    seen = ended(code=3, recorded=False)
    assert seen.phase is RunPhase.ENDED
    plan = plan_of("mailer", purse=purse(), seen={"mailer": seen}, restart_policy="Always")
    assert [a.verb for a in plan.actions] == [Verb.RECORD]
