"""What looks show when the world is not as it should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent_haymaker.testing import eventually

if TYPE_CHECKING:
    from conftest import Cli


def test_a_damaged_record_is_doubt_and_a_foreign_one_unmanaged(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    record = next((own.home / "state").glob("keeper-*.json"))
    whole = record.read_text()
    record.write_text(whole[:50])
    (own.home / "state" / "stray-0123abcd.json").write_text('{"deployment_id": "stray-0123abcd", "status": "running"}')
    listed = json.loads(own("list", "-o", "json").out)["items"]
    by_name = {item["name"]: item for item in listed}
    assert by_name["keeper"]["health"] == "Unknown"
    assert by_name["stray"]["managed"] is False
    assert own("status", "keeper", "--exit-status").code == 1
    assert "not valid JSON" in own("status", "keeper").out
    assert own("status", "stray").code == 0
    examined = own("doctor")
    assert examined.code == 1
    assert "stray" in examined.out
    record.write_text(whole)
    assert own("status", "keeper", "--exit-status").code == 0


def test_an_unreadable_inventory_is_doubt_for_every_look(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    checkpoint = own.home / "fleets" / "shop.json"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-20])
    assert own("doctor").code == 1
    assert own("status", "keeper", "--exit-status").code == 1
    checkpoint.write_bytes(whole)


def test_why_tells_a_change_before_it_is_applied(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    manifest = own.folder / "fleet.yaml"
    manifest.write_text(manifest.read_text().replace("exit 3", "exit 4").replace("name: reporter,", "name: renamed,"))
    explained = own("why", "loser").out
    assert "exit 3 → exit 4" in explained
    assert "OutOfSync" in explained
    assert "Missing" in own("why", "renamed").out
    assert "no manifest" in own("why", "reporter").out
    manifest.write_text(manifest.read_text() + "  unknown: 1\n")
    broken = own("why", "loser").out
    assert "problem" in broken


def test_waiting_ends_when_another_process_deletes(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    waiting = own.popen("wait", "keeper", "--for", "deleted", "--timeout", "30s")
    assert own("delete", "-f", "manifests", "--yes").code == 0
    out, err = waiting.communicate(timeout=20)
    assert (waiting.returncode, out, err) == (0, "keeper: deleted\n", "")
    assert "removed" in own("runs", "keeper", "-o", "wide").out
    assert own("logs", "keeper", "-n", "1").code == 0


def test_what_waits_in_vain_says_so_and_ends_a_wait_for_it(own: Cli) -> None:
    manifest = own.folder / "fleet.yaml"
    manifest.write_text(manifest.read_text().replace("path: report.txt", "path: other.txt"))
    assert own("apply", "-f", "manifests").code == 0
    assert own("status", "loser", "-o", "json").out.count("DependencyNotMet") == 0
    assert eventually(lambda: "Degraded" in (own("apply", "-f", "manifests").out, own("status", "reporter").out)[1])
    why = "reporter will not be GoalMet: its run ended (exit code 0, checks failed)"
    stands = json.loads(own("status", "loser", "-o", "json").out)
    assert (stands["health"], stands["reason"]) == ("Degraded", "DependencyNotMet")
    listed = json.loads(own("list", "-o", "json").out)["items"]
    assert next(i for i in listed if i["name"] == "loser").items() <= stands.items()
    assert own("status", "loser", "--exit-status").code == 3
    explained = own("why", "loser").out
    assert f"Degraded  it is not started: {why}" in explained
    assert "next        nothing, until its dependency is mended or its manifest changes" in explained
    for wanted in ("condition=GoalMet", "health=Healthy", "status=running"):
        waited = own("wait", "loser", "--for", wanted, "--timeout", "50s")
        assert (waited.code, why in waited.err) == (1, True), waited
    manifest.write_text(manifest.read_text().replace("path: other.txt", "path: report.txt"))
    assert "reporter is not GoalMet yet" in own("why", "loser").out


def test_a_run_that_ended_unrecorded_says_that_a_pass_is_missing(own: Cli) -> None:
    assert own("apply", "-f", "manifests").code == 0
    assert eventually(
        lambda: own("wait", "reporter", "--for", "status=completed", "--timeout", "5s").code == 0, within=10
    )
    waited = own("wait", "reporter", "--for", "condition=GoalMet", "--timeout", "200ms")
    assert waited.code == 4
    assert "run `haymaker apply`" in waited.err
