"""
The figures of what a user would run instead, from the peer harness, which is run as it is.

It knows the harness's options and the JSON that it writes, and nothing of how it measures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PEERS = ("supervisor", "circus", "pm2", "runit", "s6")
_NEEDS = {
    "supervisor": "venv-supervisor/bin/supervisord",
    "circus": "venv-circus/bin/circusd",
    "pm2": "npm/node_modules/.bin/pm2",
    "runit": "root/usr/bin/runsvdir",
    "s6": "root/usr/bin/s6-svscan",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the peers are installed, where the harness is, and how patiently it is run."""

    tools: Path
    harness: Path
    chosen: tuple[str, ...]
    runs: int
    quiet: float  # a share of the machine: below it, a timed run begins
    idle: float
    say: Callable[[str], None]


def installed(source: Source) -> dict[str, bool]:
    return {peer: (source.tools / _NEEDS[peer]).exists() for peer in source.chosen}


def measure(source: Source, count: int, scratch: Path) -> dict[str, dict[str, Any]]:
    """
    Give peer → what the harness found for `count` processes. What is not installed, or fails, says so under "missing".

    pm2's no-op restarts every process, minutes of it, so it is measured once.
    """
    found: dict[str, dict[str, Any]] = {}
    for peer, is_there in installed(source).items():
        if not is_there:
            found[peer] = {"missing": "not installed"}
            continue
        skip = "change,watch,heal"
        found[peer] = _one(source, peer, count, scratch, skip + (",noop" if peer == "pm2" else ""), source.runs)
        if peer == "pm2" and "missing" not in found[peer]:
            noop = _one(source, peer, count, scratch, f"{skip},boot,apply,status,idle", 1)
            found[peer]["noop"] = noop.get("noop")
    return found


def _one(source: Source, peer: str, count: int, scratch: Path, skip: str, runs: int) -> dict[str, Any]:
    out = scratch / f"{peer}.jsonl"
    out.unlink(missing_ok=True)
    argv = [sys.executable, str(source.harness / "bench_peer.py"), "--tools", str(source.tools), "--peer", peer]
    argv += ["-n", str(count), "--runs", str(runs), "--quiet", str(source.quiet), "--idle", str(source.idle)]
    argv += ["--skip", skip, "--tmp", str(scratch), "--out", str(out)]
    return _harness(source, argv, out, peer)


def floors(source: Source, count: int, scratch: Path) -> dict[str, Any]:
    """Give the floors of spawning, of a no-op pass and of a command's start, as the harness finds them."""
    out = scratch / "floors.json"
    argv = [sys.executable, str(source.harness / "floors.py"), "--tmp", str(scratch), "--only", "spawn,noop,cli"]
    argv += ["--python", str(source.tools / "venv-libs/bin/python"), "--out", str(out)]
    argv += ["--runs", str(source.runs), "--quiet", str(source.quiet), "-n", str(count)]
    return _harness(source, argv, out, "floors")


def _harness(source: Source, argv: list[str], out: Path, name: str) -> dict[str, Any]:
    source.say(f"measuring {name}")
    log = out.with_suffix(".log")
    with log.open("wb") as sink:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        try:
            code = process.wait()
        except BaseException:
            process.terminate()  # it ends its own processes, which a kill would leave behind
            process.wait()
            raise
    if code or not out.exists():
        last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        source.say(f"{name} could not be measured: {last}")
        return {"missing": last}
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def figure(found: dict[str, Any], key: str) -> float | None:
    """Give a peer's median for one of our lines, in that line's unit; None where it has none."""

    def median(*path: str) -> float | None:
        value: Any = found
        for step in (*path, "median"):
            value = value.get(step) if isinstance(value, dict) else None
        return value if isinstance(value, int | float) else None

    def times(value: float | None, factor: float) -> float | None:
        return None if value is None else value * factor

    match key:
        case "cold":
            return median("cold_apply", "wall") or median("cold_boot", "wall")
        case "cold-return":
            return median("cold_apply", "cli")
        case "noop":
            return median("noop", "wall")
        case "status":
            return times(median("status", "one", "wall") or median("status", "pid", "wall"), 1000)
        case "list":
            return times(median("status", "all", "wall"), 1000)
        case "memory":
            idle = found.get("idle") or {}
            held = idle.get("daemon_pss_kb", 0) + idle.get("others_pss_kb", 0)
            return held / found["n"] if held else None
        case "idle-cpu":
            share = (found.get("idle") or {}).get("cpu_pct")
            return share if isinstance(share, int | float) else None
        case _:
            return None
