"""
`python -m haymaker_goal_agent.drivers.worker SDK TASK`: one attempt with an SDK, in a process of its own.

The keys of the model come from descriptor 0, so that no environment holds them. Writes events as lines to descriptor 3;
what anybody prints goes to the agent's log. SIGTERM interrupts the attempt:
the driver then leaves the session fit to be resumed. Whatever goes wrong becomes one Failed event.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from agent_haymaker.errors import HaymakerError
from agent_haymaker.records import read_record
from haymaker_goal_agent.drivers import DRIVERS
from haymaker_goal_agent.drivers.protocol import DriverError, Ended, Failed, Task, to_json
from haymaker_goal_agent.keys import received

if TYPE_CHECKING:
    from haymaker_goal_agent.drivers.protocol import Event, SdkDriver

_EVENTS = 3


def main(arguments: list[str]) -> int:
    sdk, path = arguments
    os.set_inheritable(_EVENTS, False)
    from pathlib import Path

    environment = {**os.environ, **received(0)}
    os.open(os.devnull, os.O_RDONLY)  # becomes 0: whoever asks for input is told that there is none
    record = read_record(Path(path))
    task = Task(**{name: record[name] for name in Task.__match_args__})
    try:
        module, _, name = DRIVERS[sdk].partition(":")
        driver: SdkDriver = getattr(import_module(module), name)(environment)
        asyncio.run(_attempt(driver, task))
    except DriverError as error:
        _send(Failed(error.what, error.fix, error.setup))
    except HaymakerError as error:
        _send(Failed(str(error.what), error.fix or "", setup=True))
    except ImportError as error:
        _send(Failed(f"sdk `{sdk}` cannot be loaded: {error}", f"pip install 'agent-haymaker[{sdk}]'", setup=True))
    except Exception as error:  # noqa: BLE001 - an SDK may raise anything; it becomes this attempt's failure
        _send(Failed(f"sdk `{sdk}`: {type(error).__name__}: {error}"[:2000]))
    return 0


async def _attempt(driver: SdkDriver, task: Task) -> None:
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(_follow(driver, task))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        _send(Ended("interrupted"))


async def _follow(driver: SdkDriver, task: Task) -> None:
    async with contextlib.aclosing(driver.attempt(task)) as events:  # type: ignore[type-var]  # all are generators
        async for event in events:
            _send(event)


def _send(event: Event) -> None:
    rest = json.dumps(to_json(event), ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"
    with contextlib.suppress(BrokenPipeError):  # the agent has stopped listening: its patience is over
        while rest:
            rest = rest[os.write(_EVENTS, rest) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
