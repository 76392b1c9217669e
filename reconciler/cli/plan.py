"""
`haymaker plan` (alias `diff`): what apply would do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import ManifestError, UsageError
from agent_haymaker.goals.place import COPY
from agent_haymaker.records import read_regular
from reconciler.app import App
from reconciler.cli.changing import ONLY, PATH, STRICT, exit_code, folder, is_blocked, show_problems
from reconciler.cli.common import SELECTOR, output_option
from reconciler.cli.output import DOCUMENTS, document, say
from reconciler.cli.spec import Command, Option
from reconciler.converge import look
from reconciler.exitcodes import ExitCode
from reconciler.model.finding import Verdict
from reconciler.model.plan import Verb
from reconciler.passes import Pass, Request
from reconciler.report import plan_json, plan_markdown, plan_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.load import Loaded
    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json
    from reconciler.model.plan import Plan


def run(
    *, path: str | None, only: tuple[str, ...], selector: str, prune: bool, out: str | None, base: str | None,
    offline: bool, detailed_exitcode: bool, show_goal_diff: bool, strict: bool, output: str,
) -> int:  # fmt: skip
    request = Request(folder(path), prune=prune, strict=strict, only=only, selector=selector)
    if base is not None and offline:
        raise UsageError("--base compares with a revision, --offline with nothing", fix="leave one of them out")
    if base is not None or offline:
        _refuse_with_base(out=out, only=only, selector=selector)
        return _plan_revisions(
            request.path, base, strict=strict, output=output, detailed=detailed_exitcode, goals=show_goal_diff
        )
    done = look(App(), request)
    show_problems(done.loaded.problems)
    diffs = _goal_diffs_here(done) if show_goal_diff else {}
    _print(done.plan, output, diffs, done.in_force, {name: seen.spec for name, seen in done.seen.items()})
    if out is not None:
        from reconciler.saved import save_plan

        if any(p.severity == "error" for p in done.loaded.problems):
            raise ManifestError("the plan is not saved: a manifest is wrong", where=out, fix="correct it first")
        save_plan(Path(out), done)
        say(f"saved; run `haymaker apply {out}` to execute exactly this plan", error=True)
    return exit_code(done, [], detailed=detailed_exitcode)


def _refuse_with_base(*, out: str | None, only: tuple[str, ...], selector: str) -> None:
    if out is not None or only or selector:
        raise UsageError(
            "--base and --offline compare manifests, not what runs here: --out, --only and -l do not go with them",
            fix="leave them out",
        )


def _plan_revisions(path: Path, base: str | None, *, strict: bool, output: str, detailed: bool, goals: bool) -> int:
    from reconciler.base import plan_against, plan_from_nothing
    from reconciler.load import load, load_base

    app = App()
    loaded = load(path, home=app.home, strict=strict, write_cache=False)
    older: Loaded | None = load_base(path, base, loaded, home=app.home) if base is not None else None
    show_problems(loaded.problems)
    now = app.now()
    if older is None:
        made = plan_from_nothing(loaded, now=now, environ=app.environ)
    else:
        made = plan_against(older, loaded, now=now)
    diffs = _goal_diffs(made, older, loaded, base) if goals and older is not None and base is not None else {}
    before = {} if older is None else {name: was.spec for name, was in older.desired.items()}
    _print(made, output, diffs, loaded.desired, before)
    if any(p.severity == "error" for p in loaded.problems):
        return ExitCode.INVALID
    if older is None and is_blocked(made):
        return ExitCode.BLOCKED
    return ExitCode.CHANGES if detailed and not made.is_empty else ExitCode.OK


def _print(
    made: Plan, output: str, diffs: dict[str, str], want: Mapping[str, Desired], before: Mapping[str, Json]
) -> None:
    """Print a plan; for those who review it also what it puts at stake, `before` being the specs in force now."""
    if output in ("text", "wide"):
        text = plan_text(made, unchanged=output == "wide")
        for name, diff in sorted(diffs.items()):
            text += f"\n\nGoal of {name}:\n{diff}"
        say(text)
        return
    from reconciler.stakes import find_stakes

    stakes = find_stakes(made, want, before)
    if output == "markdown":
        say(plan_markdown(made, goal_diffs=diffs, stakes=stakes), exact=True)
    else:
        more: dict[str, Any] = {"stakes": {name: stake.to_json() for name, stake in stakes.items()}}
        more |= {"goalDiffs": diffs} if diffs else {}
        say(document(plan_json(made) | more, output), exact=True)


# ---- goals ------------------------------------------------------------------------------------------------


_LATER = frozenset({Verdict.HALTED, Verdict.DRIFTED, Verdict.WAITING_FOR_END, Verdict.HELD})


def _changed(made: Plan) -> list[str]:
    """Give the names whose goal may be another one: what is replaced or updated, now or once it may be."""
    now = {a.name for a in made.actions if a.replaces or a.verb is Verb.UPDATE}
    return sorted(now | {item.name for item in made.left if item.verdict in _LATER})


def _goal_diffs(made: Plan, older: Loaded, loaded: Loaded, base: str) -> dict[str, str]:
    from reconciler.revision import content_at

    diffs = {}
    for name in _changed(made):
        was, now = older.desired.get(name), loaded.desired.get(name)
        if was is None or now is None:
            continue
        path = was.recipe.files.get(COPY)
        old = content_at(loaded.root, base, path) if path else was.recipe.inline_files.get(COPY, "")
        diff = _unified(old, _goal_text(now), base)
        if diff:
            diffs[name] = diff
    return diffs


def _goal_diffs_here(done: Pass) -> dict[str, str]:
    """Compare each goal with the one that its workspace was given."""
    from agent_haymaker.engines import Handle

    diffs = {}
    for name in _changed(done.plan):
        entry, want = done.world.entries.get(name), done.want.get(name)
        if entry is None or want is None or entry.run is None or entry.run.handle is None:
            continue
        try:
            with done.engine.open_file(Handle.from_json(entry.run.handle), COPY) as file:
                old = file.read().decode(errors="replace")
        except OSError:
            continue
        diff = _unified(old, _goal_text(want), "deployed")
        if diff:
            diffs[name] = diff
    return diffs


def _goal_text(want: Desired) -> str:
    inline = want.recipe.inline_files.get(COPY)
    if inline is not None:
        return inline
    path = want.recipe.files.get(COPY)
    try:
        return read_regular(path).decode(errors="replace") if path else ""
    except OSError:
        return ""


def _unified(old: str, new: str, older: str) -> str:
    import difflib

    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), older, "declared", lineterm="", n=2)
    return "\n".join(lines)


COMMAND = Command(
    run,
    help="Show what apply would do. Nothing is written, nothing is signalled.",
    takes=(
        PATH,
        SELECTOR,
        ONLY,
        Option("prune", "--prune", kind="flag", help="Plan the removal of what no manifest declares any more."),
        Option("out", "--out", metavar="FILE", help="Save the plan, for `haymaker apply FILE`."),
        Option(
            "base", "--base", metavar="REV",
            help="Compare with the manifests at this git revision, whatever runs here.",
        ),
        Option(
            "offline", "--offline", kind="flag",
            help="Leave out what runs here: what apply would do in an empty home.",
        ),
        Option(
            "detailed_exitcode", "--detailed-exitcode", kind="flag", help="Exit with 2 when there is something to do."
        ),
        Option(
            "show_goal_diff", "--show-goal-diff", kind="flag", help="Show which lines of each goal changed."
        ),
        STRICT,
        output_option("text", "wide", *DOCUMENTS, "markdown"),
    ),
)  # fmt: skip
