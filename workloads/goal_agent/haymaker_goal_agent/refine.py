"""
A model's hand in analysis and plan, where `plan_with_model` asks for it.

The model sees the goal and the plan that was made without it, and may better both in the form of plan.json. What it
says is checked field by field; goal, constraints, criteria and the last phase, which verifies, stay the author's. The
result is recorded in plan.json: it can be reviewed, and the same goal is planned the same way again without asking.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from haymaker_goal_agent.models import COMPLEXITIES, DOMAINS, ExecutionPlan, PlanPhase, Refinement
from haymaker_goal_agent.packager import phase_record
from haymaker_goal_agent.planner import required_skills

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from agent_haymaker.llm import LLMMessage, LLMResponse

    class PlanningModel(Protocol):
        """What is asked of a model; every client of `agent_haymaker.llm` is one."""

        def create_message(
            self,
            messages: Sequence[LLMMessage],
            system: str | None = None,
            max_tokens: int = 1024,
            temperature: float | None = 0.7,
        ) -> LLMResponse: ...


_TRIES = 2
_ANSWER_TOKENS = 4096
_FEWEST, _MOST = 2, 4  # working phases; the one that verifies comes behind them
_LONGEST_SECONDS = 7 * 86400.0
_LONGEST_TEXT = 1000

_SYSTEM = f"""\
You plan the work of an autonomous agent. You get its goal and a first plan. Answer with one JSON object, nothing else:
{{"domain": ..., "complexity": ..., "phases": [...], "risk_factors": [...]}}
domain is one of {", ".join(DOMAINS)}; complexity is one of {", ".join(COMPLEXITIES)}.
phases holds {_FEWEST} to {_MOST} objects in the order of work, each with
  "name": a few words, no two the same
  "description": what is done in it, in one or two sentences
  "required_capabilities": a list of short words such as shell, python, network, data-analysis, reporting
  "dependencies": the names of earlier phases it waits for
  "parallel_safe": true if it may run beside phases that it does not wait for
  "estimated_seconds": a number
  "success_indicators": a list of what can be seen when it went well
risk_factors is a list of sentences about what could go wrong or do harm.
Leave out a phase that only verifies: machine checks of the success criteria follow the last one anyway.
Change what can be better, keep what is good, and stay within the goal's constraints."""


class PlanRefiner:
    """Has a model refine plans."""

    def __init__(self, client: PlanningModel) -> None:
        self._client = client
        self.made: Refinement | None = None  # what was asked and used so far, also where it came to nothing

    def refine(self, plan: ExecutionPlan) -> ExecutionPlan:
        """
        Give the refined plan. Where the model says nothing that holds, the plan stays, and tells why.

        Raises:
            LLMError: the model cannot be asked.
        """
        from agent_haymaker.llm import LLMError, LLMMessage

        question = json.dumps({"goal": plan.goal.raw_prompt, "plan": _draft(plan)}, ensure_ascii=False, indent=1)
        messages = [LLMMessage("user", question)]
        wrong = ""
        made = Refinement(_fingerprint(plan), "")
        for _ in range(_TRIES):
            try:
                answer = self._client.create_message(messages, _SYSTEM, _ANSWER_TOKENS, 0.0)
            except LLMError as error:
                self.made = _added(made, made.model, error.usage)  # an answer that cannot be used costs too
                raise
            self.made = made = _added(made, answer.model, answer.usage)
            try:
                refined = _refined(plan, _object_in(answer.content))
            except ValueError as error:
                wrong = str(error)
                messages += [
                    answer.as_message(),
                    LLMMessage("user", f"That does not hold: {wrong}. Answer again, with the whole JSON object."),
                ]
            else:
                return replace(refined, refinement=made)
        return replace(plan, refinement=replace(made, rejected=wrong))


def _added(made: Refinement, model: str, used: Mapping[str, int]) -> Refinement:
    usage = {kind: made.usage.get(kind, 0) + used.get(kind, 0) for kind in {**made.usage, **used}}
    return replace(made, model=model, usage=usage)


def recorded_refinement(plan: ExecutionPlan, record: Mapping[str, Any]) -> ExecutionPlan | None:
    """Give the plan that a plan.json of before holds for this very goal; None where it has none, or was damaged."""
    try:
        made = Refinement(**record["refinement"])
        if made.goal_sha256 != _fingerprint(plan):
            return None
        if made.rejected:
            return replace(plan, refinement=made)
        return replace(_refined(plan, {**record, "phases": record["phases"][:-1]}), refinement=made)
    except (KeyError, TypeError, ValueError):
        return None


def _fingerprint(plan: ExecutionPlan) -> str:
    return hashlib.sha256(plan.goal.raw_prompt.encode()).hexdigest()


def _draft(plan: ExecutionPlan) -> dict[str, Any]:
    phases = [
        {key: value for key, value in phase_record(phase).items() if key != "steps"} for phase in plan.phases[:-1]
    ]
    return {
        "domain": plan.goal.domain,
        "complexity": plan.goal.complexity,
        "phases": phases,
        "risk_factors": list(plan.risk_factors),
    }


def _object_in(text: str) -> dict[str, Any]:
    """Find the JSON object of an answer; models like to put a fence or a word around it."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def _refined(plan: ExecutionPlan, said: Mapping[str, Any]) -> ExecutionPlan:
    """Give the plan as the model says it. Raises ValueError with the first thing that does not hold."""
    goal = replace(
        plan.goal, domain=_one_of(said, "domain", DOMAINS), complexity=_one_of(said, "complexity", COMPLEXITIES)
    )
    listed = said.get("phases")
    if not isinstance(listed, list) or not _FEWEST <= len(listed) <= _MOST:
        raise ValueError(f"phases must be a list of {_FEWEST} to {_MOST}")
    phases: list[PlanPhase] = []
    for item in listed:
        phases.append(_phase(item, {phase.name for phase in phases}))
    verify = plan.phases[-1]
    if any(phase.name == verify.name for phase in phases):
        raise ValueError(f"the name {verify.name} is taken by the phase that verifies")
    whole = (*phases, replace(verify, dependencies=(phases[-1].name,)))
    return ExecutionPlan(
        goal=goal,
        phases=whole,
        required_skills=required_skills(whole),
        risk_factors=_texts(said, "risk_factors"),
        total_estimated_duration=sum(phase.estimated_duration for phase in whole),
    )


def _phase(said: object, before: set[str]) -> PlanPhase:
    if not isinstance(said, dict):
        raise ValueError("each phase must be an object")
    name = _text(said, "name")
    if name in before:
        raise ValueError(f"there are two phases named {name}")
    waits_for = _texts(said, "dependencies")
    if unknown := [other for other in waits_for if other not in before]:
        raise ValueError(f"{name} depends on {unknown[0]}, which is no earlier phase")
    seconds = said.get("estimated_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_SECONDS:
        raise ValueError(f"estimated_seconds of {name} must be a number from 0 to {_LONGEST_SECONDS:g}")
    return PlanPhase(
        name=name,
        description=_text(said, "description"),
        required_capabilities=_texts(said, "required_capabilities"),
        dependencies=waits_for,
        parallel_safe=said.get("parallel_safe") is True,
        estimated_duration=float(math.ceil(seconds)),
        success_indicators=_texts(said, "success_indicators"),
    )


def _one_of(said: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    if said.get(key) not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)}")
    return str(said[key])


def _text(said: Mapping[str, Any], key: str) -> str:
    return _plain(said.get(key), key)


def _texts(said: Mapping[str, Any], key: str) -> tuple[str, ...]:
    listed = said.get(key, [])
    if not isinstance(listed, list):
        raise ValueError(f"{key} must be a list of texts")
    return tuple(_plain(item, key) for item in listed)


def _plain(text: object, key: str) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST_TEXT:
        raise ValueError(f"{key} must hold texts of 1 to {_LONGEST_TEXT} characters")
    return text.strip()
