"""
What holds in every world: the planner's promises, over arbitrary desired and observed deployments.

`apply_plan` plays the outcomes of a plan on the observed world, as effects.py does on the real one (scenarios
compare the two); it is this file's only model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.desired import Dependency
from reconciler.model.observed import Observed, RunPhase
from reconciler.model.plan import Verb
from reconciler.plan import make_plan
from reconciler.removals import Removals
from reconciler.report import plan_json
from reconciler.revert import in_force, stand_in
from tests.core.words import FLEET, NOW, desired, observed

if TYPE_CHECKING:
    import random

NAMES = ["a", "b", "c", "d", "e"]
DIGESTS = ["1:a", "1:b"]
PRUNE = Removals(refusal="", unlimited=True)


@st.composite
def wants(draw):
    made = {}
    for name in draw(st.sets(st.sampled_from(NAMES))):
        before = [n for n in NAMES if n < name]
        depends = draw(st.sets(st.sampled_from(before), max_size=2)) if before else set()
        service = draw(st.booleans())
        made[name] = desired(
            name,
            draw(st.sampled_from(DIGESTS)),
            stopped=draw(st.booleans()),
            suspend=draw(st.sampled_from([False, False, False, True])),
            service=service,
            auto_revert=service and draw(st.booleans()),
            on_stalled=draw(st.sampled_from(["report", "stop", "restart"])),
            restart_policy=draw(st.sampled_from(["Never", "OnFailure", "Always"])),
            strategy=draw(st.sampled_from(["Recreate", "OnCompletion", "Manual"])),
            side_effects=draw(st.sampled_from(["none", "external"])),
            has_checks=draw(st.booleans()),
            settings=draw(st.sampled_from(["s", "t"])),
            depends_on=[(d, draw(st.sampled_from(["Started", "Completed", "GoalMet"]))) for d in sorted(depends)],
            renamed_from=tuple(draw(st.sets(st.sampled_from(NAMES), max_size=1)) - {name}),
        )
    return made


@st.composite
def worlds(draw):
    made = {}
    for name in draw(st.sets(st.sampled_from(NAMES))):
        phase = draw(st.sampled_from(list(RunPhase)))
        over = phase in (RunPhase.ENDED, RunPhase.STOPPED, RunPhase.LOST)
        code = draw(st.sampled_from([0, 1])) if phase is RunPhase.ENDED else None
        digest = draw(st.sampled_from(DIGESTS))
        kept = draw(st.sampled_from([None, desired(name, "1:old")]))
        held = draw(st.sampled_from(["", *(d for d in DIGESTS if d != digest)]))
        if held:  # then what is kept is what runs
            kept = desired(name, digest)
        made[name] = observed(
            name,
            phase,
            digest,
            held=held,
            held_why="it failed" if held else "",
            kept=kept,
            fallback="1:old" if kept and not held else "",
            overrun=draw(st.sampled_from(["", "", "9 of 8 turns used"])) if phase is RunPhase.RUNNING else "",
            overtime=draw(st.sampled_from(["", "", "its timeout is over"])) if phase is RunPhase.RUNNING else "",
            kept_missing=draw(st.sampled_from(["", "", "its prompt.md is gone"])) if kept else "",
            stalled=draw(st.sampled_from(["", "it is silent"]))
            if phase in (RunPhase.RUNNING, RunPhase.STOPPED)
            else "",
            fleet=draw(st.sampled_from(["prod", "prod", "prod", "dev"])),
            doubt=draw(st.sampled_from(["", "", "", "its record is not JSON"])),
            recorded=over and draw(st.booleans()),
            exit_code=code,
            succeeded=code == 0,
            exit_text="ended",
            ended_at=NOW - draw(st.integers(0, 400)) if over else None,
            failures=draw(st.integers(0, 6)),
            goal_met=draw(st.sampled_from([None, True, False])),
            stopped=draw(st.booleans()),
            suspended=draw(st.booleans()),
            settings=draw(st.sampled_from(["s", "t"])),
            protect=draw(st.booleans()),
            start_failed=phase is RunPhase.ENDED and draw(st.booleans()),
            service=draw(st.booleans()),
        )
    return made


def decide(want, seen):
    return make_plan(want, seen, policy=FLEET, now=NOW, removals=PRUNE)


def apply_plan(plan, want, seen):
    """Give the observed world after every action succeeded at once."""
    world = dict(seen)
    for action in plan.actions:
        name = action.name
        w = in_force(want, world, {name: action.old_name} if action.old_name else {}).get(name)
        if action.reverts:
            w = stand_in(w, world[name].kept)
        if action.verb is Verb.DELETE:
            del world[name]
            continue
        if action.verb is Verb.RENAME:
            world[name] = replace(world.pop(action.old_name), name=name)
            continue
        o = world.get(name) or Observed(name, f"{name}-1", "prod", w.digest, 1)
        match action.verb:
            case Verb.CREATE | Verb.START:
                phase = RunPhase.RUNNING if action.starts else RunPhase.NONE
                failures = o.failures if o.digest == w.digest else 0
                o = replace(o, phase=phase, digest=w.digest, recorded=False, started_at=NOW, ended_at=None)
                o = replace(o, goal_met=None, start_failed=False, failures=failures, stalled="", over_budget="")
                if action.reverts:
                    o = replace(o, held=w.instead_of, held_why=action.reverts, fallback="")
            case Verb.STOP:
                o = replace(o, phase=RunPhase.STOPPED, recorded=True, ended_at=NOW)
                o = replace(o, stalled=o.stalled if action.stalled else "", overrun="", overtime="")
                if action.overtime:
                    o = replace(o, phase=RunPhase.ENDED, recorded=False, succeeded=False)
                if action.overspent:
                    o = replace(o, phase=RunPhase.ENDED, over_budget=action.overspent, succeeded=False)
            case Verb.RECORD:
                o = replace(o, recorded=True)
            case Verb.UPDATE if (
                o.digest != w.digest and o.phase is not RunPhase.RUNNING and w.stopped and not w.suspend
            ):
                o = replace(o, phase=RunPhase.NONE, digest=w.digest, recorded=False)
            case _:
                pass
        if action.verb != Verb.RECORD and not (action.verb is Verb.STOP and action.replaces):
            o = replace(o, settings=w.settings, stopped=w.stopped, suspended=w.suspend)
            o = replace(o, annotations=w.annotations) if o.digest == w.digest else o
            o = replace(o, held=o.held if w.instead_of == o.held else "")
        world[name] = o
    return world


@given(wants(), worlds())
@settings(max_examples=120)
def test_a_few_passes_lead_to_rest(want, seen):
    """Apply twice plans nothing: once what a first pass could not know is on record, the next plan is empty."""
    world = seen
    for _ in range(4):
        plan = decide(want, world)
        if plan.is_empty:
            break
        world = apply_plan(plan, want, world)
    final = decide(want, world)
    assert final.is_empty, plan_json(final)


@given(wants(), worlds())
@settings(max_examples=120)
def test_doubt_is_never_touched(want, seen):
    touched = {n for a in decide(want, seen).actions for n in (a.name, a.old_name)}
    assert not touched & {n for n, o in seen.items() if o.doubt or o.phase is RunPhase.UNREACHABLE}


@given(wants(), worlds())
@settings(max_examples=120)
def test_no_name_ever_has_two_live_runs(want, seen):
    live = {n for n, o in seen.items() if o.phase in (RunPhase.RUNNING, RunPhase.UNREACHABLE)}
    for action in decide(want, seen).actions:
        if action.verb is Verb.RENAME and action.old_name in live:
            live = (live - {action.old_name}) | {action.name}
        elif action.verb in (Verb.STOP, Verb.DELETE):
            live.discard(action.name)
        elif action.starts:
            assert action.name not in live, action
            live.add(action.name)


@given(wants(), worlds())
@settings(max_examples=120)
def test_whatever_acts_on_a_deployment_waits_for_what_acts_on_it_before(want, seen):
    """At once, each would write over what the other has put on record."""
    waits: dict[int, set[int]] = {}
    last: dict[str, int] = {}
    for action in decide(want, seen).actions:
        waits[action.number] = set(action.after).union(*(waits[number] for number in action.after))
        for name in {action.name, action.old_name} & last.keys():
            assert last[name] in waits[action.number], action
        last |= dict.fromkeys({action.name, action.old_name} - {"", None}, action.number)


@given(wants(), worlds(), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_the_order_of_the_input_does_not_matter(want, seen, rng: random.Random):
    def shuffled(items):
        pairs = list(items.items())
        rng.shuffle(pairs)
        return dict(pairs)

    assert plan_json(decide(want, seen)) == plan_json(decide(shuffled(want), shuffled(seen)))


@given(wants(), worlds())
@settings(max_examples=120)
def test_what_is_held_is_started_by_no_plan(want, seen):
    """A digest that failed stays put for as long as its manifest asks for it, and for a way back."""
    held = {n: o.held for n, o in seen.items() if n in want and want[n].auto_revert and o.held == want[n].digest}
    for action in decide(want, seen).actions:
        if action.name in held and action.starts:
            assert in_force(want, seen, {})[action.name].digest == seen[action.name].digest
            assert not action.reverts
        assert not action.reverts or (want[action.name].auto_revert and want[action.name].service)


@given(wants(), worlds())
@settings(max_examples=80)
def test_only_our_own_unprotected_orphans_are_deleted_and_never_unasked(want, seen):
    for action in decide(want, seen).actions:
        if action.verb is Verb.DELETE:
            gone = seen[action.name]
            assert action.needs_consent
            assert action.name not in want
            assert gone.fleet == "prod"
            assert not gone.protect
            assert not gone.doubt


@given(wants(), worlds())
@settings(max_examples=80)
def test_every_deployment_is_either_acted_on_or_accounted_for(want, seen):
    plan = decide(want, seen)
    spoken = {a.name for a in plan.actions} | {a.old_name for a in plan.actions} | {i.name for i in plan.left}
    ours = {n for n, o in seen.items() if o.fleet == "prod"}
    assert want.keys() | ours <= spoken


@given(wants())
@settings(max_examples=100)
def test_dependencies_start_in_order(want):
    numbers = {a.name: a for a in decide(want, {}).actions if a.starts}
    for name, action in numbers.items():
        for dependency in want[name].depends_on:
            assert dependency.condition == "Started" or dependency.name not in want
            if dependency.name in numbers:
                assert numbers[dependency.name].number in action.after
    assert all(isinstance(d, Dependency) for w in want.values() for d in w.depends_on)
