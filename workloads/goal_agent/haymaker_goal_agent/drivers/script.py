"""
sdk `script`: the embedded default, which needs no model and no key.

Runs the plan's steps in order, phase by phase, and stops at the first that fails. It keeps no session: each attempt
begins with the first step. It refuses to judge whether the goal is met: the success criteria do.
"""

from __future__ import annotations

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.commands import NO_STEPS_FIX, argv_of, is_on_path
from haymaker_goal_agent.drivers.protocol import Ended, Phase, Step, Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from typing import Any

    from agent_haymaker.goals.place import Place
    from haymaker_goal_agent.children import Children
    from haymaker_goal_agent.drivers.protocol import Event, Task


class ScriptDriver:
    """Carries out a plan by running its steps."""

    name = "script"

    def __init__(self, plan: Mapping[str, Any], children: Children, env: Mapping[str, str], place: Place) -> None:
        self._place = place
        self._phases = plan["phases"]
        self._criteria = plan["criteria"]
        self._children = children
        self._env = env
        self._total = sum(len(phase["steps"]) for phase in self._phases)

    def prepare(self) -> None:
        """
        Make sure that every step and check can be run before any is.

        Raises:
            ManifestError: there is no step, or no program for one.
        """
        if not self._total:
            raise ManifestError(
                "the goal has no step that sdk `script` can run", where=str(self._place), fix=NO_STEPS_FIX
            )
        steps = [step for phase in self._phases for step in phase["steps"]]
        for part in [*steps, *(c["check"] for c in self._criteria if c["check"])]:
            program = part["language"]
            if program != "python" and not is_on_path(program):
                raise ManifestError(
                    f"this {program} block cannot be run: there is no {program} on PATH",
                    where=self._place.at(part["line"]),
                    fix=f"install {program}, or write the block in another language",
                )

    def attempt(self, task: Task) -> Iterator[Event]:
        """Run the steps, those of a phase after those of the phase before it. An attempt is one turn."""
        yield Turn()
        env = {**self._env, **task.environment}
        done = 0
        for number, phase in enumerate(self._phases, 1):
            if not phase["steps"]:
                continue
            yield Phase(number, phase["name"], "started")
            for step in phase["steps"]:
                failure = yield from self._step(done + 1, step, env)
                if failure:
                    yield Phase(number, phase["name"], "failed")
                    yield Ended("interrupted" if self._children.is_stopping() else "failed", failure)
                    return
                done += 1
            yield Phase(number, phase["name"], "done")
        yield Ended()

    def interrupt(self) -> None:
        """Nothing of a script's is under way between two of its events."""

    def _step(self, number: int, step: Mapping[str, Any], env: Mapping[str, str]) -> Generator[Event, None, str]:
        """Run one step; return why the work cannot go on, "" when it can."""
        language, line = step["language"], step["line"]
        label = f"step {number} of {self._total}"
        place = self._place.at(line)
        if self._children.is_stopping():
            return f"stopped before {label} ({place})"

        def told(state: str, outcome: str = "", **facts: Any) -> Step:
            return Step(number, self._total, step["title"], language, line, place, state, facts, outcome)

        yield told("started")
        try:
            ended = self._children.run(argv_of(language, step["code"], line, self._place), env, step["timeout_seconds"])
        except OSError as error:
            yield told("failed", error=str(error.strerror))
            return f"{label} ({place}) could not be started: {error.strerror}"
        facts: dict[str, Any] = {"exit_code": ended.code, "seconds": round(ended.seconds, 3)}
        if self._children.is_stopping():
            yield told("stopped", **facts)
            return f"stopped in {label} ({place})"
        if not ended.is_success:
            yield told("failed", str(ended), **facts)
            return f"{label} failed at {place}, {ended}: {step['title']}"
        yield told("done", f"done in {ended.seconds:.1f} s", **facts)
        return ""
