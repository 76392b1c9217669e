"""
Short ways to say a desired and an observed deployment in a test.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.model.desired import Dependency, Desired, FleetPolicy, Recipe, Source
from reconciler.model.observed import Observed, RunPhase

FLEET = FleetPolicy(name="prod")
NOW = 1_000_000.0


def desired(name: str = "mailer", digest: str = "1:a", **facts: Any) -> Desired:
    source = Source(f"{name}.yaml", 1)
    spec = {"config": {"workers": 10 if digest == "1:a" else 25}}
    if "depends_on" in facts:
        facts["depends_on"] = tuple(
            Dependency(*d) if isinstance(d, tuple) else Dependency(d) for d in facts["depends_on"]
        )
    return replace(Desired(name, "worker", digest, source, spec, Recipe(argv=("true",)), settings="s"), **facts)


def observed(name: str = "mailer", phase: RunPhase = RunPhase.RUNNING, digest: str = "1:a", **facts: Any) -> Observed:
    spec = {"config": {"workers": 10 if digest == "1:a" else 25}, **facts.pop("spec", {})}
    seen = Observed(
        name, f"{name}-00000001", "prod", digest, 1, phase, attempt=1, started_at=NOW - 60, spec=spec, settings="s"
    )
    return replace(seen, **facts)


def ended(name: str = "mailer", code: int = 0, **facts: Any) -> Observed:
    facts = {
        "exit_code": code, "exit_text": f"exit code {code}", "succeeded": code == 0, "recorded": True,
        "ended_at": NOW - 30, "failures": int(code != 0), **facts,
    }  # fmt: skip
    return observed(name, RunPhase.ENDED, **facts)
