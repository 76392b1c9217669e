"""
Golden cases: a folder of manifests and an observed world give exactly this plan.

Each folder beside this file is one behaviour, named as a sentence. `observed.yaml` maps names to facts of an
Observed; the digest `same` stands for "as the manifest has it". `make golden` rewrites plan.txt; review the diff as
a change of behaviour.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from reconciler.load import load
from reconciler.model.observed import Observed, RunPhase
from reconciler.plan import make_plan
from reconciler.removals import Removals
from reconciler.report import plan_text, problem_text

HERE = Path(__file__).parent
CASES = sorted(p.name for p in HERE.iterdir() if (p / "manifests").is_dir())
NOW = 1_000_000.0


def world(case: Path, desired):
    path = case / "observed.yaml"
    seen = {}
    for name, facts in (yaml.safe_load(path.read_text()) if path.exists() else {}).items():
        want = desired.get(name) or desired.get(facts.pop("like", ""))
        facts = {"digest": "same", "phase": "running", "fleet": "default", "generation": 1, "attempt": 1, **facts}
        made = Observed(name, f"{name}-0000000a", facts["fleet"], facts["digest"], facts["generation"])
        if facts["digest"] == "same":
            facts["digest"] = want.digest
        if want is not None:
            facts["spec"] = {**want.spec, **facts.get("spec", {})}
            made = replace(made, settings=want.settings, labels=want.labels, service=want.service)
        for ago in ("ended_at", "started_at"):
            if ago in facts:
                facts[ago] = NOW - facts[ago]
        if "kept" in facts:  # what differs from the manifest in the digest that can be gone back to
            kept = facts.pop("kept")
            facts["kept"] = replace(want, digest=kept["digest"], spec={**want.spec, **kept["spec"]})
            facts["held"] = want.digest if facts.get("held") == "same" else ""
        seen[name] = replace(made, **{**facts, "phase": RunPhase(facts["phase"])})
    return seen


@pytest.mark.parametrize("name", CASES)
def test_the_plan_is_exactly_this(name):
    case = HERE / name
    loaded = load(case / "manifests", home=None)
    refusal = "" if loaded.fleet.prune and loaded.complete else "prune is off"
    if not loaded.complete:
        refusal = "a manifest is wrong or cannot be read, and may be the one that declares it"
    broken = dict.fromkeys(loaded.broken_names, "its manifest is wrong, and no good one was ever applied")
    seen = world(case, loaded.desired)
    plan = make_plan(
        loaded.desired, seen, policy=loaded.fleet, now=NOW, removals=Removals(refusal=refusal),
        broken={n: why for n, why in broken.items() if n not in seen},
    )  # fmt: skip
    lines = [problem_text(p).replace(f"{case}/", "") for p in loaded.problems]
    text = "\n".join([*lines, plan_text(plan, unchanged=True)]) + "\n"
    golden = case / "plan.txt"
    if os.environ.get("GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_there_are_cases():
    assert len(CASES) >= 10
