"""
What a goal agent holds while it has nothing to do: with `script` in a step that sleeps, with `mini` while it waits.

The model is a socket that takes the question and never answers. Each agent is generated and run as haymaker does it, in
a folder of its own, and ended by pid with its own stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import kernel
from benchmarks.lines import Line
from benchmarks.measure import BenchmarkError, Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.lines import Plan

_GOAL = "# Wait\n\n## Goal\n\nWait.\n\n## Steps\n\n```sh\nsleep 86400\n```\n\n## Success Criteria\n\n- `true`\n"
_PROVIDERS = ("anthropic", "openai")
_WITHIN_SECONDS = 60.0
_SETTLE_SECONDS = 1.0


def idle(plan: Plan) -> Iterator[Line]:
    """Measure one agent after another, each several times."""
    held = [_sleeping(plan) for _ in range(plan.runs)]
    yield _line("agent-script", "goal agent, `script`, in a step", [found[:1] for found in held])
    for provider in _PROVIDERS:
        held = [_thinking(plan, provider) for _ in range(plan.runs)]
        what = f"goal agent, `mini` on {provider}"
        yield _line(f"agent-mini-{provider}", f"{what}, between attempts", [found[:1] for found in held])
        yield _line(f"agent-mini-{provider}-asking", f"{what}, with its worker", held)


def _line(key: str, what: str, held: list[list[tuple[int, int]]]) -> Line:
    resident = Spread.of([sum(rss for rss, _ in found) / 1024 for found in held])
    private = Spread.of([sum(own for _, own in found) / 1024 for found in held])
    return Line(key, f"private memory of a {what}", 1, "KB", private, note=f"RSS {resident.median:.0f} KB")


def _sleeping(plan: Plan) -> list[tuple[int, int]]:
    with _agent(plan, "script", {}) as (agent, _):
        _wait(lambda: bool(kernel.children_of(agent)))
        return _held(agent)


def _thinking(plan: Plan, provider: str) -> list[tuple[int, int]]:
    with socket.create_server(("127.0.0.1", 0)) as model:
        url = f"http://127.0.0.1:{model.getsockname()[1]}"
        env = {"LLM_PROVIDER": provider, f"{provider.upper()}_API_KEY": "none", f"{provider.upper()}_BASE_URL": url}
        with _agent(plan, "mini", env | {"OPENAI_MODEL": "none"}) as (agent, log):
            model.settimeout(_WITHIN_SECONDS)
            try:
                asked, _ = model.accept()
            except TimeoutError:
                raise BenchmarkError(f"nobody asked the model:\n{log.read_text()[-400:]}") from None
            with asked:
                return _held(agent)


def _held(agent: int) -> list[tuple[int, int]]:
    """Give resident and private bytes: of the agent, then of its worker where it has one."""
    time.sleep(_SETTLE_SECONDS)
    workers = [
        pid for pid in kernel.children_of(agent) if "haymaker_goal_agent.drivers.worker" in kernel.command_of(pid)
    ]
    return [kernel.resident_and_private_bytes(pid) for pid in [agent, *workers]]


@contextlib.contextmanager
def _agent(plan: Plan, sdk: str, env: dict[str, str]) -> Iterator[tuple[int, Path]]:
    plan.settle()
    with tempfile.TemporaryDirectory(prefix="haymaker-bench-agent-", dir=plan.parent) as scratch:
        folder = Path(scratch)
        (folder / "prompt.md").write_text(_GOAL)
        (folder / "config.json").write_text(json.dumps({"goal_file": "prompt.md", "sdk": sdk}))
        log = folder / "agent.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "haymaker_goal_agent", "run"], cwd=folder, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": scratch, **env},
            )  # fmt: skip
        try:
            yield process.pid, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_WITHIN_SECONDS)


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchmarkError("the agent did not come to its step")
        time.sleep(0.02)
