"""
Removals, in a plan: what no manifest declares any more, and what keeps it from being deleted.

Pure. Whether a pass may remove anything at all is found out by its caller, and handed in as `Removals`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.lean import dataclass, field
from reconciler.classify import classify
from reconciler.model.finding import Verdict
from reconciler.model.plan import Verb
from reconciler.order import by_dependency

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from reconciler.draft import Draft
    from reconciler.model.observed import Observed


@dataclass(frozen=True, slots=True)
class Removals:
    """Whether this pass may remove what no manifest declares. `refusal` says why not; "" permits."""

    refusal: str = "prune is off"
    partial: bool = False  # only a part of the folder was read: that the rest is not declared there is no news
    unlimited: bool = False  # maxDeletions does not count: it guards against accidents
    asked: bool = False  # `delete -f`, the opposite of one
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # name -> the other folder that it was applied from
    beside: Container[str] = ()  # `delete -f FILE`: what other files of its folder declare
    former: Mapping[str, str] = field(default_factory=dict)  # name -> the name that this folder's fleet had then


def plan_removals(draft: Draft, gone: list[str], removals: Removals) -> None:
    condemned: list[str] = []
    strangers = [name for name in gone if name in removals.elsewhere]
    if strangers:
        from shlex import quote  # for this one text

        folders = sorted({removals.elsewhere[name] for name in strangers})
        where = f"applied from {', '.join(folders)} as fleet {draft.policy.name} too"
        advice = (
            f"Delete them from there (`haymaker delete -f {quote(folders[0])}`), or name them with --only"
            if removals.asked
            else "For two fleets, give this folder a Fleet with another metadata.name; if it replaces that folder, "
            "remove that one, then pass --prune; or name them with --only NAME --prune"
        )
        draft.notes.append(f"left alone: {', '.join(strangers)}, {where}. {advice}")
    for name in gone:
        if name in removals.elsewhere:
            draft.leave(name, Verdict.ORPHANED, f"it was applied from {removals.elsewhere[name]}")
            continue
        if name in removals.beside:
            draft.leave(name, Verdict.ORPHANED, "this file does not declare it")
            continue
        seen = draft.seen[name]
        found = classify(None, seen, fleet=removals.former.get(name, draft.policy.name), now=draft.now)
        if found.verdict is Verdict.PROTECTED and removals.asked:
            reason = "protect: true was applied: apply its manifest with protect: false first"
            draft.leave(name, found.verdict, reason, blocked=True)
        elif found.verdict is not Verdict.ORPHANED:
            draft.leave(name, found.verdict, found.reason, blocked=True)
        elif removals.refusal:
            reason = f"{found.reason}; {removals.refusal}"
            draft.leave(name, found.verdict, reason, blocked=not removals.partial)
        else:
            condemned.append(name)
    allowed = _max_deletions(
        draft.policy.max_deletions, sum(1 for o in draft.seen.values() if o.fleet == draft.policy.name)
    )
    if len(condemned) > allowed and not removals.unlimited:
        share = draft.policy.max_deletions
        limit = f"{len(condemned)} removals, and the fleet's sync.maxDeletions of {share} allows {allowed}"
        advice = "raise it in the Fleet, or remove some by name with --only NAME --prune"
        for name in condemned:
            draft.leave(name, Verdict.ORPHANED, f"no manifest declares it; {limit}", blocked=True)
        draft.notes.append(f"nothing is removed: {limit}; {advice}")
        return
    _note_moves(draft, condemned)
    # Whoever depends on a deployment goes before it; a dependent is known by the spec as applied.
    waiting: dict[str, list[int]] = {}  # name -> the deletions of those that depend on it
    for name in reversed(by_dependency({n: draft.seen[n] for n in condemned})):
        seen = draft.seen[name]
        cause = "its deletion was asked for" if removals.asked else "no manifest declares it"
        if name in removals.former:
            cause += f"; this folder's Fleet was {removals.former[name]} then"
        number = draft.add(
            Verb.DELETE, name, f"{cause}; deletionPolicy is {seen.deletion_policy}",
            after=tuple(waiting.get(name, ())), needs_consent=True,
        )  # fmt: skip
        for before in _dependencies(seen):
            waiting.setdefault(before, []).append(number)


def _dependencies(seen: Observed) -> set[str]:
    return {str(d.get("name")) for d in seen.spec.get("dependsOn", ())}


def _max_deletions(limit: str, declared: int) -> int:
    if limit.endswith("%"):
        return max(1, int(declared * float(limit[:-1]) / 100))
    return int(limit)


def _note_moves(draft: Draft, condemned: list[str]) -> None:
    """Point out a deletion and a creation that look like one thing renamed."""
    created = [a.name for a in draft.actions if a.verb is Verb.CREATE]
    for old in condemned:
        for new in created:
            if draft.seen[old].digest == draft.want[new].digest:
                draft.notes.append(
                    f"{new} has the spec of {old}: to keep its identity and history, give {new} renamedFrom: [{old}]"
                )
