"""Events: told in this process and in others, each once, in order, and harmless."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_haymaker import events
from agent_haymaker.events import ALL_TOPICS, DEPLOYMENT_STARTED, EventData, LocalEventBus
from agent_haymaker.testing import eventually_async

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(params=["in memory", "in files"])
def bus(request, tmp_path):
    return LocalEventBus(tmp_path / "events" if request.param == "in files" else None)


def test_the_topics_are_the_contracts():
    assert set(ALL_TOPICS) == {
        "deployment.started",
        "deployment.completed",
        "deployment.failed",
        "deployment.phase_changed",
        "deployment.log",
        "deployment.stopped",
        "workload.progress",
        "resource.created",
        "resource.deleted",
    }
    assert len(ALL_TOPICS) == len(set(ALL_TOPICS))


def test_each_subscriber_of_a_topic_hears_each_event_once_and_in_order(bus):
    async def scenario():
        sync_heard, async_heard, others = [], [], []

        async def hear(event):
            await asyncio.sleep(0)
            async_heard.append(event["n"])

        await bus.publish("t", {"n": -1})
        await bus.subscribe("t", lambda event: sync_heard.append(event["n"]))
        await bus.subscribe("t", hear)
        await bus.subscribe("other", others.append)
        for n in range(50):
            await bus.publish("t", {"n": n})
        await eventually_async(lambda: len(sync_heard) >= 50 and len(async_heard) >= 50)
        await bus.close()
        assert sync_heard == async_heard == list(range(50))
        assert others == []

    asyncio.run(scenario())


def test_a_subscriber_hears_only_what_comes_after_it(bus):
    async def scenario():
        first, second = [], []
        await bus.subscribe("t", lambda event: first.append(event["n"]))
        await bus.publish("t", {"n": 1})
        await bus.subscribe("t", lambda event: second.append(event["n"]))
        await bus.publish("t", {"n": 2})
        await eventually_async(lambda: len(first) == 2 and second)
        await bus.close()
        assert (first, second) == ([1, 2], [2])

    asyncio.run(scenario())


def test_a_callback_that_raises_harms_nobody_and_hears_the_next(bus, caplog):
    async def scenario():
        heard, good = [], []

        def bad(event):
            heard.append(event["n"])
            raise RuntimeError("not again")

        await bus.subscribe("t", bad)
        await bus.subscribe("t", lambda event: good.append(event["n"]))
        await bus.publish("t", {"n": 1})
        await bus.publish("t", {"n": 2})
        await eventually_async(lambda: len(good) == len(heard) == 2)
        await bus.close()

    asyncio.run(scenario())
    assert "a subscriber of t raised" in caplog.text


def test_a_callback_may_change_its_event_and_end_its_own_subscription(bus):
    async def scenario():
        heard, untouched = [], []

        async def once(event):
            event["n"].append("changed")
            await bus.unsubscribe(own)
            heard.append(event["n"])

        own = await bus.subscribe("t", once)
        await bus.subscribe("t", lambda event: untouched.append(event["n"]))
        await bus.publish("t", {"n": [1]})
        await bus.publish("t", {"n": [2]})
        await eventually_async(lambda: len(untouched) == 2)
        await bus.close()
        assert heard == [[1, "changed"]]
        assert untouched == [[1], [2]]

    asyncio.run(scenario())


def test_an_ended_subscription_hears_nothing_more(bus):
    async def scenario():
        heard = []
        own = await bus.subscribe("t", heard.append)
        witness = []
        await bus.subscribe("t", witness.append)
        assert bus.subscriber_count("t") == 2
        await bus.unsubscribe(own)
        await bus.unsubscribe("nobody's")
        assert bus.subscriber_count("t") == 1
        await bus.publish("t", {})
        await eventually_async(lambda: witness)
        assert heard == []
        await bus.close()
        await bus.close()
        assert bus.subscriber_count("t") == 0
        await bus.subscribe("t", heard.append)
        await bus.publish("t", {"again": True})
        await eventually_async(lambda: heard == [{"again": True}])
        await bus.close()

    asyncio.run(scenario())


def test_a_bus_serves_one_loop_after_another(bus):
    async def scenario(n):
        heard = []
        await bus.subscribe("t", heard.append)
        await bus.publish("t", {"n": n})
        await eventually_async(lambda: heard == [{"n": n}])

    for n in range(2):
        asyncio.run(scenario(n))


def test_a_subscriber_too_slow_loses_events_and_not_the_memory(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(events, "QUEUE_LENGTH", 3)
    bus = LocalEventBus()

    async def scenario():
        await bus.subscribe("t", lambda event: asyncio.Event().wait())
        for n in range(10):
            await bus.publish("t", {"n": n})
        await eventually_async(lambda: "queue full" in caplog.text)
        await bus.close()

    asyncio.run(scenario())


def test_a_burst_is_not_lost_on_a_subscriber_that_keeps_up(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "QUEUE_LENGTH", 500)
    heard = []

    async def scenario():
        reader, writer = LocalEventBus(tmp_path), LocalEventBus(tmp_path)
        await reader.subscribe("t", lambda event: heard.append(event["n"]))
        for n in range(5000):
            await writer.publish("t", {"n": n})
        assert heard == [], "the precondition: it all comes at once"
        await eventually_async(lambda: len(heard) >= 5000)
        await reader.close()

    asyncio.run(scenario())
    assert heard == list(range(5000))


def test_an_event_may_be_a_model():
    heard = []

    async def scenario():
        bus = LocalEventBus()
        await bus.subscribe(DEPLOYMENT_STARTED, heard.append)
        await bus.publish(DEPLOYMENT_STARTED, EventData(topic=DEPLOYMENT_STARTED, deployment_id="a-1", data={"x": 1}))
        await eventually_async(lambda: heard)
        await bus.close()

    asyncio.run(scenario())
    assert heard[0]["deployment_id"] == "a-1"
    assert heard[0]["data"] == {"x": 1}
    assert isinstance(heard[0]["timestamp"], str)


# ---- across processes ----

PUBLISHER = """
import asyncio, sys
from pathlib import Path
from agent_haymaker.events import LocalEventBus
async def main():
    bus = LocalEventBus(Path(sys.argv[1]), segment_bytes=int(sys.argv[4]))
    for n in range(int(sys.argv[3])):
        await bus.publish("t", {"who": sys.argv[2], "n": n})
asyncio.run(main())
"""

SUBSCRIBER = """
import asyncio, json, sys
from pathlib import Path
from agent_haymaker.events import LocalEventBus
async def main():
    bus = LocalEventBus(Path(sys.argv[1]))
    await bus.subscribe("t", lambda event: print(json.dumps(event), flush=True))
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def python(code, *argv):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, argv)], env=ENV, text=True, stdout=subprocess.PIPE)


def test_an_event_published_in_one_process_is_seen_by_a_subscriber_in_another(tmp_path):
    subscriber = python(SUBSCRIBER, tmp_path / "events")
    try:
        assert subscriber.stdout.readline() == "ready\n"
        publisher = python(PUBLISHER, tmp_path / "events", "me", 3, 10**6)
        publisher.communicate(timeout=120)
        assert publisher.returncode == 0
        heard = [json.loads(subscriber.stdout.readline()) for _ in range(3)]
        assert heard == [{"who": "me", "n": n} for n in range(3)]
    finally:
        subscriber.kill()
        subscriber.communicate()


def test_many_publishers_and_rotation_lose_and_repeat_nothing(tmp_path):
    """Segments of 32 KiB, so that four writers rotate them under a reader's eyes."""
    heard = []

    async def scenario():
        bus = LocalEventBus(tmp_path / "events", segment_bytes=32 * 1024)
        await bus.subscribe("t", heard.append)
        publishers = [python(PUBLISHER, tmp_path / "events", f"p{i}", 400, 32 * 1024) for i in range(4)]
        await eventually_async(lambda: len(heard) >= 1600, within=120)
        for publisher in publishers:
            publisher.communicate()
        await bus.close()

    asyncio.run(scenario())
    for i in range(4):
        assert [event["n"] for event in heard if event["who"] == f"p{i}"] == list(range(400))
    assert len(heard) == 1600
    assert len(os.listdir(tmp_path / "events")) > 1, "the precondition: it was rotated"


def test_events_are_bounded_on_disk(tmp_path):
    async def scenario():
        bus = LocalEventBus(tmp_path, segment_bytes=1000)
        for n in range(300):
            await bus.publish("t", {"n": n, "text": "x" * 50})

    asyncio.run(scenario())
    assert 1 < len(os.listdir(tmp_path)) <= events.SEGMENTS_KEPT
    assert sum((tmp_path / name).stat().st_size for name in os.listdir(tmp_path)) < 5000


def test_a_killed_publisher_and_rubbish_in_the_file_harm_nobody(tmp_path):
    folder = tmp_path / "events"
    heard = []

    async def scenario():
        bus = LocalEventBus(folder)
        await bus.subscribe("t", lambda event: heard.append(event["n"]))
        await bus.publish("t", {"n": 1})
        with (folder / "00000001.jsonl").open("ab") as file:
            file.write(b'\n{"topic": "t", "event": {"n": 2')  # torn
        await bus.publish("t", {"n": 3})
        with (folder / "00000001.jsonl").open("ab") as file:
            file.write(b'\xff\xfe\x00\n[]\n{"topic": 1, "event": {}}\n{"topic": "t"}\n' + b"[" * 100_000 + b"\n")
        (folder / "rubbish.jsonl").write_text("?")
        (folder / "notes.txt").write_text("?")
        await bus.publish("t", {"n": 4})
        await eventually_async(lambda: len(heard) >= 3)
        for _ in range(3):
            victim = python(PUBLISHER, folder, "victim", 10**9, 10**6)
            before = len(heard)
            await eventually_async(lambda before=before: len(heard) > before + 5)
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
        await bus.publish("t", {"n": "last"})
        await eventually_async(lambda: heard[-1] == "last")
        await bus.close()

    asyncio.run(scenario())
    assert heard[:3] == [1, 3, 4]


def test_a_folder_that_is_emptied_and_made_again_goes_on(tmp_path):
    folder = tmp_path / "events"
    heard = []

    async def scenario():
        bus = LocalEventBus(folder)
        await bus.subscribe("t", lambda event: heard.append(event["n"]))
        await bus.publish("t", {"n": 1, "long": "x" * 1000})
        await eventually_async(lambda: heard == [1])
        for name in os.listdir(folder):
            (folder / name).unlink()
        folder.rmdir()
        await bus.publish("t", {"n": 2})
        await eventually_async(lambda: heard == [1, 2])
        await bus.close()

    asyncio.run(scenario())


def test_a_disk_that_refuses_keeps_the_event_in_this_process_and_says_so(tmp_path, caplog):
    (tmp_path / "events").write_text("a file stands where the folder should")
    heard = []

    async def scenario():
        bus = LocalEventBus(tmp_path / "events")
        await bus.subscribe("t", heard.append)
        with caplog.at_level(logging.WARNING):
            await bus.publish("t", {"n": 1})
        await eventually_async(lambda: heard == [{"n": 1}])
        await bus.close()

    asyncio.run(scenario())
    assert "stays in this process" in caplog.text


def test_events_are_for_their_owner_alone(tmp_path):
    folder = tmp_path / "home" / "events"
    asyncio.run(LocalEventBus(folder).publish("t", {}))
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "00000001.jsonl").stat().st_mode & 0o777 == 0o600


def test_an_event_beyond_a_mebibyte_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at most"):
        asyncio.run(LocalEventBus(tmp_path).publish("t", {"x": "x" * 1024 * 1024}))


def test_what_json_cannot_say_is_told_as_text(tmp_path):
    heard = []

    async def scenario():
        bus = LocalEventBus(tmp_path)
        await bus.subscribe("t", heard.append)
        await bus.publish("t", {"path": Path("/x"), "pair": (1, 2)})
        await eventually_async(lambda: heard)
        await bus.close()

    asyncio.run(scenario())
    assert heard == [{"path": "/x", "pair": [1, 2]}]
