"""
What a model is told: who it is, the goal, what failed, what people said. Words only; `automode` decides when.
"""

from __future__ import annotations

from haymaker_goal_agent.words import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

SYSTEM = """\
You are an autonomous agent. You pursue one goal in the working directory, unattended: nobody answers questions, so \
decide for yourself and go on. Work with your tools; what you only describe is not done. Keep within the goal's \
constraints. When you believe that the goal is met, end your turn with one short sentence.
Whether it is met is decided by checks that run after you, not by what you say. Mend the work, never the checks.
The folder .agent and the files agent.log, events.jsonl, transcript.jsonl and result.json are not yours to touch."""

_LEARN = """\

To keep a fact for later runs of this agent, append it as one line to the file learned.md in the working directory."""


def system(memory: bool) -> str:
    return SYSTEM + (_LEARN if memory else "")


def first(
    plan: Mapping[str, Any], goal: str, skills: Sequence[str], recalled: str, told: Sequence[str], failed: str
) -> str:
    """Give the prompt that a new session begins with; `goal` is prompt.md, verbatim."""
    phases = "".join(f"{n}. {p['name']}: {one_line(p['description'])}\n" for n, p in enumerate(plan["phases"], 1))
    checks = "".join(f"- {one_line(c['text'])}\n" for c in plan["criteria"] if c["check"] is not None)
    parts = [
        goal.strip(),
        f"---\nA plan to follow where it helps:\n{phases}",
        f"When you end your turn, machine checks decide these criteria:\n{checks}" if checks else "",
        "Advice for this kind of work is in these files; read what fits:\n" + "".join(f"- {s}\n" for s in skills)
        if skills
        else "",
        f"From earlier runs of this agent:\n{recalled}" if recalled else "",
        f"An earlier attempt in this working directory left these checks failing:\n{failed}" if failed else "",
        _told(told),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def again(failed: str, told: Sequence[str]) -> str:
    """Give the prompt of a further attempt in the same session."""
    parts = [
        f"The goal is not met yet. These checks failed:\n\n{failed}\nFind out why, mend it, and end your turn."
        if failed
        else "Go on.",
        _told(told),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def resumed(told: Sequence[str]) -> str:
    """Give the prompt that a session goes on with after the agent was stopped and started again."""
    start = (
        "You were interrupted and started again in the same working directory. Look at what is there, then go on "
        "until the goal is met. The same checks decide."
    )
    return "\n\n".join(part.strip() for part in (start, _told(told)) if part) + "\n"


def _told(told: Sequence[str]) -> str:
    return "The people you work for say:\n" + "".join(f"- {text}\n" for text in told) if told else ""
