"""
The journal and the inventory on a real disk: what a crash can leave, and what is read from it.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from agent_haymaker.errors import PlatformError
from agent_haymaker.lean import replace
from reconciler.inventory import Entry, Run, desired_json, load_inventory
from reconciler.journal import Journal, Position, read_backwards, read_tail

FIXTURES = Path(__file__).parent / "fixtures"


def entry(name: str, **facts) -> Entry:
    return Entry(name, f"{name}-00000001", "prod", 1, "1:a", **facts)


def result(name: str, made: Entry | None = None, **facts) -> dict:
    return {"type": "result", "name": name, **({"entry": made.to_json()} if made else {}), **facts}


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal")
    yield made
    made.close()


def test_what_is_appended_is_read_back_in_order(tmp_path, journal):
    for number in range(3):
        journal.append({"n": number})
    assert read_tail(tmp_path / "journal", Position()).records == [], "it waits for a commit"
    journal.commit()
    assert [r["n"] for r in read_tail(tmp_path / "journal", Position()).records] == [0, 1, 2]
    assert [r["n"] for r in read_backwards(tmp_path / "journal")] == [2, 1, 0]


def test_reading_goes_on_from_a_position(tmp_path, journal):
    journal.append({"n": 0})
    position = journal.position
    journal.append({"n": 1})
    journal.commit()
    assert [r["n"] for r in read_tail(tmp_path / "journal", position).records] == [1]


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_torn_last_line_is_no_line_and_the_next_one_stands_alone(tmp_path, cut):
    first = Journal(tmp_path / "journal")
    first.append({"n": 0})
    first.append({"torn": "half"})
    first.close()
    path = next((tmp_path / "journal").iterdir())
    path.write_bytes(path.read_bytes()[:-cut])
    second = Journal(tmp_path / "journal")
    second.append({"n": 1})
    second.close()
    tail = read_tail(tmp_path / "journal", Position())
    assert [r["n"] for r in tail.records if "n" in r] == [0, 1]


def test_garbage_in_the_middle_is_counted_and_passed_over(tmp_path, journal):
    journal.append({"n": 0})
    journal.close()
    path = next((tmp_path / "journal").iterdir())
    path.write_bytes(path.read_bytes() + b"\x00\xff not json\n[1]\n")
    journal.append({"n": 1})
    journal.commit()
    tail = read_tail(tmp_path / "journal", Position())
    assert ([r["n"] for r in tail.records], tail.damaged) == ([0, 1], 2)


def test_rotation_keeps_numbering_and_drops_the_oldest(tmp_path, journal):
    for number in range(8):
        journal.append({"n": number})
        journal.rotate()
    names = sorted(os.listdir(tmp_path / "journal"))
    assert names[-1] == "00000009.jsonl"
    assert len(names) <= 4


def test_a_full_disk_leaves_no_half_line(tmp_path):
    import resource
    import subprocess
    import sys

    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from pathlib import Path\nfrom reconciler.journal import Journal\n"
        "from agent_haymaker.errors import PlatformError\n"
        "j = Journal(Path(sys.argv[1])); j.append({'n': 0}); j.commit(); j.append({'x': 'y' * 200})\n"
        "try: j.commit()\n"
        "except PlatformError as e: print(e.what)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "journal")], capture_output=True, text=True, check=True
    )
    assert "could not write the journal" in ran.stdout
    tail = read_tail(tmp_path / "journal", Position())
    assert ([r["n"] for r in tail.records], tail.damaged) == ([0], 0)
    assert next((tmp_path / "journal").iterdir()).read_bytes().endswith(b"\n")


# ---- the inventory ----------------------------------------------------------------------------------------


def test_checkpoint_and_journal_together_are_the_inventory(tmp_path, journal):
    inventory = load_inventory(tmp_path)
    for record in (result("a", entry("a")), result("b", entry("b"))):
        journal.append(record)
        inventory.apply(record)
    inventory.checkpoint(journal.position)
    journal.append(result("a", removes="a"))
    journal.append(result("c", entry("c", run=Run("k", 1, exit_code=0))))
    journal.commit()
    read = load_inventory(tmp_path)
    assert sorted(read.entries) == ["b", "c"]
    assert read.entries["c"].run == Run("k", 1, exit_code=0)


def test_a_checkpoint_holds_every_field_of_an_entry_and_shares_what_is_alike(tmp_path):
    full = Entry(
        "full", "full-1", "prod", 3, "1:d", desired_json({"spec": {"x": 1}}), "w", "1:s", "a.yaml:1", "/r", {"a": "b"},
        {"c": "d"}, True, "Retain", True, True, True, 60.0, 2, True, "1:f", {"digest": "1:h"}, 5.0,
        (("other", "Started"),), "it waits", {"verdict": "Held"}, (1, 2, 3),
        Run("k", 4, {"engine": "local", "key": "k", "token": {"pid": 7}}, 1.0, 2.0, 0, None, "exited", "exit code 0",
            True, False, "quiet", "turns", True, ({"name": "c", "passed": True},), {"turns": 3.0}, {"turns": 2},
            "no model"),
    )  # fmt: skip
    blank = Entry("", "", "", 0, "")
    assert all(getattr(full, name) != getattr(blank, name) for name in Entry.__slots__), "a field is not tried here"
    inventory = load_inventory(tmp_path)
    entries = [full, replace(full, name="twin", id="twin-1"), entry("bare")]
    for one in entries:
        inventory.put(one)
    inventory.checkpoint(Position(1, 0))
    assert load_inventory(tmp_path).entries == {one.name: one for one in entries}
    assert len(json.loads((tmp_path / "fleets" / "prod.json").read_text())["shapes"]) == 2


def test_a_checkpoint_of_version_1_is_read(tmp_path):
    shutil.copytree(FIXTURES / "checkpoint-v1", tmp_path / "fleets")
    read = load_inventory(tmp_path)
    assert not read.doubts
    assert read.fleets["prod"].root == "/srv/manifests"
    web = read.entries["web"]
    assert (web.id, web.service, web.labels, web.identity) == ("web-6204b4f0", True, {"team": "blue"}, (5, 6, 7))
    assert web.run == Run("i.web-6204b4f0.1.1", 1, {"engine": "local", "key": "k", "token": {"pid": 61}}, 9.5)
    assert (web.desired["spec"], read.entries["bare"].run) == ({"x": 1}, None)


def test_a_renamed_entry_leaves_its_old_name(tmp_path, journal):
    journal.append(result("a", entry("a")))
    journal.append(result("b", entry("b"), removes="a"))
    journal.commit()
    assert sorted(load_inventory(tmp_path).entries) == ["b"]


def test_an_intent_without_a_result_stays_open_and_keeps_the_checkpoint_back(tmp_path, journal):
    intent = {"type": "intent", "verb": "create", "name": "a", "key": "k", "entry": entry("a").to_json()}
    journal.append(result("b", entry("b")))
    journal.append(intent)
    journal.commit()
    read = load_inventory(tmp_path)
    assert read.intents["a"].key == "k"
    read.checkpoint(journal.position)
    assert not (tmp_path / "fleets").exists() or not list((tmp_path / "fleets").iterdir())
    journal.append(result("a", entry("a")))
    journal.commit()
    assert not load_inventory(tmp_path).intents


def test_what_started_is_the_intended_entry_with_its_run(tmp_path, journal):
    intended = entry("a", desired=desired_json({"spec": {"x": 1}}), run=Run("k", 1))
    journal.append({"type": "intent", "verb": "create", "name": "a", "key": "k", "entry": intended.to_json()})
    run = Run("k", 1, handle={"engine": "local", "key": "k", "token": {}}, started_at=5.0)
    journal.append({"type": "started", "name": "a", "run": run.to_json(), "identity": [1, 2, 3]})
    journal.commit()
    read = load_inventory(tmp_path)
    assert not read.intents
    assert read.entries["a"] == replace(intended, run=run, identity=(1, 2, 3))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"schema_version": 1}', b'{"schema_version": 99}', b"\xff\xfe", b'{"entries": 3}',
     b'{"schema_version":1,"journal":[1,0],"entries":{"a":{"nonsense":1}},"root":"","revision":{},"declared":0}'],
)  # fmt: skip
def test_an_unreadable_inventory_is_doubt_and_is_kept(tmp_path, content):
    path: Path = tmp_path / "fleets" / "prod.json"
    path.parent.mkdir()
    path.write_bytes(content)
    assert "prod" in load_inventory(tmp_path).doubts
    assert path.read_bytes() == content


def test_loading_writes_nothing(tmp_path):
    load_inventory(tmp_path)
    assert not list(tmp_path.iterdir())


def test_entries_survive_json(tmp_path):
    made = entry("a", labels={"k": "v"}, identity=(1, 2, 3), run=Run("k", 2, checks=({"name": "x", "passed": True},)))
    assert Entry.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_appending_where_nothing_may_be_written_says_what_to_do(tmp_path):
    (tmp_path / "journal").write_text("a file in its place")
    journal = Journal(tmp_path / "journal")
    journal.append({})
    with pytest.raises(PlatformError, match="journal") as caught:
        journal.commit()
    assert caught.value.fix


def test_desired_states_are_read_when_one_is_asked_for_and_survive_another_layout(tmp_path, journal):
    inventory = load_inventory(tmp_path)
    inventory.put(entry("a", desired=desired_json({"spec": {"x": 'é\n",\\n"specs": '}})))
    inventory.checkpoint(journal.position)
    path = tmp_path / "fleets" / "prod.json"
    assert load_inventory(tmp_path).entries["a"].desired["spec"]["x"] == 'é\n",\\n"specs": '
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))
    assert load_inventory(tmp_path).entries["a"].desired["spec"]["x"] == 'é\n",\\n"specs": '


def test_a_checkpoint_cut_short_is_doubt(tmp_path, journal):
    inventory = load_inventory(tmp_path)
    inventory.put(entry("a", desired=desired_json({"spec": {}})))
    inventory.checkpoint(journal.position)
    path = tmp_path / "fleets" / "prod.json"
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:-cut])
        assert "prod" in load_inventory(tmp_path).doubts, whole[:-cut]
