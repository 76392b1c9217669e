"""
A world of its own for a test: a HAYMAKER_HOME, a folder of manifests, the real CLI, real agents.

What runs is read from the process table by the run id that agents carry, never from haymaker's own records, so that
a test can hold the one against the other. Whatever a test leaves alive is ended, and makes it fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_haymaker import processes
from agent_haymaker.testing import eventually
from reconciler.inventory import load_inventory
from support.plain import drop_for_good
from support.table import environ_of

SCRIPT = Path(sys.executable).parent / "haymaker"
AGENT = Path(__file__).with_name("agent.py")
# `what` is the agent's own doing; a service unless said otherwise, and quick about everything.
WORKLOADS = ("stay", "deaf", "report", "work", "fail", "family", "spend", "bill", "step", "loop", "squander", "settle")


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"`haymaker {' '.join(self.args)}` ended with {self.code}\n{self.out}{self.err}"

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Agent:
    """One live process that carries a run id of this world."""

    pid: int
    run_id: str
    who: str
    leads: bool  # it leads its session, so it is an agent and not the child of one
    env: dict[str, str]

    @property
    def started(self) -> int:
        row = processes.look(self.pid)
        return row.started if row else 0


class World:
    """One HAYMAKER_HOME under test. `env` is the environment of its commands; tests add to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.manifests = folder / "manifests"
        self.ledger = folder / "ledger"
        self.manifests.mkdir(parents=True)
        self.ledger.mkdir()
        self.strangers: list[subprocess.Popen[bytes]] = []
        self.plain = False  # commands have no leave to write where a folder's mode forbids it, not even root's
        self.file_limit: int | None = None  # the longest that a command may make a file, in bytes
        self.env = {
            "PATH": f"{SCRIPT.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "HAYMAKER_HOME": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for what in WORKLOADS:
            self.write(
                f"workloads/{what}/workload.yaml",
                f"""
                name: {what}
                version: "1"
                type: runtime
                command: [{sys.executable}, -I, -S, {AGENT}, {what}]
                config_schema:
                  size: {{type: integer, default: 1, min: 1, max: 9}}
                  colour: {{type: string, default: green}}
                """,
            )

    # ---- manifests

    def write(self, path: str, text: str) -> Path:
        """Put a file into the folder of manifests, its common indent taken away."""
        from textwrap import dedent

        target = self.manifests / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text).lstrip("\n"))
        return target

    def fleet(self, **spec: Any) -> None:
        self.fleet_named("field", **spec)

    def fleet_named(self, name: str, **spec: Any) -> None:
        self._dump("fleet.yaml", "Fleet", {"name": name}, spec)

    def declare(self, name: str, workload: str = "stay", *, who: str = "", labels: Any = None, **spec: Any) -> Path:
        """Write the manifest of one deployment: a service with a short grace, unless `run` says otherwise."""
        run = {"mode": "service", "terminationGracePeriod": "5s", "backoff": {"duration": "0s"}}
        run.update(spec.pop("run", {}))
        env = [{"name": "LEDGER", "value": str(self.ledger)}, {"name": "WHO", "value": who or name}]
        whole = {"workload": workload, "run": run, "env": env + spec.pop("env", []), **spec}
        metadata = {"name": name} | ({"labels": labels} if labels else {})
        return self._dump(f"{name}.yaml", "Deployment", metadata, whole)

    def task(self, name: str, workload: str = "report", **spec: Any) -> Path:
        """Write the manifest of a task that may be run again in doubt."""
        run = {"mode": "task", "sideEffects": "none", **spec.pop("run", {})}
        return self.declare(name, workload, run=run, **spec)

    def _dump(self, path: str, kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> Path:
        document = {"apiVersion": "haymaker/v1", "kind": kind, "metadata": metadata, "spec": spec}
        return self.write(path, json.dumps(document, indent=1))

    def line_of(self, name: str, key: str) -> int:
        """Give the line of the first such key in a manifest that `declare` wrote."""
        lines = (self.manifests / f"{name}.yaml").read_text().splitlines()
        return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(f'"{key}":'))

    def remove(self, name: str) -> None:
        (self.manifests / f"{name}.yaml").unlink()

    # ---- commands

    def popen(self, *args: str, **env: str) -> subprocess.Popen[bytes]:
        def limit() -> None:
            import resource

            if self.file_limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_limit, resource.RLIM_INFINITY))
            if self.plain:
                drop_for_good()

        return subprocess.Popen(
            [str(SCRIPT), *args],
            preexec_fn=limit if self.plain or self.file_limit is not None else None,
            env={**self.env, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *args: str, within: float = 120.0, **env: str) -> Said:
        """Run one command to its end. A traceback in what it says fails the test."""
        process = self.popen(*args, **env)
        try:
            out, err = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"haymaker {args} did not end within {within} s: {out!r} {err!r}") from None
        said = Said(args, process.returncode, out.decode(), err.decode())
        assert "Traceback" not in said.err, str(said)
        assert "fault in haymaker" not in said.err + said.out, str(said)
        return said

    def apply(self, *args: str, code: int | None = 0, within: float = 120.0, **env: str) -> Said:
        said = self.run("apply", "-f", str(self.manifests), "--yes", *args, within=within, **env)
        assert code is None or said.code == code, str(said)
        return said

    def delete(self, *args: str, code: int | None = 0, **env: str) -> Said:
        said = self.run("delete", "-f", str(self.manifests), "--yes", *args, **env)
        assert code is None or said.code == code, str(said)
        return said

    def plan(self, *args: str, code: int | None = 0) -> Said:
        said = self.run("plan", "-f", str(self.manifests), *args)
        assert code is None or said.code == code, str(said)
        return said

    def settle(self, *ended: str) -> Said:
        """Apply until there is nothing to do, and the runs of these tasks are on record as ended."""

        def quiet() -> Said | None:
            said = self.apply()
            at_rest = all(self.record(name)["status"] in ("completed", "failed") for name in ended)
            return said if at_rest and "nothing to do" in said.out else None

        return eventually(quiet)

    # ---- what runs

    @property
    def install(self) -> str:
        """The id of this install, or "" before there is one."""
        try:
            return (self.home / "install").read_text().strip()
        except FileNotFoundError:
            return ""

    def everybody(self) -> list[Agent]:
        """Every live process that carries a run id of this install, children of agents and checks too."""
        install, found = self.install, []
        for pid in (int(n) for n in os.listdir("/proc") if n.isdigit()):
            env = environ_of(pid)
            run_id = env.get("HAYMAKER_RUN_ID", "")
            mine = (install and run_id.startswith(f"{install}.")) or env.get("LEDGER") == str(self.ledger)
            row = processes.look(pid) if mine else None
            if row is not None and not row.dead:
                found.append(Agent(pid, run_id, env.get("WHO", ""), row.session == pid, env))
        return found

    def agents(self, who: str = "") -> list[Agent]:
        return [a for a in self.everybody() if a.leads and (not who or a.who == who)]

    def one(self, who: str) -> Agent:
        """The one live agent of a name, once it has come so far as to run its own program."""

        def begun() -> Agent | None:
            told = {tuple(line.split()) for line in self.lines("starts")}
            found = [a for a in self.agents(who) if (a.who, a.run_id, str(a.pid)) in told]
            return found[0] if len(found) == 1 else None

        return eventually(begun)

    def lines(self, file: str) -> list[str]:
        try:
            return (self.ledger / file).read_text().splitlines()
        except FileNotFoundError:
            return []

    def starts(self, who: str) -> int:
        """How often a name was started; who lives and has not told it yet is waited for."""

        def told() -> set[str]:
            return {line.split()[1] for file in ("starts", "violations") for line in self.lines(file)}

        eventually(lambda: {agent.run_id for agent in self.agents(who)} <= told())
        return sum(1 for line in self.lines("starts") if line.split()[0] == who)

    @property
    def shim(self) -> int:
        """The pid of the shim of this home, or 0."""
        mine = os.fsencode(self.home / "engines" / "local")
        for pid in (int(n) for n in os.listdir("/proc") if n.isdigit()):
            with suppress(OSError):
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if mine in argv and any(a.endswith(b"shim.py") for a in argv) and processes.identify(pid):
                    return pid
        return 0

    def kill(self, pid: int, signum: int = signal.SIGKILL) -> None:
        """Signal a process and return when it has ended."""
        process = processes.identify(pid)
        assert process is not None, f"pid {pid} was to be killed, and is not there"
        os.kill(pid, signum)
        eventually(lambda: not processes.is_alive(process))

    def stranger(self, *argv: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process that is none of haymaker's; it ends with the test."""
        process = subprocess.Popen(
            argv or (sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"),
            env={"PATH": os.defpath, **env},
            start_new_session=True,
        )
        self.strangers.append(process)
        return process

    # ---- what is on record

    def records(self) -> dict[str, dict[str, Any]]:
        """Every state record by its name's file, each one readable."""
        return {path.stem: json.loads(path.read_text()) for path in sorted((self.home / "state").glob("*.json"))}

    def record(self, name: str) -> dict[str, Any]:
        found = [r for r in self.records().values() if r["metadata"]["haymaker"]["name"] == name]
        assert len(found) == 1, f"{name} has {len(found)} records"
        return found[0]

    def record_path(self, name: str) -> Path:
        return self.home / "state" / f"{self.record(name)['deployment_id']}.json"

    def claim_path(self, run_id: str) -> Path:
        return self.home / "engines" / "local" / "runs" / f"{run_id}.jsonl"

    def entries(self) -> dict[str, Any]:
        """The inventory: the checkpoints and the journal after them, nothing of it in doubt."""
        inventory = load_inventory(self.home)
        assert not inventory.doubts, inventory.doubts
        return {name: entry.to_json() for name, entry in inventory.entries.items()}

    def history(self, name: str) -> list[dict[str, Any]]:
        path = self.home / "history" / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def journal(self) -> list[dict[str, Any]]:
        lines = [
            ln for path in sorted((self.home / "journal").glob("*.jsonl")) for ln in path.read_bytes().split(b"\n")
        ]
        return [json.loads(line) for line in lines if line]

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        """Everything under the home: what a look must leave as it is. A lock file may name its last holder."""
        found = {}
        for folder, _, files in os.walk(self.home):
            for file in files:
                path = Path(folder, file)
                if path.is_file() and path.parent.name != "locks":
                    found[str(path.relative_to(self.home))] = (path.stat().st_mtime_ns, path.read_bytes())
        return found

    # ---- what must hold

    def check_records(self) -> None:
        """Every record that is on disk can be read, line by line."""
        self.records()
        self.entries()
        self.journal()
        for folder, suffix in (("history", "*.jsonl"), ("engines/local/runs", "*.jsonl")):
            for path in (self.home / folder).glob(suffix):
                for line in path.read_text().splitlines():
                    assert isinstance(json.loads(line), dict), f"{path}: {line!r}"

    def check_once(self) -> None:
        """No agent ever found another of itself alive."""
        assert self.lines("violations") == []

    def check_exactly(self, *running: str) -> None:
        """Exactly these agents are alive, one of each, and nothing is left on disk of any other."""
        self.check_once()
        for who in running:
            self.one(who)
        alive = sorted(a.who for a in self.everybody())
        assert alive == sorted(running), f"{alive} are alive, {sorted(running)} should be"
        self.check_records()
        entries = {e["id"] for e in self.entries().values()}
        assert set(self.records()) == entries, "a record that no inventory knows, or none where there should be one"
        spaces = {p.name for p in (self.home / "agents").iterdir()}
        assert spaces <= entries, f"workspaces of nobody: {spaces - entries}"
        runs = {e["run"]["key"] for e in self.entries().values() if e.get("run")}
        claims = {p.name.removesuffix(".jsonl") for p in (self.home / "engines/local/runs").glob("[!.]*.jsonl")}
        assert claims <= runs | {c for c in claims if c.rpartition(".check-")[0] in runs}, f"{claims} for {runs}"
        logs = {p.name.split(".log")[0] for p in (self.home / "engines/local/logs").iterdir()}
        assert logs <= claims, f"logs of nobody: {logs - claims}"

    # ---- the end

    def tidy(self) -> None:
        """Let haymaker itself end whatever it runs; what it cannot end is for the caller to find."""
        if self.everybody():
            self.run("delete", "-f", str(self.manifests), "--yes")

    def end(self) -> list[str]:
        """End everything of this world, and say what had been left alive."""
        left = [f"{a.who or a.run_id} (pid {a.pid})" for a in self.everybody()]
        for stranger in self.strangers:
            stranger.kill()
            stranger.wait()
        for _ in range(100):
            alive = self.everybody()
            for agent in alive:
                with suppress(ProcessLookupError):
                    os.kill(agent.pid, signal.SIGKILL)
            if not alive:
                break
        while shim := processes.identify(self.shim):  # unless it has just ended by itself
            processes.send_signal(shim, signal.SIGKILL)
            eventually(lambda shim=shim: not processes.is_alive(shim))
        assert not self.everybody()
        return left
