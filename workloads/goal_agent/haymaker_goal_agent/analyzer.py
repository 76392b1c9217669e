"""
Stage one: what a goal asks, read from its markdown.

The language of goals is `agent_haymaker.goals`; here the goal gets its domain and its complexity. It refuses to know
how the goal will be pursued.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.markdown import decode
from agent_haymaker.goals.place import AT_COPY, Place
from agent_haymaker.goals.reading import first_line, read_goal
from agent_haymaker.records import read_regular
from haymaker_goal_agent.domains import domain_of
from haymaker_goal_agent.models import GoalDefinition

_CODE = re.compile(r"(`+).+?\1", re.DOTALL)
"""Code in the text; every check begins with `test`, and that makes no goal one of testing."""


class PromptAnalyzer:
    """Reads a goal. Deterministic: the same bytes give the same definition."""

    def analyze(self, path: str | os.PathLike[str], *, place: Place | None = None) -> GoalDefinition:
        """
        Read a goal file; errors name its place, by default the path as it was given.

        Raises:
            ManifestError: there is no such file, it is not UTF-8, it asks nothing, or a fenced block is wrong.
        """
        place = place or Place(os.fspath(path))
        try:
            content = read_regular(Path(path))
        except OSError as error:
            raise ManifestError(
                f"the goal cannot be read: {error.strerror}", where=place.file, fix="give a readable markdown file"
            ) from error
        return self.analyze_text(decode(content, place), place=place)

    def analyze_text(self, text: str, *, place: Place = AT_COPY) -> GoalDefinition:
        """Read a goal that is at hand already; errors name its place. Raises as `analyze` does."""
        reading = read_goal(text, place)
        document = reading.document
        goal = reading.goal()
        steps = reading.steps()
        criteria = reading.criteria()
        constraints = reading.constraints()
        prose = "\n".join(_CODE.sub("", block.text) for block in document.blocks if block.kind != "fence")
        return GoalDefinition(
            goal=goal,
            domain=domain_of(document.title, goal, prose),
            constraints=constraints,
            success_criteria=tuple(criterion.text for criterion in criteria),
            context=reading.context(),
            complexity=_complexity(len(steps), len(criteria) + len(constraints), len(goal.split())),
            raw_prompt=text,
            title=document.title or first_line(goal),
            criteria=criteria,
            steps=steps,
            notes=tuple(reading.notes),
        )


def _complexity(steps: int, demands: int, words: int) -> str:
    weight = steps + demands / 2 + words / 60
    return "simple" if weight < 5 else "moderate" if weight < 12 else "complex"
