"""
`python -m benchmarks`: measure, print a table, and keep it as markdown and JSON under `benchmarks/results/`.

Exit code 0 when every line was measured, whether or not it met its target; 1 when one could not be.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks import agents, lines, machine, peers, report
from benchmarks.measure import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lines import Line, Plan

KEYS = ("cold", "noop", "status", "list", "idle", "delete", "base", "logs", "agents")
HARNESS = Path(__file__).resolve().parents[2] / "shared/bench/peers"


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    signal.signal(signal.SIGTERM, _leave)  # so that every world is closed
    if sys.platform != "linux":
        print("error: the benchmark looks at processes through /proc, which only Linux has", file=sys.stderr)
        return 1
    only = set(options.only.split(",")) if options.only else set(KEYS)
    plan = lines.Plan(options.runs, options.patience, options.tmp, only.__contains__, _say)
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    host = machine.describe((options.tmp or Path(tempfile.gettempdir())).resolve())
    _say(report.machine_line(host))
    measured: list[Line] = []
    failed = False
    for name, what in _parts(options, plan):
        _say(f"measuring {name}")
        try:
            measured.extend(what)  # what came before a failure counts
        except BenchmarkError as error:
            failed = True
            print(f"error: {name}: {error}", file=sys.stderr)
    kept = _Kept(options.out / f"{began[:10]}-{began[11:19].replace(':', '')}", began, host, measured)
    kept.write({}, {})  # what is measured by now outlives an interruption of the long part
    print(report.machine_line(host))
    print(report.text(measured))
    source = _source(options)
    if source is not None:
        with tempfile.TemporaryDirectory(prefix="haymaker-bench-peers-", dir=options.tmp) as scratch:
            theirs = {count: peers.measure(source, count, Path(scratch)) for count in options.n}
            kept.write(theirs, {})
            heads, rows = report.beside(measured, theirs)
            print("\n" + report.aligned([heads, *rows]))
            kept.write(theirs, peers.floors(source, max(options.n), Path(scratch)))
    _say(f"kept as {kept.stem}.md and .json")
    return int(failed)


def _parts(options: argparse.Namespace, plan: Plan) -> Iterator[tuple[str, Iterator[Line]]]:
    if plan.wants("status") or plan.wants("list"):
        yield "looks at N=0", lines.empty_home(plan)
    if plan.wants("idle"):
        yield "what stays beside one agent", lines.alone(plan)
    counts = [*options.n, *([10_000] if options.large else [])]
    if any(map(plan.wants, ("cold", "noop", "status", "list", "idle", "delete"))):
        for count in counts:
            yield f"N={count}", lines.fleet(plan, count)
    if plan.wants("base"):
        yield "plan --base", lines.base(plan, max(options.n))
    if plan.wants("logs"):
        yield "logs", lines.logs(plan)
    if plan.wants("agents"):
        yield "goal agents at rest", agents.idle(plan)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where a run is kept; written as often as there is more of it."""

    stem: Path
    began: str
    host: dict[str, Any]
    lines: list[Line]

    def write(self, theirs: report.Peers, floors: dict[str, Any]) -> None:
        self.stem.parent.mkdir(parents=True, exist_ok=True)
        self.stem.with_suffix(".md").write_text(report.markdown(self.host, self.lines, theirs, floors))
        self.stem.with_suffix(".json").write_text(report.to_json(self.host, self.lines, theirs, floors, self.began))


def _source(options: argparse.Namespace) -> peers.Source | None:
    """Give where the peers come from, or None, and say why, where they are asked for and cannot be measured."""
    if options.peers is None:
        return None
    if not (options.harness / "bench_peer.py").exists():
        _say(f"no peer harness in {options.harness}; name its folder with --harness")
        return None
    chosen = tuple(options.peer or peers.PEERS)
    return peers.Source(options.peers, options.harness, chosen, options.runs, options.quiet, options.idle, _say)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("-n", type=int, action="append", help="deployments (default: 100 and 1000; repeatable)")
    parser.add_argument("--large", action="store_true", help="10,000 of them, too")
    parser.add_argument("--runs", type=int, default=5, help="runs of each line, at least")
    parser.add_argument("--only", default="", help=f"some of: {','.join(KEYS)}")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for a quiet machine, each time")
    parser.add_argument("--tmp", type=Path, help="where to work (default: the temporary folder)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="where the results go")
    parser.add_argument("--peers", type=Path, help="where the peers are installed; they are measured too")
    parser.add_argument("--peer", action="append", choices=peers.PEERS, help="only this one of them; repeatable")
    parser.add_argument("--harness", type=Path, default=HARNESS, help="the peer harness's folder")
    parser.add_argument("--quiet", type=float, default=machine.QUIET, help="the harness's bound on a busy machine")
    parser.add_argument("--idle", type=float, default=20, help="seconds that the harness watches idle peers")
    options = parser.parse_args()
    options.n = options.n or [100, 1000]
    return options


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _leave(*_: object) -> NoReturn:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
