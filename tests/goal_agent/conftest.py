"""Real agents in folders of their own: written, generated and run as plain processes, without haymaker around them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [str(ROOT), str(ROOT / "workloads/goal_agent")]
sys.path[:0] = [source for source in SOURCES if source not in sys.path]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_SECONDS = 180


@dataclass(frozen=True)
class Finished:
    """How a run of an agent ended, and what it left."""

    code: int
    log: str
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = (self.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def closing(self) -> list[str]:
        return self.log.splitlines()[-2:]


class Agent:
    """A workspace with a goal in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(SOURCES),
            "HAYMAKER_SOURCE_DIR": str(folder.parent / "source"),
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir()

    def start(self, goal: str | bytes, **config: object) -> subprocess.Popen[bytes]:
        content = goal.encode() if isinstance(goal, str) else goal
        (self.folder / "prompt.md").write_bytes(content)
        (self.folder / "config.json").write_text(json.dumps({"goal_file": "prompt.md", "sdk": "script", **config}))
        return self.launch("-P", "-m", "haymaker_goal_agent", "run")

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> Finished:
        code = process.wait(LIMIT_SECONDS)
        return Finished(code, self.log, self.folder)

    def run(self, goal: str | bytes, **config: object) -> Finished:
        return self.finish(self.start(goal, **config))

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(LIMIT_SECONDS)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))
    made = Agent(tmp_path / "workspace")
    yield made
    made.end()


@pytest.fixture
def is_gone() -> Callable[[int], bool]:
    """Tell whether a process is dead; a zombie is."""

    def look(pid: int) -> bool:
        import psutil

        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return look
