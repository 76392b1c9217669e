"""`haymaker tell` and `haymaker memory`: an agent is told, and remembers over its generations."""

from __future__ import annotations

import pytest

from agent_haymaker.testing import eventually

GOAL = """# Learn

## Steps

```sh
cp "$HAYMAKER_RECALLED" seen.md
cat "$HAYMAKER_INSTRUCTIONS"
printf -- '- the printer is on the second floor\\n- it jams on Mondays\\n' >> learned.md
```

## Success Criteria

- It learned: `test -s learned.md`
"""


MANIFEST = """
apiVersion: haymaker/v1
kind: Deployment
metadata: {name: learner}
spec: {workload: goal-agent, goal: {file: goal.md}, config: {enable_memory: true}, run: {restartPolicy: Never}}
"""


@pytest.mark.slow
def test_memory_outlives_a_generation_and_goes_with_its_deployment(world):
    world.write("goal.md", GOAL)
    world.write("learner.yaml", MANIFEST)
    assert world.run("tell", "learner", "Too early.").code != 0
    world.apply("--wait")
    assert "it jams on Mondays" in world.run("memory", "learner").out
    told = world.run("tell", "learner", "Mind the stairs.")
    assert told.out.startswith("queued for learner: it does not run (completed), and hears of it only if it runs again")
    assert "`haymaker why learner`" in told.out
    world.write("goal.md", GOAL.replace("it jams on Mondays", "it hums"))
    world.apply("--wait")
    items = world.run("memory", "learner", "-o", "json").json["items"]
    assert [item["text"] for item in items if item["kind"] == "fact"] == [
        "the printer is on the second floor", "it jams on Mondays", "it hums",
    ]  # fmt: skip
    assert [item["text"] for item in items if item["kind"] == "outcome"] == ["met", "met"]
    assert len(list((world.home / "memory").iterdir())) == 1
    world.delete()
    assert not list((world.home / "memory").iterdir())


def test_an_agent_at_work_hears_what_it_is_told(world):
    waits = "touch ready; while ! ls inbox/* >/dev/null 2>&1; do sleep 0.02; done"
    step = f'test $HAYMAKER_ATTEMPT = 2 || {{ {waits}; }}\ncat "$HAYMAKER_INSTRUCTIONS"'
    world.write("goal.md", f"# Listen\n\n## Steps\n\n```sh\n{step} > heard.md\ntest -s heard.md\n```\n")
    world.write("learner.yaml", MANIFEST.replace("enable_memory: true", "max_turns: 2"))
    world.apply()
    eventually(lambda: list(world.home.glob("agents/*/ready")))  # else its first attempt hears of it
    told = world.run("tell", "learner", "Mind the stairs.")
    assert (told.code, told.out) == (0, "queued for learner: it hears of it at the end of its turn\n"), str(told)
    said = world.run("wait", "learner", "--for", "status=completed", "--timeout", "120s")
    assert said.code == 0, str(said)
    assert "Told: Mind the stairs." in world.run("logs", "learner").out


def test_what_may_be_told_in_vain_says_what_to_do_instead(world):
    world.declare("web")
    world.write("goal.md", GOAL.replace("cp ", "touch ready; sleep 60; cp "))
    world.write("learner.yaml", MANIFEST)
    world.apply()
    told = world.run("tell", "web", "Mind the stairs.")
    assert told.code == 0, str(told)
    assert "it is no goal agent (its workload is stay), so nobody may ever read inbox/" in told.out
    assert "change its manifest (web.yaml:1) and apply" in told.out
    eventually(lambda: list(world.home.glob("agents/*/ready")))
    world.write("learner.yaml", MANIFEST.replace("spec: {", "spec: {desiredState: stopped, "))
    world.apply()
    told = world.run("tell", "learner", "Mind the stairs.")
    assert "it is stopped, and hears of it once it goes on: apply with desiredState: running" in told.out, str(told)
    (record,) = (path for path in (world.home / "state").iterdir() if path.name.startswith("web"))
    (world.home / "state" / "lost-0123abcd.json").write_text(record.read_text().replace(record.stem, "lost-0123abcd"))
    told = world.run("tell", "lost", "Mind the stairs.")
    assert (told.code, told.out) == (5, ""), str(told)
    assert "lost was not deployed by haymaker" in told.err
    (world.home / "state" / "lost-0123abcd.json").unlink()
