"""What a pass could not do is told afterwards too, by every command that looks, until a pass has done it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from conftest import Cli, make_cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLEET = """\
apiVersion: haymaker/v1
kind: Fleet
metadata: {name: late}
---
apiVersion: haymaker/v1
kind: Workload
metadata: {name: sleeper}
spec: {version: "1.0", command: [sleep, "1000"]}
"""
NAMES = ("blocked", "manual", "patient", "wrong", "gone")
WHY = {
    "blocked": "the environment variable NOPE, which is not set",
    "manual": "the manifest changed; update.strategy is Manual",
    "patient": "the manifest changed; OnCompletion lets this run end first",
    "wrong": "its manifest is wrong; the last good one stays in force",
    "gone": "no manifest declares it; prune is off",
    "eager": "the environment variable NOPE, which is not set",
    "dependent": "eager",
}
MORE = {
    "manual": "  update: {strategy: Manual}\n",
    "patient": "  update: {strategy: OnCompletion}\n",
    "eager": "  env: [{name: T, valueFrom: {env: NOPE}}]\n",
    "dependent": "  dependsOn: [{name: eager, condition: Started}]\n",
}


def declare(cli: Cli, name: str, more: str = "") -> None:
    (cli.folder / f"{name}.yaml").write_text(
        f"apiVersion: haymaker/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  workload: sleeper\n"
        f"  run: {{mode: service, terminationGracePeriod: 0s}}\n{MORE.get(name, '')}{more}"
    )


def stands(cli: Cli, command: str = "status") -> dict[str, Any]:
    return {item["name"]: item for item in json.loads(cli(command, "--edits", "-o", "json").out)["items"]}


def condition(item: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(c for c in item["conditions"] if c["type"] == kind)


def written(cli: Cli) -> list[tuple[str, int, int]]:
    folders = (cli.home / part for part in ("state", "journal", "fleets"))
    files = sorted(path for folder in folders for path in folder.iterdir() if path.suffix != ".looked")
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Cli]:
    """Five that run, of which not one is any more what its manifest says; two that cannot start."""
    cli = make_cli(tmp_path, FLEET)
    try:
        for name in NAMES:
            declare(cli, name)
        assert cli("apply", "-f", "manifests").code == 0
        change = "  env: [{name: A, value: b}]\n"
        for name in ("manual", "patient"):
            declare(cli, name, change)
        declare(cli, "blocked", MORE["eager"])
        declare(cli, "wrong", "  colour: red\n")
        (cli.folder / "gone.yaml").unlink()
        for name in ("eager", "dependent"):
            declare(cli, name)
        assert cli("apply", "-f", "manifests").code == 65
        yield cli
    finally:
        cli("delete", "-f", "manifests", "--yes")


@pytest.mark.slow
def test_what_a_pass_left_out_of_sync_is_told_until_a_pass_mends_it(late: Cli) -> None:
    found = stands(late)
    assert found == stands(late, "list")
    assert set(found) == {*NAMES, "eager", "dependent"}
    for name, item in found.items():
        reconciling = condition(item, "Reconciling")
        assert (item["sync"], reconciling["status"]) == ("OutOfSync", "True"), item
        assert WHY[name] in reconciling["message"], item
        assert WHY[name] in item["message"], item
        assert "as declared" not in item["message"], item
        alone = json.loads(late("status", name, "-o", "json").out)
        assert alone.items() >= item.items()
        why = json.loads(late("why", name, "-o", "json").out)["observed"]
        assert (why["sync"], why["nextAction"]) == ("OutOfSync", item["nextAction"]), why
    assert {found[name]["health"] for name in NAMES} == {"Healthy"}
    assert (found["eager"]["health"], found["eager"]["reason"]) == ("Degraded", "Unresolved")
    assert late("status", "eager", "--exit-status").code == 3

    before = written(late)
    assert late("apply", "-f", "manifests").code == 65
    assert written(late) == before, "what did not change is not written again"

    for name in NAMES:
        declare(late, name)
    (late.folder / "dependent.yaml").unlink()
    assert late("apply", "-f", "manifests", NOPE="here").code == 0
    agree = stands(late)
    assert {agree[name]["sync"] for name in (*NAMES, "eager")} == {"Synced"}
    assert {agree[name]["message"] for name in (*NAMES, "eager")} == {"running as declared"}
    assert agree["dependent"]["sync"] == "OutOfSync"


def test_a_wait_tells_a_change_that_does_not_come_from_a_healthy_run(late: Cli) -> None:
    for name in ("blocked", "manual", "wrong", "gone"):
        waited = late("wait", name, "--for", "condition=Reconciling=False", "--timeout", "50s")
        assert (waited.code, WHY[name] in waited.err) == (1, True), waited
    waited = late("wait", "patient", "--for", "condition=Reconciling=False", "--timeout", "200ms")
    assert (waited.code, WHY["patient"] in waited.err) == (4, True), waited
    waited = late("wait", "blocked")
    assert (waited.code, waited.out) == (0, "blocked: Healthy\n")
    assert "note: blocked is out of sync: " in waited.err
    waited = late("wait", "eager", "--timeout", "50s")
    assert (waited.code, WHY["eager"] in waited.err) == (1, True), waited
