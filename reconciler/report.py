"""
Plans and outcomes as text, JSON and markdown. Pure: it is given everything and prints nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import dataclass
from reconciler.model.finding import Verdict
from reconciler.model.outcome import OutcomeStatus
from reconciler.model.plan import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.load import Problem
    from reconciler.model.finding import LeftAlone
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Action, Plan
    from reconciler.stakes import Stake

SCHEMA_VERSION = 1

_SYMBOLS = {
    "create": "+",
    "replace": "-/+",
    "revert": "-/+",
    "delete": "-",
    "blocked": "!",
    "waiting": "=",
    "unchanged": "=",
}
_WAITING = frozenset({Verdict.HALTED, Verdict.BACKING_OFF, Verdict.WAITING_FOR_END, Verdict.DRIFTED})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plan: what happens to one deployment, and why."""

    symbol: str
    word: str  # create, start, stop, update, record, rename, replace, revert, delete, blocked, waiting, unchanged
    name: str
    cause: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    create: int = 0
    change: int = 0
    replace: int = 0
    delete: int = 0
    blocked: int = 0

    def __str__(self) -> str:
        return (
            f"Plan: {self.create} to create, {self.change} to change, {self.replace} to replace, "
            f"{self.delete} to delete, {self.blocked} blocked."
        )


def plan_lines(plan: Plan, *, unchanged: bool = False) -> list[Line]:
    """
    Give a plan's lines; the two halves of a replacement are one. With `unchanged`, what is left alone too.

    What a creation waits for is not said again where a line of its own says that it is blocked.
    """
    stopped = {a.name for a in plan.actions if a.replaces and a.verb is Verb.STOP}
    told = {(item.name, item.reason) for item in plan.left if item.blocked}
    lines = [
        _line(a, a.cause if (a.name, a.waits) in told else a.reason)
        for a in plan.actions
        if not (a.replaces and a.verb is Verb.START and a.name in stopped)
    ]
    lines += [_left_line(item) for item in plan.left if unchanged or item.blocked or item.verdict in _WAITING]
    return lines


def _line(action: Action, cause: str) -> Line:
    word = "revert" if action.reverts else "replace" if action.replaces else action.verb.value
    return Line(_SYMBOLS.get(word, "~"), word, action.name, cause, action.changes)


def _left_line(item: LeftAlone) -> Line:
    word = "blocked" if item.blocked else "waiting" if item.verdict in _WAITING else "unchanged"
    return Line(_SYMBOLS[word], word, item.name, item.reason)


def summarise(plan: Plan) -> Summary:
    """Count deployments, each once, by the most that happens to it; and those of which something is blocked."""
    lines = plan_lines(plan)
    counts = _weigh((line.name, line.word) for line in lines if line.word != "blocked")
    blocked = {line.name for line in lines if line.word == "blocked"}
    create, change, replace, delete = map(counts.count, ("create", "change", "replace", "delete"))
    return Summary(create, change, replace, delete, len(blocked))


def _weigh(words: Iterable[tuple[str, str]]) -> list[str]:
    """Give one word for each name among (name, word): the weightiest of its own."""
    most: dict[str, str] = {}
    for name, word in words:
        kind = word if word in _WEIGHT else "replace" if word == "revert" else "change"
        if _WEIGHT[kind] > _WEIGHT.get(most.get(name, ""), 0):
            most[name] = kind
    return list(most.values())


_WEIGHT = {
    "waiting": 1, "change": 2, "replace": 3, "create": 4, "delete": 5, "skipped": 6, "failed": 7,
}  # fmt: skip


def plan_text(plan: Plan, *, unchanged: bool = False) -> str:
    """Give a plan as a person reads it, its summary last."""
    lines = plan_lines(plan, unchanged=unchanged)
    width = max((len(f"{line.word} {line.name}") for line in lines), default=0)
    text = []
    for line in lines:
        head = f"{line.word} {line.name}".ljust(width)
        cause = f"{line.cause}: {', '.join(line.changes)}" if line.changes else line.cause
        text.append(f"{line.symbol:>3} {head}  {cause}")
    text += [f"  i {note}" for note in plan.notes]
    if plan.is_empty and not any(item.blocked for item in plan.left):
        text.append("nothing to do")
    text.append(str(summarise(plan)))
    return "\n".join(text)


def plan_json(plan: Plan) -> dict[str, Any]:
    """Give a plan as one JSON document."""
    summary = summarise(plan)
    return {
        "schemaVersion": SCHEMA_VERSION,
        "kind": "Plan",
        "fleet": plan.fleet,
        "actions": [action_json(a) for a in plan.actions],
        "left": [
            {"name": i.name, "verdict": i.verdict.value, "reason": i.reason, "blocked": i.blocked} for i in plan.left
        ],
        "notes": list(plan.notes),
        "recheckInSeconds": plan.recheck_in,
        "summary": {name: getattr(summary, name) for name in summary.__slots__},
    }


def action_json(action: Action) -> dict[str, Any]:
    """Give one action as JSON."""
    return {
        "number": action.number,
        "verb": action.verb.value,
        "name": action.name,
        "cause": action.cause,
        "changes": list(action.changes),
        "after": list(action.after),
        "replaces": action.replaces,
        "starts": action.starts,
        "waits": action.waits or None,
        "reverts": action.reverts or None,
        "needsConsent": action.needs_consent,
        "oldName": action.old_name or None,
    }


def plan_markdown(plan: Plan, *, goal_diffs: dict[str, str] | None = None, stakes: Mapping[str, Stake]) -> str:
    """Give a plan as a comment on a pull request; `stakes` are told beside what starts."""
    lines = plan_lines(plan)
    text = [f"### haymaker plan: fleet `{plan.fleet}`", ""]
    if lines:
        text += ["| | Deployment | Why |", "|---|---|---|"]
        for line in lines:
            cause = _cell(line.cause) + "".join(f"<br>`{_cell(change)}`" for change in line.changes)
            if line.name in stakes and line.word != "blocked":
                cause += f"<br>{_cell(str(stakes[line.name]))}"
            text.append(f"| `{line.symbol}` {line.word} | `{line.name}` | {cause} |")
        text.append("")
    text += [f"> {note}" for note in plan.notes]
    for name, diff in sorted((goal_diffs or {}).items()):
        fence = "`" * max(3, _longest_run(diff) + 1)
        text += [f"<details><summary>Goal of <code>{name}</code></summary>", "", f"{fence}diff", diff.rstrip("\n")]
        text += [fence, "", "</details>", ""]
    text.append("Nothing to do." if plan.is_empty and not lines else str(summarise(plan)))
    return "\n".join(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _longest_run(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    return longest


def problem_text(problem: Problem) -> str:
    """Give one problem of a manifest: where, what, and what to do."""
    line = f"{problem.severity}: {problem.where}: {problem.what}"
    return f"{line}\n  fix: {problem.fix}" if problem.fix else line


def outcome_text(outcome: Outcome) -> str:
    """Give one outcome as a line, in the past tense."""
    action = outcome.action
    if outcome.status is OutcomeStatus.DONE:
        return outcome.message
    line = f"{outcome.status.value} {action.verb.value} {action.name}: {outcome.message}"
    return f"{line}\n  fix: {outcome.fix}" if outcome.fix else line


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "action": action_json(outcome.action),
        "status": outcome.status.value,
        "message": outcome.message,
        "fix": outcome.fix or None,
        "seconds": round(outcome.seconds, 3),
    }


def outcomes_text(outcomes: Sequence[Outcome]) -> str:
    """Give the last line of an apply: deployments in the plan's own words, each once, by the most that was done."""
    counts = _weigh((o.action.name, _outcome_word(o)) for o in outcomes)
    said = [f"{counts.count(kind)} {word}" for kind, word in _DONE.items()]
    said += [f"{counts.count(word)} {word}" for word in ("failed", "skipped") if word in counts]
    return f"Applied: {', '.join(said)}."


_DONE = {"create": "created", "change": "changed", "replace": "replaced", "delete": "deleted"}


def _outcome_word(outcome: Outcome) -> str:
    match outcome.status:
        case OutcomeStatus.DONE:
            return "replace" if outcome.action.replaces else outcome.action.verb.value
        case OutcomeStatus.SKIPPED:
            return "skipped"
        case _:
            return "failed"
