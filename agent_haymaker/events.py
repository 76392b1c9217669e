"""
Events: what happens to deployments, told to whoever listens, in this process or another.

A bus with a folder writes each event as one line of JSON to a shared file there, and every subscriber, wherever it
runs, follows that file: each event once, in the order of the file, from the moment it subscribed. A bus without a
folder serves this process alone. Events are news, not records: they are bounded, and nothing is decided on them.

It refuses to know what a deployment is. Importing it is cheap: asyncio and pydantic come with the first use.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import PlatformError
from agent_haymaker.records import open_regular

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from agent_haymaker.workloads.models import EventData

    Event = dict[str, Any]
    Callback = Callable[[Event], Awaitable[None] | object]

DEPLOYMENT_STARTED = "deployment.started"
DEPLOYMENT_COMPLETED = "deployment.completed"
DEPLOYMENT_FAILED = "deployment.failed"
DEPLOYMENT_PHASE_CHANGED = "deployment.phase_changed"
DEPLOYMENT_LOG = "deployment.log"
DEPLOYMENT_STOPPED = "deployment.stopped"
WORKLOAD_PROGRESS = "workload.progress"
RESOURCE_CREATED = "resource.created"
RESOURCE_DELETED = "resource.deleted"

ALL_TOPICS = (
    DEPLOYMENT_STARTED,
    DEPLOYMENT_COMPLETED,
    DEPLOYMENT_FAILED,
    DEPLOYMENT_PHASE_CHANGED,
    DEPLOYMENT_LOG,
    DEPLOYMENT_STOPPED,
    WORKLOAD_PROGRESS,
    RESOURCE_CREATED,
    RESOURCE_DELETED,
)

__all__ = [
    "ALL_TOPICS",
    "DEPLOYMENT_COMPLETED",
    "DEPLOYMENT_FAILED",
    "DEPLOYMENT_LOG",
    "DEPLOYMENT_PHASE_CHANGED",
    "DEPLOYMENT_STARTED",
    "DEPLOYMENT_STOPPED",
    "RESOURCE_CREATED",
    "RESOURCE_DELETED",
    "WORKLOAD_PROGRESS",
    "EventData",
    "LocalEventBus",
]

MAX_EVENT_BYTES = 1024 * 1024
SEGMENT_BYTES = 8 * 1024 * 1024
SEGMENTS_KEPT = 4
QUEUE_LENGTH = 10_000

_BUSY_SECONDS = 0.02
_IDLE_SECONDS = 0.1
_BATCH = 100
_CHUNK_BYTES = 256 * 1024

logger = logging.getLogger("haymaker.events")


def __getattr__(name: str) -> object:
    if name == "EventData":
        from agent_haymaker.workloads.models import EventData

        return EventData
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@dataclass(eq=False, slots=True)
class _Subscription:
    id: str
    topic: str
    callback: Callback
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Event]
    start: dict[int, int]  # segment -> bytes that were there already when it subscribed
    task: asyncio.Task[None] | None = None
    ended: bool = False

    def offer(self, event: Event) -> None:
        import asyncio

        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            logger.warning("queue full: subscriber %s of %s is too slow and loses an event", self.id, self.topic)

    async def consume(self) -> None:
        while not self.ended:
            event = await self.queue.get()
            try:
                answer = self.callback(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception:  # the callback is not ours; one that raises harms nobody else
                logger.warning("a subscriber of %s raised", self.topic, exc_info=True)


class LocalEventBus:
    """
    Publish to and subscribe by topic. With `directory`, across processes; without, within this one.

    A callback gets the event as a dict of its own; it may be sync or async, and one that raises harms nobody.
    A subscriber that falls 10,000 events behind loses the newest, with a warning.
    """

    def __init__(self, directory: Path | None = None, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._segments = _Segments(directory, segment_bytes) if directory is not None else None
        self._subscriptions: dict[str, _Subscription] = {}
        self._follower: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None

    async def publish(self, topic: str, event: Mapping[str, Any] | EventData) -> None:
        """
        Tell the subscribers of `topic`. A disk that refuses costs the other processes this event, with a warning.

        Raises:
            ValueError: the event is larger than 1 MiB as JSON.
        """
        content: Event = dict(event) if not hasattr(event, "model_dump") else event.model_dump(mode="json")
        if self._segments is None:
            self._offer(topic, content)
            return
        line = _encode(topic, content)
        try:
            self._segments.append(line)
        except (OSError, PlatformError) as error:
            logger.warning("an event of %s stays in this process: %s", topic, error)
            self._offer(topic, json.loads(line)["event"])
            return
        if self._wake is not None and self._follows_here():
            self._wake.set()

    async def subscribe(self, topic: str, callback: Callback) -> str:
        """Call `callback` with every event of `topic` published from now on; return the id to unsubscribe with."""
        import asyncio

        subscription = _Subscription(
            id=os.urandom(16).hex(),
            topic=topic,
            callback=callback,
            loop=asyncio.get_running_loop(),
            queue=asyncio.Queue(QUEUE_LENGTH),
            start=self._segments.ends() if self._segments else {},
        )
        subscription.task = asyncio.create_task(subscription.consume())
        if self._segments is not None and not self._follows_here():
            self._wake = asyncio.Event()
            self._follower = asyncio.create_task(self._follow(self._segments, dict(subscription.start)))
        self._subscriptions[subscription.id] = subscription
        return subscription.id

    async def unsubscribe(self, subscription_id: str) -> None:
        """End a subscription; an id that is not there is no error. Nothing is delivered after this returns."""
        subscription = self._subscriptions.pop(subscription_id, None)
        if subscription is not None:
            subscription.ended = True
            await _end(subscription.task)
        if not self._subscriptions:
            follower, self._follower, self._wake = self._follower, None, None
            await _end(follower)

    async def close(self) -> None:
        """End every subscription. The bus may be used again."""
        for subscription_id in list(self._subscriptions):
            await self.unsubscribe(subscription_id)

    def subscriber_count(self, topic: str) -> int:
        """Return how many subscriptions this bus (not other processes') has to `topic`."""
        return sum(1 for s in self._subscriptions.values() if s.topic == topic and not s.loop.is_closed())

    def _follows_here(self) -> bool:
        import asyncio

        follower = self._follower
        return follower is not None and not follower.done() and follower.get_loop() is asyncio.get_running_loop()

    def _offer(self, topic: str, event: Event, position: tuple[int, int] | None = None) -> None:
        import copy

        for subscription in list(self._subscriptions.values()):
            if subscription.topic != topic or subscription.loop.is_closed():
                continue
            if position is None or _is_after(position, subscription.start):
                with contextlib.suppress(RuntimeError):  # its loop was closed just now, by another thread
                    subscription.loop.call_soon_threadsafe(subscription.offer, copy.deepcopy(event))

    async def _follow(self, segments: _Segments, offsets: dict[int, int]) -> None:
        import asyncio

        wake = self._wake
        pause = _BUSY_SECONDS
        while wake is not None:
            seen = 0
            try:
                for topic, event, position in segments.read(offsets):
                    self._offer(topic, event, position)
                    seen += 1
                    if seen % _BATCH == 0:  # else a burst would fill the queues before anybody drains them
                        await asyncio.sleep(0)
            except OSError as error:
                logger.warning("events of other processes cannot be read: %s", error)
            pause = _BUSY_SECONDS if seen else min(pause * 1.5, _IDLE_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), pause)
            wake.clear()


@dataclass(slots=True)
class _Segments:
    """
    The shared file, in numbered segments: `00000001.jsonl`, `00000002.jsonl`, and so on; the oldest are removed.

    Writers take no lock: one O_APPEND write is one line. A writer that looked just before the file was rotated may
    still append to the last but one, so readers go on following that too.
    """

    folder: Path
    limit: int = SEGMENT_BYTES
    partial: dict[int, bytes] = field(default_factory=dict)  # an unfinished last line, by segment

    def append(self, line: bytes) -> None:
        number = self._numbers()[-1:] or [1]
        path = self._path(number[0])
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size >= self.limit:
                path = self._rotate(number[0])
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        try:
            fd = open_regular(path, flags)
        except FileNotFoundError:
            from agent_haymaker.installation import ensure_home

            ensure_home(self.folder)
            fd = open_regular(path, flags)
        try:
            # A writer that died half way left no newline behind: the leading one keeps its rubbish out of this line.
            written = os.write(fd, b"\n" + line + b"\n")
        finally:
            os.close(fd)
        if written != len(line) + 2:
            raise OSError(None, "the disk took a part of it only")

    def _rotate(self, number: int) -> Path:
        for old in self._numbers():
            if old <= number + 1 - SEGMENTS_KEPT:
                with contextlib.suppress(OSError):
                    self._path(old).unlink()
        return self._path(number + 1)

    def ends(self) -> dict[int, int]:
        """Give the size of the last two segments just now."""
        found = {}
        for number in self._numbers()[-2:]:
            with contextlib.suppress(FileNotFoundError):
                found[number] = self._path(number).stat().st_size
        return found

    def read(self, offsets: dict[int, int]) -> Iterator[tuple[str, Event, tuple[int, int]]]:
        """Give the complete lines beyond `offsets`, which moves along, each with where it begins."""
        numbers = self._numbers()
        first = min(offsets, default=0)
        for number in numbers:
            if number >= first:
                yield from self._read_segment(number, offsets)
        for settled in sorted(offsets)[:-2]:
            del offsets[settled]
            self.partial.pop(settled, None)

    def _read_segment(self, number: int, offsets: dict[int, int]) -> Iterator[tuple[str, Event, tuple[int, int]]]:
        path = self._path(number)
        done = offsets.setdefault(number, 0)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return
        if size < done:  # somebody emptied it: what it holds now is new
            done = offsets[number] = 0
            self.partial.pop(number, None)
        if size == done:
            return
        with os.fdopen(open_regular(path), "rb") as file:
            file.seek(done)
            while chunk := file.read(_CHUNK_BYTES):
                rest = self.partial.get(number, b"")
                begin = offsets[number] - len(rest)
                offsets[number] += len(chunk)
                *lines, tail = (rest + chunk).split(b"\n")
                # A line without end is rubbish once it is longer than any event; forget it, and so stay bounded.
                self.partial[number] = tail if len(tail) <= 2 * MAX_EVENT_BYTES else b"?"
                for line in lines:
                    if (parsed := _decode(line)) is not None:
                        yield *parsed, (number, begin)
                    begin += len(line) + 1

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(
            int(name[:-6]) for name in names if name.endswith(".jsonl") and name[:-6].isascii() and name[:-6].isdigit()
        )

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.jsonl"


def _is_after(position: tuple[int, int], start: dict[int, int]) -> bool:
    number, offset = position
    if number in start:
        return offset >= start[number]
    return number > max(start, default=-1)


def _encode(topic: str, event: Event) -> bytes:
    line = json.dumps({"topic": topic, "event": event}, default=str, skipkeys=True).encode()
    if len(line) > MAX_EVENT_BYTES:
        raise ValueError(f"an event is at most {MAX_EVENT_BYTES} bytes of JSON, this one of {topic} has {len(line)}")
    return line


def _decode(line: bytes) -> tuple[str, Event] | None:
    """Give topic and event, or None for what is neither: a torn line, or rubbish."""
    if not line:
        return None
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    topic, event = parsed.get("topic"), parsed.get("event")
    return (topic, event) if isinstance(topic, str) and isinstance(event, dict) else None


async def _end(task: asyncio.Task[None] | None) -> None:
    import asyncio

    if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
        return
    if task is asyncio.current_task():  # a callback that ends its own subscription still runs to its end
        return
    task.cancel()
    await asyncio.wait([task])
