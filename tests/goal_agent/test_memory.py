"""What a deployment remembers: facts and outcomes, over runs and generations, until it is deleted."""

from __future__ import annotations

import pytest

from agent_haymaker.errors import PlatformError
from agent_haymaker.memory import OUTCOME, MemoryStore

GOAL = """# Learn

## Steps

```sh
cp "$HAYMAKER_RECALLED" seen.md
printf -- '- the printer is on the second floor\\n- it jams on Mondays\\n' >> learned.md
```

## Success Criteria

- It recalled something: `test -s seen.md`
"""


def test_what_one_run_learned_the_next_one_recalls(agent):
    first = agent.run(GOAL, enable_memory=True)
    assert first.code == 1
    second = agent.run(GOAL, enable_memory=True)
    assert second.code == 0, second.log
    seen = (agent.folder / "seen.md").read_text()
    assert {"- the printer is on the second floor", "- it jams on Mondays"} < set(seen.splitlines())
    assert "- outcome: not met: 1 of 1 check failed: It recalled something" in seen
    learned = [event["learned"] for event in second.events if "learned" in event]
    assert learned == [0], "what is known is not learned twice"
    assert agent.run(GOAL).code == 1, "without enable_memory nothing is recalled"


def test_facts_that_fit_come_first_and_outcomes_in_order(tmp_path):
    with MemoryStore(tmp_path / "m") as store:
        for text in ("the sky is blue", "the printer jams on Mondays", "bread is in the kitchen"):
            assert store.learn(text)
        assert not store.learn("the sky is blue")
        for number in range(7):
            store.learn(f"run {number}", kind=OUTCOME)
        found = store.recall('mend the "printer"; DROP TABLE', facts=2, outcomes=2)
        assert [memory.text for memory in found] == [
            "the printer jams on Mondays", "bread is in the kitchen", "run 5", "run 6",
        ]  # fmt: skip
    assert (tmp_path / "m/memory.db").stat().st_mode & 0o777 == 0o600


def test_a_memory_that_is_none_is_told(tmp_path):
    (tmp_path / "memory.db").write_text("not a database, whatever its name says" * 100)
    with pytest.raises(PlatformError, match="the memory cannot be opened"):
        MemoryStore(tmp_path)
    with pytest.raises(FileNotFoundError):
        MemoryStore(tmp_path / "none", read_only=True)
