"""
sdk `script`: the embedded default, which needs no model and no key.

Runs the plan's steps in order, phase by phase, and stops at the first that fails. It refuses to judge whether the
goal is met: the success criteria do.
"""

from __future__ import annotations

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.commands import NO_STEPS_FIX, argv_of, is_on_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from haymaker_goal_agent.children import Children
    from haymaker_goal_agent.journal import Journal


class ScriptDriver:
    """Carries out a plan by running its steps."""

    name = "script"

    def __init__(self, plan: Mapping[str, Any], children: Children, journal: Journal, env: Mapping[str, str]) -> None:
        self._phases = plan["phases"]
        self._criteria = plan["criteria"]
        self._children = children
        self._journal = journal
        self._env = env
        self.total = sum(len(phase["steps"]) for phase in self._phases)
        self.done = 0

    def prepare(self) -> None:
        """
        Make sure that every step and check can be run before any is.

        Raises:
            ManifestError: there is no step, or no program for one.
        """
        if not self.total:
            raise ManifestError("the goal has no step that sdk `script` can run", where="prompt.md", fix=NO_STEPS_FIX)
        steps = [step for phase in self._phases for step in phase["steps"]]
        for part in [*steps, *(c["check"] for c in self._criteria if c["check"])]:
            program = part["language"]
            if program != "python" and not is_on_path(program):
                raise ManifestError(
                    f"this {program} block cannot be run: there is no {program} on PATH",
                    where=f"prompt.md:{part['line']}",
                    fix=f"install {program}, or write the block in another language",
                )

    def execute(self) -> str:
        """
        Run the steps; give why the work could not be finished, "" when it was.

        Raises:
            OSError: events cannot be written.
        """
        for number, phase in enumerate(self._phases, 1):
            if not phase["steps"]:
                continue
            self._journal.say("", f"Phase {number}/{len(self._phases)}: {phase['name']}")
            self._journal.event("phase", number=number, name=phase["name"], state="started")
            for step in phase["steps"]:
                if failure := self._step(step):
                    self._journal.event("phase", number=number, name=phase["name"], state="failed")
                    return failure
            self._journal.event("phase", number=number, name=phase["name"], state="done")
        return ""

    def _step(self, step: Mapping[str, Any]) -> str:
        number, language, line = self.done + 1, step["language"], step["line"]
        label = f"step {number} of {self.total}"
        place = f"prompt.md:{line}"
        if self._children.is_stopping():
            return f"stopped before {label} ({place})"
        facts = {"number": number, "total": self.total, "title": step["title"], "language": language, "line": line}
        self._journal.say(f"-- {label}: {step['title']} ({language}, {place})")
        self._journal.event("step", state="started", **facts)
        self._journal.is_unsure = True
        try:
            ended = self._children.run(argv_of(language, step["code"], line), self._env, step["timeout_seconds"])
        except OSError as error:
            self._journal.event("step", state="failed", error=str(error.strerror), **facts)
            return f"{label} ({place}) could not be started: {error.strerror}"
        has_worked = ended.is_success and not self._children.is_stopping()
        state = "done" if has_worked else "stopped" if self._children.is_stopping() else "failed"
        self._journal.event("step", state=state, exit_code=ended.code, seconds=round(ended.seconds, 3), **facts)
        if self._children.is_stopping():
            return f"stopped in {label} ({place})"
        if not has_worked:
            self._journal.say(f"   {ended}")
            return f"{label} failed at {place}, {ended}: {step['title']}"
        self.done += 1
        self._journal.say(f"   done in {ended.seconds:.1f} s")
        return ""
