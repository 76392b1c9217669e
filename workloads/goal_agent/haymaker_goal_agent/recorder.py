"""
What a driver tells becomes lines: in the log for people, in events.jsonl as the heartbeat, in the transcript.

It counts too: turns and usage against the budget, and whether anything new was done, since a tool called again with
the same arguments is no progress. It refuses to decide what follows from any of it.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from haymaker_goal_agent.drivers.protocol import (
    Called,
    Ended,
    Failed,
    Note,
    Phase,
    Returned,
    Said,
    Session,
    Step,
    Turn,
    Used,
)
from haymaker_goal_agent.words import count, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from haymaker_goal_agent.budget import Budget
    from haymaker_goal_agent.drivers.protocol import Event
    from haymaker_goal_agent.journal import Journal

SHOWN = 200
"""So many characters of arguments and output are in the log and the events; the transcript has them whole."""


class _Call(NamedTuple):
    tool: str
    began: float
    is_new: bool


class Recorder:
    """Writes down one run. `new_calls` counts the tool calls of this attempt that were not made before."""

    def __init__(self, journal: Journal, budget: Budget, phases: int) -> None:
        self._journal = journal
        self._budget = budget
        self._phases = phases
        self._seen: set[tuple[str, str]] = set()
        self._under_way: dict[str, _Call] = {}
        self.calls = 0
        self.new_calls = 0
        self.steps_done = 0

    def begin(self) -> None:
        """A new attempt begins."""
        self.new_calls = self.steps_done = 0
        self._under_way.clear()

    def note(self, event: Event) -> None:
        """
        Write one event down.

        Raises:
            OSError: the disk refuses.
        """
        match event:
            case Note():
                self._journal.event("note", text=event.text)
                self._journal.say(f"Note: {event.text}")
            case Session():
                self._session(event)
            case Phase():
                self.phase(event)
            case Step():
                self._step(event)
            case Turn():
                self._budget.turns += 1
                self._journal.event("turn", number=self._budget.turns, of=self._budget.max_turns, progress=False)
            case Said():
                self._journal.converse("agent", text=event.text)
                self._journal.say(event.text.strip())
            case Called():
                self._called(event)
            case Returned():
                self._returned(event)
            case Used():
                self._used(event)
            case Ended() | Failed():
                pass  # what follows from these is for AutoMode to say

    def phase(self, phase: Phase) -> None:
        if phase.state == "started":
            self._journal.say("", f"Phase {phase.number}/{self._phases}: {phase.name}")
        self._journal.event("phase", number=phase.number, name=phase.name, state=phase.state)

    def _session(self, session: Session) -> None:
        facts = {"model": session.model} if session.model else {}
        self._journal.event("session", id=session.id, resumed=session.resumed, **facts)
        how = "resumed" if session.resumed else "new"
        self._journal.say(f"Session {session.id} ({how}{', ' + session.model if session.model else ''})")

    def _step(self, step: Step) -> None:
        facts = {"title": step.title, "language": step.language, "line": step.line, **step.facts}
        if step.state == "started":
            label = f"step {step.number} of {step.total}"
            self._journal.say(f"-- {label}: {step.title} ({step.language}, {step.place})")
            self._journal.is_unsure = True
        elif step.outcome:
            self._journal.say(f"   {step.outcome}")
        self.steps_done += step.state == "done"
        self._journal.event("step", number=step.number, total=step.total, state=step.state, **facts)

    def _called(self, call: Called) -> None:
        shown = json.dumps(call.arguments, ensure_ascii=False, sort_keys=True, default=str)
        is_new = (call.tool, shown) not in self._seen
        self._seen.add((call.tool, shown))
        self.calls += 1
        self.new_calls += is_new
        self._under_way[call.id] = _Call(call.tool, time.monotonic(), is_new)
        facts = {"arguments": shortened(shown, SHOWN), "progress": is_new}
        self._journal.event("tool", id=call.id, name=call.tool, state="started", **facts)
        self._journal.converse("tool call", id=call.id, tool=call.tool, arguments=dict(call.arguments))
        again = "" if is_new else " (again)"
        self._journal.say(f"-> {call.tool} {shortened(shown, SHOWN)}{again}")

    def _returned(self, returned: Returned) -> None:
        call = self._under_way.pop(returned.id, None)
        state = "done" if returned.ok else "failed"
        facts = {"seconds": round(time.monotonic() - call.began, 3), "progress": call.is_new} if call else {}
        self._journal.event("tool", id=returned.id, name=call.tool if call else "", state=state, **facts)
        self._journal.converse("tool result", id=returned.id, ok=returned.ok, output=returned.output)
        self._journal.say(f"   {'' if returned.ok else 'failed: '}{shortened(returned.output, SHOWN) or 'no output'}")

    def planned(self, used: Used) -> None:
        """Write down what the model used that was asked for the plan."""
        self._budget.add_planning(used)
        self._tell_usage(used)

    def _used(self, used: Used) -> None:
        self._budget.add(used)
        self._tell_usage(used)

    def _tell_usage(self, used: Used) -> None:
        budget = self._budget
        self._journal.event(
            "usage",
            model=used.model or None,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cached_tokens=used.cached_tokens,
            progress=False,
            total={**budget.usage(), "cost_usd": budget.cost_usd, "turns": budget.turns},
            **({"ending": True} if budget.spent() else {}),  # so that whoever reads it lets it end by itself
        )

    def summary(self) -> str:
        """Say what the run has used, "" where no model was."""
        budget = self._budget
        if not budget.input_tokens and not budget.output_tokens:
            return ""
        cost = "cost unknown" if budget.cost_usd is None else f"${budget.cost_usd:.4f}"
        return (
            f"Used {count(budget.turns, 'turn')}, {budget.input_tokens} tokens in, {budget.output_tokens} out, {cost}"
        )
