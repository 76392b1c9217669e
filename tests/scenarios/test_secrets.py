"""A secret goes to its agent and nowhere else: planted in each way, looked for in every byte. Real CLI, real agents."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from agent_haymaker.errors import ManifestError
from agent_haymaker.testing import eventually
from reconciler import values

PLANTED = {
    "FROM_ENV": "planted-a1b2c3",
    "FROM_FILE": "planted-d4e5f6",
    "FROM_COMMAND": "planted-g7h8i9",
    "FROM_KEYRING": "planted-j1k2l3",
}
SOURCES = {
    "FROM_ENV": {"env": "CALLERS"},
    "FROM_FILE": {"file": "token"},
    "FROM_COMMAND": {"command": ["./vault.sh", "read"]},
    "FROM_KEYRING": {"keyring": {"service": "mail", "username": "me"}},
}
ENV = [{"name": name, "valueFrom": source} for name, source in SOURCES.items()]
SAY = f"echo {' '.join(f'${name}' for name in PLANTED)}"
KEYRING = "def get_password(*entry):\n    return 'planted-j1k2l3' if entry == ('mail', 'me') else None\n"


def vault(world, script: str) -> None:
    shebang = "" if script.startswith("#!") else f"#!/bin/sh\necho once >> {world.ledger}/vault\n"
    world.write("vault.sh", f"{shebang}{script}\n").chmod(0o700)


@pytest.fixture
def planted(world):
    """A world in which each of four secrets can be found in the way of its own."""
    world.write("token", PLANTED["FROM_FILE"] + "\n")
    vault(world, f'test -z "$CALLERS" && test "$1" = read && echo {PLANTED["FROM_COMMAND"]}')
    (world.folder / "python").mkdir()
    (world.folder / "python" / "keyring.py").write_text(KEYRING)  # stands in for a desktop's keyring
    world.env["PYTHONPATH"] = str(world.folder / "python")
    for name, then in (("teller", "exit 1"), ("talker", "exec sleep 1000")):
        world.write(
            f"workloads/{name}/workload.yaml",
            f'name: {name}\nversion: "1"\ntype: runtime\ncommand: [sh, -c, "{SAY}; echo said; {then}"]\n',
        )
    return world


def found_in(text: str | bytes) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    return [name for name, value in PLANTED.items() if value.encode() in content]


def test_what_an_agent_says_of_its_budget_and_its_files_is_recorded_without_its_secrets(planted):
    world = planted
    report = '{"verdict": "budget spent", "usage": {}, "turns": 1, "reason": "key %s", "model": "m-%s"}'
    script = f'printf \'{report}\' "$FROM_ENV" "$FROM_COMMAND" > result.json; printf \'"%s"\' "$FROM_FILE" > out.json'
    world.write("workloads/teller/run.sh", f"{script}; exit 3")
    world.write(
        "workloads/teller/workload.yaml", 'name: teller\nversion: "1"\ntype: runtime\ncommand: [sh, ./run.sh]\n'
    )
    pad = "printf '%1990s'; "  # so that what is kept of its end begins in the midst of a secret
    checks = [
        {"name": "file", "file": {"path": "out.json", "jsonSchema": {"type": "object"}}},
        {"name": "tail", "command": ["sh", "-c", f"grep -o 'planted-[a-z0-9]*' result.json | head -n1; {pad} exit 1"]},
    ]
    world.task("job", "teller", env=ENV, success={"checks": checks})
    said = [world.apply("--wait", code=None, CALLERS=PLANTED["FROM_ENV"]), world.run("status", "job")]
    assert "its budget was spent: key [redacted]" in said[1].out
    assert "'[redacted]' is not of type 'object'" in said[1].out
    assert not any(found_in(one.out + one.err) for one in said)
    written = {p: p.read_bytes() for p in world.home.rglob("*") if p.is_file() and "agents" not in p.parts}
    assert not [path for path, content in written.items() if found_in(content) or b"a1b2c3" in content]


def test_no_byte_that_haymaker_writes_or_prints_holds_a_secret(planted):
    world = planted
    checks = [{"name": "repeats", "command": ["sh", "-c", "cat agent.log; exit 1"]}]
    world.task("job", "teller", env=ENV, success={"checks": checks})
    world.declare("talker", "talker", env=ENV)
    given = {"CALLERS": PLANTED["FROM_ENV"]}
    said = [world.apply("--wait", code=None, **given), world.apply("-o", "json", **given)]

    def talk():
        logs = world.run("logs", "talker")
        return logs if "said" in logs.out else None

    live = eventually(talk)
    assert live.out.splitlines()[0] == " ".join(["[redacted]"] * 4), "known by what the live run was started with"
    said.append(live)
    ran = len(world.lines("vault"))
    for args in ("status", "status job", "list -o json", "why job -o json", "runs job -o json", "events", "plan"):
        said.append(world.run(*args.split(), **given))
    assert len(world.lines("vault")) == ran, "a look runs no command"
    assert "[redacted] [redacted] [redacted] [redacted]" in world.run("status", "job", "-o", "json").out
    assert {name: found for one in said if (found := found_in(one.out + one.err)) for name in one.args} == {}
    over = world.run("logs", "job", **given)
    assert found_in(over.out) == ["FROM_COMMAND"]
    assert "the value of FROM_COMMAND is not known here, so it is not masked" in over.err
    kept = {name: found for name, (_, content) in world.snapshot().items() if (found := found_in(content))}
    raw = {f"agents/{entry['id']}/agent.log": list(PLANTED) for entry in world.entries().values()}
    assert kept == raw, "only what the agents themselves wrote, in their own files, holds it"
    alive = next(a for a in world.everybody() if a.env.get("HAYMAKER_DEPLOYMENT") == "talker")
    assert {name: alive.env[name] for name in PLANTED} == PLANTED
    assert alive.env["HAYMAKER_SECRET_ENV"].split(",") == list(PLANTED)


def test_the_log_of_a_deleted_deployment_is_masked_by_where_its_secrets_came_from(planted):
    world = planted
    world.task("job", "teller", env=ENV)
    world.apply("--wait", code=None, CALLERS=PLANTED["FROM_ENV"])
    world.task("job", "teller")  # its next generation has none, and the log of the one before is masked all the same
    world.apply("--wait", code=None)
    before = world.run("logs", "job", "--previous", CALLERS=PLANTED["FROM_ENV"])
    assert found_in(before.out) == ["FROM_COMMAND"]
    assert world.delete("-y").code == 0
    after = world.run("logs", "job", "--run", "1.1", CALLERS=PLANTED["FROM_ENV"])
    assert after.out == before.out
    assert "the value of FROM_COMMAND is not known here, so it is not masked" in after.err
    assert "the value of FROM_ENV, FROM_COMMAND is not known here" in world.run("logs", "job", "--run", "1.1").err
    [kept] = (world.home / "history").iterdir()
    assert not found_in(kept.read_bytes())
    assert b"vault.sh" not in kept.read_bytes(), "the words of a command do not outlive its deployment"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo planted-g7h8i9; echo planted-g7h8i9 >&2; exit 3", "which failed with exit code 3"),
        ("printf 'planted-g7h8i9\\377'", "which printed what is not UTF-8"),
        ("echo planted-g7h8i9; kill -9 $$", "which was ended by signal 9"),
        ("#!/no/such/shell", "which cannot be started: its first line names a program that does not exist"),
    ],
)
def test_a_command_that_fails_fails_that_start_and_tells_nothing(world, script, why):
    vault(world, script)
    world.declare("web", env=[{"name": "KEY", "valueFrom": {"command": ["./vault.sh"]}}])
    world.declare("other")
    said = world.apply(code=3)
    at = f"web.yaml:{world.line_of('web', 'command')}:6 spec.env[2].valueFrom.command"
    assert f"{at}: env KEY comes from the command ./vault.sh, {why}\n  fix: run it by hand in " in said.err
    assert f"{at}: env KEY" in world.run("status", "web").out
    assert "Degraded  it is not started: create failed: " in world.run("why", "web").out
    assert world.agents("web") == []
    assert world.one("other")
    assert not [s for s in (said, world.run("why", "web"), world.run("status")) if found_in(s.out + s.err)]
    assert not [name for name, (_, content) in world.snapshot().items() if found_in(content)]


def test_a_keyring_that_is_not_installed_is_an_error_of_the_plan(world):
    world.env["PYTHONPATH"] = ""
    world.declare("web", env=[{"name": "KEY", "valueFrom": SOURCES["FROM_KEYRING"]}])
    said = world.plan(code=65)
    assert "spec.env[2].valueFrom.keyring: the keyring is not installed" in said.err
    assert "pip install 'agent-haymaker[keyring]'" in said.err


def test_a_machine_without_a_keyring_is_told_from_a_locked_one(world):
    raises = "def get_password(*_):\n    raise errors.NoKeyringError\n"
    stand_in = f"class errors:\n    class NoKeyringError(RuntimeError): ...\n\n\n{raises}"
    world.write("keyring.py", stand_in)
    world.env["PYTHONPATH"] = str(world.manifests)
    world.declare("web", env=[{"name": "KEY", "valueFrom": SOURCES["FROM_KEYRING"]}])
    said = world.apply(code=None)
    assert "the keyring entry mail/me, and this machine has no keyring that can be asked" in said.err
    assert "keyring --list-backends" in said.err


def resolve(argv: list[str], folder: Path) -> str:
    item = {"name": "KEY", "valueFrom": {"command": argv}}
    return values.resolve_env([item], dict(os.environ), source="a.yaml:1", folder=str(folder))["KEY"]


def test_a_command_gets_little_and_loses_one_line_end(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    script = "import os, sys; print(sorted(set(os.environ) - {'LC_CTYPE'}), os.getcwd(), sys.stdin.read(), 'end\\n')"
    said = resolve([sys.executable, "-c", script], tmp_path)
    assert said.endswith("end\n")
    assert f" {tmp_path} " in said
    assert "AWS" not in said


@pytest.mark.parametrize("how", ["sleep 100 & exec sleep 100", "exec >&-; sleep 100 & sleep 100", "yes"])
def test_a_command_that_does_not_end_is_ended_with_all_it_started(tmp_path, monkeypatch, how):
    monkeypatch.setattr(values, "COMMAND_SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(ManifestError, match=r"did not end within 1 s|printed more than 64 KiB"):
        resolve(["sh", "-c", f"echo $$ > pid; {how}"], tmp_path)
    assert time.monotonic() - began < 60
    group = int((tmp_path / "pid").read_text())
    eventually(lambda: not members(group))


def members(group: int) -> list[int]:
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            state, _, pgrp = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(pid)
    return found


def test_a_rotated_secret_is_reported_and_restarts_nobody(world):
    token = world.manifests / "token"
    token.write_text("first-value\n")
    env = [{"name": "KEY", "valueFrom": {"env": "CALLERS"}}, {"name": "TOKEN", "valueFrom": {"file": "token"}}]
    world.declare("web", env=env)
    world.declare("mail", env=env[:1])
    world.apply(CALLERS="one-value")
    agent = world.one("web")
    assert "another value" not in world.apply(CALLERS="one-value").out
    token.write_text("second-value\n")
    said = world.apply(CALLERS="two-value")
    assert "web: KEY, TOKEN have another value now than its run was given" in said.out
    assert "mail: KEY has another value" in said.out
    assert "nothing to do" in said.out
    assert "another value" in world.run("why", "web", CALLERS="two-value").out
    assert "web: TOKEN has another value" in world.apply().out  # whoever has no CALLERS knows of no other one
    assert "-value" not in said.out + said.err
    assert world.one("web").pid == agent.pid
    manifest = world.manifests / "web.yaml"
    manifest.write_text(
        manifest.read_text().replace('"metadata": {', '"metadata": {"annotations": {"haymaker/restartedAt": "1"},')
    )
    world.apply(CALLERS="two-value")
    assert world.one("web").env["TOKEN"] == "second-value"
    assert "web: " not in world.apply(CALLERS="two-value").out
