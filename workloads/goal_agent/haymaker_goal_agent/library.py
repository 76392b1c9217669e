"""
The skills that come with the goal agent.

A skill is a short page of advice in the open SKILL.md format; an SDK that has a model behind it reads them. They
are kept here as text, so that making an agent directory opens no file.
"""

from __future__ import annotations

from haymaker_goal_agent.models import SkillDefinition


def _skill(name: str, description: str, *advice: str) -> SkillDefinition:
    title = name.replace("-", " ").capitalize()
    body = "\n".join(f"- {line}" for line in advice)
    content = f"---\nname: {name}\ndescription: {description}\n---\n\n# {title}\n\n{body}\n"
    return SkillDefinition(name, description, content)


LIBRARY: tuple[SkillDefinition, ...] = (
    _skill(
        "data-analysis",
        "Read data files, aggregate them and state findings that the numbers carry.",
        "Look at the first lines and count the records before writing any code.",
        "Say how many records were read, how many were left out, and why.",
        "Prefer medians and percentiles over means where a few values dominate.",
        "Recompute one total in a second way before reporting it.",
    ),
    _skill(
        "python-steps",
        "Write small Python programs that run unattended.",
        "Use the standard library where it will do.",
        "Open files with an explicit encoding and write results under output/.",
        "Let an unexpected value raise: a step that ends with exit code 0 claims success.",
    ),
    _skill(
        "report-writing",
        "Write a report that a busy reader can act on.",
        "Begin with the findings, most important first; the tables that prove them follow.",
        "Give every number its unit and the period it covers.",
        "Name the source of the data and what was not looked at.",
    ),
    _skill(
        "security-review",
        "Examine logs, code or settings for weaknesses without doing harm.",
        "Read only; never try what looks exploitable.",
        "Never copy a secret into a report: name where it stands.",
        "Rank by what could happen and how likely it is, and say what would fix it.",
    ),
    _skill(
        "shell-steps",
        "Write shell commands that are safe to run unattended.",
        "Quote every expansion; names may hold spaces.",
        "Work inside the workspace; write elsewhere only where the goal says so.",
        "Make a command safe to run twice: mkdir -p, mv of a finished draft.",
    ),
    _skill(
        "verification",
        "Prove that the goal is met by looking at the result, never by trusting the work.",
        "Run every machine check of the success criteria and keep its output.",
        "A criterion without a check is not checked; never call it met.",
        "When a check fails, mend the result and not the check.",
    ),
)
