"""
One attempt after another: what is asked of the driver, and what came of it.

The first attempt of a session is given the goal; each further one what failed, with its output, and what people said
in between. `script` is given the same as files. It refuses to say whether the goal is met, and when to end.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from agent_haymaker.records import write_record
from haymaker_goal_agent import prompts
from haymaker_goal_agent.drivers.protocol import Ended, Failed, Session, Task, Used
from haymaker_goal_agent.inbox import Inbox
from haymaker_goal_agent.journal import FOLDER
from haymaker_goal_agent.verify import feedback
from haymaker_goal_agent.words import count, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from haymaker_goal_agent.budget import Budget
    from haymaker_goal_agent.drivers.protocol import Driver
    from haymaker_goal_agent.journal import Journal
    from haymaker_goal_agent.recorder import Recorder
    from haymaker_goal_agent.session import Sessions
    from haymaker_goal_agent.settings import Settings

NOT_MET, MISCONFIGURED, FAILED = 1, 2, 4
FAILED_CHECKS, INSTRUCTIONS, RECALLED = (
    f"{FOLDER}/{name}.md" for name in ("failed-checks", "instructions", "recalled")
)


class Outcome(NamedTuple):
    """How an attempt ended: done, failed (a step), cut (a cap was reached), broken (the SDK or provider failed)."""

    how: str
    reason: str = ""
    code: int = NOT_MET


class Attempts:
    """The attempts of one run."""

    def __init__(
        self, workspace: Path, plan: Mapping[str, Any], settings: Settings, budget: Budget, journal: Journal,
        recorder: Recorder,
    ) -> None:  # fmt: skip
        self._workspace = workspace
        self._plan = plan
        self._settings = settings
        self._budget = budget
        self._journal = journal
        self._recorder = recorder
        self._inbox = Inbox(workspace)
        self._sessions: Sessions | None = None
        if settings.has_model:
            from haymaker_goal_agent import session

            self._sessions = session.Sessions(workspace, settings.sdk)

        self._recalled = ""
        if settings.enable_memory:
            from haymaker_goal_agent import remembering

            goal = f"{plan['title']} {plan['goal']}"
            self._recalled = remembering.recalled(workspace, os.environ, goal)
            known = self._recalled.count("\n")
            journal.event("memory", recalled=known)
            journal.say(f"Memory: {count(known, 'thing')} recalled")

    @property
    def session_id(self) -> str:
        return self._sessions.now.id if self._sessions is not None else ""

    def has_instructions(self) -> bool:
        """Whether somebody told the agent something that it does not know yet."""
        return not self._inbox.is_empty()

    def execute(self, driver: Driver, number: int, failed: Sequence[Mapping[str, Any]], reason: str) -> Outcome:
        """
        Have the driver carry out one prompt; write down what happens.

        `failed` and `reason` are what the attempt before did not achieve.

        Raises:
            OSError, HaymakerError: the workspace cannot be written to.
        """
        for name, text in self._inbox.take():
            self._journal.event("told", id=name)
            self._journal.say(f"Told: {one_line(text)}")
        task = self._task(number, self._journal.masked(feedback(failed, reason)))
        if number > 1 or self._budget.max_turns > 1:
            self._journal.say("", f"Attempt {number}" + ("" if self._sessions else f" of {self._budget.max_turns}"))
            self._journal.event("attempt", number=number, failed=[check["criterion"] for check in failed])
        self._recorder.begin()
        last: Ended | Failed = Ended("interrupted")
        cut = ""
        for event in driver.attempt(task):
            self._recorder.note(event)
            self._keep(event)
            if isinstance(event, Session):
                self._journal.converse("user", text=task.prompt if event.resumed else task.opening)
            if isinstance(event, Ended | Failed):
                last = event
            elif not cut and (cut := self._budget.spent()):
                driver.interrupt()
        return _outcome(last, cut)

    def conclude(self, verdict: str, reason: str) -> None:
        """
        Put away what the next run has to know.

        Raises:
            OSError, HaymakerError: the workspace cannot be written to.
        """
        if self._sessions is not None and self._sessions.now.id:
            self._sessions.update(is_done=verdict == "met")
        if self._settings.enable_memory:
            from haymaker_goal_agent import remembering

            outcome = f"{verdict}: {one_line(reason)}" if reason else verdict
            new = remembering.remember(self._workspace, os.environ, outcome, self._journal.masked)
            self._journal.event("memory", learned=new)

    def _task(self, number: int, failed: str) -> Task:
        if self._sessions is None:
            told = [text for _, text in self._inbox.told()]
            instructions = "".join(f"{text}\n" for text in told)
            files = {FAILED_CHECKS: failed, INSTRUCTIONS: instructions, RECALLED: self._recalled}
            for name, text in files.items():
                write_record(self._workspace / name, text, durable=False)
            paths = (str(self._workspace / name) for name in files)
            names = ("HAYMAKER_FAILED_CHECKS", "HAYMAKER_INSTRUCTIONS", "HAYMAKER_RECALLED")
            return Task(environment={"HAYMAKER_ATTEMPT": str(number), **dict(zip(names, paths, strict=True))})
        known = self._sessions.now
        goal = (self._workspace / "prompt.md").read_text(encoding="utf-8", errors="replace")
        skills = sorted(str(p.relative_to(self._workspace)) for p in self._workspace.glob("skills/*/SKILL.md"))
        everything = [text for _, text in self._inbox.told()]
        told = [text for _, text in self._inbox.told(after=known.told)]
        return Task(
            prompts.again(failed, told) if number > 1 else prompts.resumed(told),
            prompts.first(self._plan, goal, skills, self._recalled, everything, failed),
            system=prompts.system(self._settings.enable_memory),
            model=self._settings.model,
            session=known.id,
            session_cost_usd=known.cost_usd,
            turns=self._budget.turns_left(),
            tokens=self._budget.tokens_left(),
            cost_usd=self._budget.cost_left(),
            tools=[tool["name"] for tool in self._plan["tools"]],
            seconds=self._budget.seconds_left(),
            folder=FOLDER,
        )

    def _keep(self, event: object) -> None:
        """Keep what a later attempt, perhaps of a later run, needs to go on with this session."""
        if self._sessions is None:
            return
        if isinstance(event, Session):
            told = [name for name, _ in self._inbox.told()]
            facts = {"id": event.id, "told": told[-1] if told else ""}
            self._sessions.update(**facts, **({} if event.resumed else {"cost_usd": 0.0}))
        elif isinstance(event, Used) and event.cost_usd:
            self._sessions.update(cost_usd=self._sessions.now.cost_usd + event.cost_usd)


def _outcome(last: Ended | Failed, cut: str) -> Outcome:
    if isinstance(last, Failed):
        fix = f" ({last.fix})" if last.fix else ""
        return Outcome("broken", f"{last.what}{fix}", MISCONFIGURED if last.setup else FAILED)
    if last.how == "failed":
        return Outcome("failed", last.text)
    if last.how == "turns" or cut:
        return Outcome("cut", "")
    if last.how == "interrupted":
        return Outcome("cut", last.text or "stopped while the agent worked")
    return Outcome("done")
