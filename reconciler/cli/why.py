"""
`haymaker why`: the whole decision about one deployment: desired, observed, verdict, reason, next action and when.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import HaymakerError
from agent_haymaker.lean import dataclass, field, replace
from reconciler.app import App
from reconciler.classify import classify
from reconciler.cli.common import NAME, output_option
from reconciler.cli.output import DOCUMENTS, age, clean, document, paint, utc
from reconciler.cli.show import COLOURS, checks_lines, next_line, run_line, status_of, to_json
from reconciler.cli.spec import Command, Option
from reconciler.converge import look
from reconciler.digest import changes_of
from reconciler.history import Gone, what_became
from reconciler.inventory import load_inventory
from reconciler.journal import read_backwards
from reconciler.lookup import Found, fate, find_thoroughly, fleet_root, known_names, not_found
from reconciler.model.finding import Finding, Verdict
from reconciler.passes import Pass, Request
from reconciler.report import plan_lines
from reconciler.revert import in_force

if TYPE_CHECKING:
    from reconciler.inventory import Inventory
    from reconciler.model.desired import Desired
    from reconciler.model.finding import LeftAlone

EVENTS = 5


@dataclass(frozen=True, slots=True)
class Reasons:
    """Everything that bears on one name. `trouble` is why its manifests could not be read."""

    name: str
    folder: str
    found: Found | None
    want: Desired | None = None
    finding: Finding | None = None
    left: LeftAlone | None = None  # what the plan says where it leaves it alone, or does not do all of it
    done: Pass | None = None
    trouble: str = ""
    changes: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    problems: tuple[Any, ...] = ()
    events: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    gone: Gone | None = None  # what became of the one that had this name before

    @property
    def held_back(self) -> LeftAlone | None:
        """What the plan says, where it does nothing about it."""
        acts = self.done is not None and any(action.name == self.name for action in self.done.plan.actions)
        return None if acts else self.left


def run(*, name: str, filename: str | None, output: str) -> int:
    app = App()
    reasons = gather(app, name, filename)
    whole = output in DOCUMENTS
    print(document({"kind": "Why", **_to_json(reasons)}, output) if whole else _text(app, reasons))
    return 0


def gather(app: App, wanted: str, filename: str | None) -> Reasons:
    """
    Find out everything about a name.

    Raises:
        DeploymentNotFoundError: it is in no manifest and in no record; names the nearest.
    """
    inventory = load_inventory(app.home)
    entry = inventory.by_name_or_id(wanted)
    name = entry.name if entry is not None else wanted
    folder = filename or _folder(inventory, entry.fleet if entry is not None else "")
    done, trouble = _look(app, folder)
    found = _find(app, name)
    want = done.want.get(name) if done is not None else None
    problems = tuple(p for p in done.loaded.problems if p.name == name) if done is not None else ()
    gone = _past(app, name, inventory, done) if found is None else None
    if found is None and want is None and not problems and gone is None:
        declared = list(done.want) if done is not None else []
        if trouble and not known_names(app.home):
            raise not_found(app.home, wanted)
        raise not_found(app.home, wanted, declared)
    seen = done.seen.get(name) if done is not None else found.seen if found is not None else None
    finding, left = None, None
    if done is not None:
        items = [item for item in done.plan.left if item.name == name]
        # What its manifest cannot say stands above what its last good one asks for; else the last says most.
        left = next((i for i in items if i.verdict is Verdict.INVALID), items[-1] if items else None)
    if done is not None and found is not None and found.seen is not None:
        # What was applied may be stuck where the manifests, not applied yet, are not; or the other way round.
        stuck = left.reason if left is not None and left.verdict is Verdict.HALTED and left.blocked else ""
        refused = left.reason if left is not None and left.verdict is Verdict.OVER_BUDGET else ""
        overrun, overtime = (seen.overrun, seen.overtime) if seen is not None else ("", "")
        known = replace(found.seen, stuck=stuck, refused=refused, overrun=overrun, overtime=overtime)
        found = replace(found, seen=known)
    if done is not None:
        policy = done.loaded.fleet
        if want is not None or seen is not None:
            finding = classify(
                in_force(done.want, done.seen, {}).get(name),
                seen,
                fleet=policy.name,
                now=app.now(),
                self_heal=policy.self_heal,
            )
        elif problems:
            finding = Finding(Verdict.INVALID, "its manifest is wrong, and no good one was ever applied")
    return Reasons(
        name=name,
        folder=folder,
        found=found,
        want=want,
        finding=finding,
        left=left,
        done=done,
        trouble=trouble,
        changes=changes_of(want, seen) if want is not None and seen is not None and seen.spec else (),
        planned=_planned(done, name),
        waits=_waits(done, want),
        problems=problems,
        events=tuple(_last_events(app, gone.name if gone is not None else name)),
        gone=gone,
    )


def _folder(inventory: Inventory, fleet: str) -> str:
    """Give the folder of manifests that decides about a fleet's deployments, "" where none is known."""
    if fleet:
        return fleet_root(inventory, fleet)
    roots = {record.root for record in inventory.fleets.values() if record.root}
    if len(roots) == 1:
        return roots.pop()
    return "manifests" if Path("manifests").is_dir() else ""


def _look(app: App, folder: str) -> tuple[Pass | None, str]:
    if not folder:
        return None, "no folder of manifests is known (name it with -f)"
    try:
        return look(app, Request(Path(folder))), ""
    except HaymakerError as error:
        return None, f"{folder}: {error.what}"


def _find(app: App, name: str) -> Found | None:
    try:
        return find_thoroughly(app, name)
    except HaymakerError:
        return None


def _past(app: App, wanted: str, inventory: Inventory, done: Pass | None) -> Gone | None:
    """Tell what became of a name, by its history or by whoever says that it is `renamedFrom` it."""
    gone = what_became(app.home, wanted)
    if gone is not None:
        return gone
    names = [(name, entry.desired.get("renamed_from", ())) for name, entry in inventory.entries.items()]
    names += [(name, want.renamed_from) for name, want in done.want.items()] if done is not None else []
    new = next((name for name, old in names if wanted in old), "")
    return Gone(wanted, "renamed", to=new) if new else None


def _planned(done: Pass | None, name: str) -> tuple[str, ...]:
    if done is None:
        return ()
    lines = [line for line in plan_lines(done.plan, unchanged=True) if line.name == name]
    notes = (f"i {n.removeprefix(f'{name}: ')}" for n in done.plan.notes if n.startswith(f"{name}: "))
    return (*(f"{line.symbol} {line.word}: {line.cause}" for line in lines), *notes)


def _waits(done: Pass | None, want: Desired | None) -> tuple[str, ...]:
    """Give each dependency with how it stands."""
    if done is None or want is None:
        return ()
    lines = []
    for dependency in want.depends_on:
        seen, entry = done.seen.get(dependency.name), done.world.entries.get(dependency.name)
        if seen is None or entry is None:
            stands = "not deployed"
        else:
            found = Found(dependency.name, entry.id, entry, seen)
            status = status_of(found)
            stands = f"{status.health.value}: {status.message}"
        lines.append(f"{dependency.name} {dependency.condition} ({stands})")
    return tuple(lines)


def _last_events(app: App, name: str) -> list[dict[str, Any]]:
    found = (r for r in read_backwards(app.home / "journal") if r.get("type") == "event" and r.get("name") == name)
    return list(islice(found, EVENTS))[::-1]


# ---- as text and JSON -------------------------------------------------------------------------------------


def _text(app: App, reasons: Reasons) -> str:
    now, want, found = app.now(), reasons.want, reasons.found
    lines = [paint(reasons.name, "bold") + (f"  ({found.id})" if found is not None else "")]

    def say(word: str, *texts: str) -> None:
        for number, text in enumerate(texts):
            lines.append(f"  {word if not number else '':<11} {text}")

    if want is not None:
        say("desired", *_desired_lines(want, reasons.folder))
    else:
        say("desired", reasons.trouble or f"no manifest in {reasons.folder} declares it")
    for problem in reasons.problems:
        say("problem", f"{problem.where}: {problem.what}", f"fix: {problem.fix}")
    say("observed", *(_observed_lines(found, now) if found is not None else _gone_lines(reasons.gone)))
    finding = reasons.finding
    if finding is not None:
        say("verdict", f"{paint(finding.verdict.value, 'bold')}: {clean(finding.reason)}")
    say("changes", *reasons.changes)
    say("depends on", *reasons.waits)
    if found is not None:
        status = status_of(found, finding, reasons.held_back)
        say("health", f"{paint(status.health.value, COLOURS.get(status.health.value, ''))}  {clean(status.message)}")
        goal = next((c for c in status.conditions if c.type == "GoalMet"), None)
        run = found.entry.run if found.entry is not None else None
        if goal is not None and run is not None and run.checks:
            say("goal", f"GoalMet {goal.status}: {goal.message}", *checks_lines(run))
        say("sync", status.sync.value)
        say("next", _next(reasons, next_line(status)))
    else:
        say("next", _next_of_nothing(reasons))
    say("plan", *reasons.planned)
    say("events", *[_event_line(record, now) for record in reasons.events])
    return "\n".join(lines)


def _desired_lines(want: Desired, folder: str) -> list[str]:
    run = want.spec.get("run", {})
    state = "stopped" if want.stopped else "running"
    extra = f", strategy {want.strategy}" if want.strategy != "Recreate" else ""
    extra += ", suspend: true" if want.suspend else ""
    return [
        f"{Path(folder if Path(folder).is_dir() else '') / str(want.source)}  digest {want.digest[:14]}",
        f"{want.workload}, {state}, {run.get('mode', 'task')}, restartPolicy {want.restart_policy}{extra}",
    ]


def _gone_lines(gone: Gone | None) -> list[str]:
    if gone is None:
        return ["nothing: no record holds this name"]
    lines = [f"nothing: {gone.id or gone.name} {fate(gone)}"]
    run = gone.last_run
    if run is not None:
        ended = f", ended {str(run.get('ended_at'))[:19]}Z" if run.get("ended_at") else ""
        lines.append(f"its last run {run.get('generation')}.{run.get('attempt')}: {clean(run.get('exit'))}{ended}")
    return lines


def _next_of_nothing(reasons: Reasons) -> str:
    if reasons.finding is not None and reasons.finding.verdict is Verdict.MISSING:
        left = reasons.left
        return _next(reasons, "create it" if left is None else f"create it, and not start it yet: {clean(left.reason)}")
    gone = reasons.gone
    if gone is None or reasons.want is not None:
        return _next(reasons, "nothing")
    if gone.to:
        return f"nothing: it is {gone.to} now; see `haymaker why {gone.to}`"
    return f"nothing; `haymaker runs {gone.name}` and `haymaker logs {gone.name}` show what it did"


def _observed_lines(found: Found, now: float) -> list[str]:
    if found.entry is None or found.seen is None:
        return [f"{found.unmanaged}: {found.doubt or 'a record that no inventory knows; haymaker leaves it alone'}"]
    entry, seen = found.entry, found.seen
    lines = [f"{found.status}, generation {entry.generation}, digest {entry.digest[:14]}, fleet {entry.fleet}"]
    if entry.run is not None:
        lines.append(run_line(entry.run, seen.phase, now))
    if entry.failures:
        lines.append(f"{entry.failures} failed in a row")
    if seen.doubt:
        lines.append(f"doubt: {seen.doubt}")
    return lines


def _next(reasons: Reasons, action: str) -> str:
    if reasons.done is None:
        return "unknown: its manifests cannot be read"
    if not action or action.startswith("nothing"):
        return action or "nothing"
    due = reasons.finding.wait if reasons.finding is not None else None
    when = f"not before {age(due)} from now, " if due else ""
    return f"{action.partition(', in ')[0]}, {when}by the next `haymaker apply -f {reasons.folder}`"


def _event_line(record: dict[str, Any], now: float) -> str:
    said = record.get("message") or record.get("cause") or ""
    return f"{age(now - float(record.get('at') or 0.0))} ago  {record.get('status')}: {clean(said)}"


def _to_json(reasons: Reasons) -> dict[str, Any]:
    want, finding = reasons.want, reasons.finding
    desired = None
    if want is not None:
        desired = {
            "source": str(want.source),
            "digest": want.digest,
            "workload": want.workload,
            "desiredState": "stopped" if want.stopped else "running",
            "restartPolicy": want.restart_policy,
            "strategy": want.strategy,
            "suspend": want.suspend,
        }
    return {
        "name": reasons.name,
        "folder": reasons.folder or None,
        "trouble": reasons.trouble or None,
        "desired": desired,
        "observed": to_json(reasons.found, finding, reasons.held_back) if reasons.found is not None else None,
        "gone": _gone_json(reasons.gone),
        "verdict": finding.verdict.value if finding is not None else None,
        "reason": finding.reason if finding is not None else None,
        "dueInSeconds": finding.wait if finding is not None else None,
        "changes": list(reasons.changes),
        "dependsOn": list(reasons.waits),
        "plan": list(reasons.planned),
        "problems": [
            {"where": p.where, "what": p.what, "fix": p.fix, "severity": p.severity} for p in reasons.problems
        ],
        "events": [
            {"at": utc(r.get("at")), "action": r.get("reason"), "status": r.get("status"), "message": r.get("message")}
            for r in reasons.events
        ],
    }


def _gone_json(gone: Gone | None) -> dict[str, Any] | None:
    if gone is None:
        return None
    return {"name": gone.name, "event": gone.event, "at": gone.at or None, "id": gone.id or None, "to": gone.to or None}


COMMAND = Command(
    run,
    help="""Explain everything about one deployment: what its manifest asks, what is there, what follows and when.

    Its manifests are those of the folder that its fleet was last applied from, or of -f.
    """,
    takes=(
        NAME,
        Option("filename", "-f", "--filename", help="Folder of manifests, or one file.", metavar="DIR",
               env="HAYMAKER_MANIFESTS", once=True),
        output_option("text", "json", "yaml"),
    ),
)  # fmt: skip
