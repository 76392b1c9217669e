"""
The server as a process of its own: `python -m model_server --scenario FILE [--port N] [--requests FILE]`.

The scenario is JSON, each turn with the fields of `Turn`, `when` with those of `When`; "key" may be left out:

    {"key": "k", "turns": [{"calls": [{"tool": "bash", "arguments": {"command": "ls"}}]}, {"say": "Done."}]}

The first line on stdout is its URL; every request is appended to the requests file as a line of JSON. It ends with
SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .server import ModelServer
from .turns import turn_from_json

if TYPE_CHECKING:
    from .server import Recorded


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m model_server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", type=Path, required=True, help="a JSON file")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--requests", type=Path, help="where requests are appended, one a line")
    given = parser.parse_args()
    scenario = json.loads(given.scenario.read_text(encoding="utf-8"))

    def note(request: Recorded) -> None:
        if given.requests:
            fields = {name: value for name, value in vars(request).items() if name != "asked"}
            with given.requests.open("a", encoding="utf-8") as file:
                file.write(json.dumps(fields) + "\n")

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    turns = [turn_from_json(entry) for entry in scenario["turns"]]
    with ModelServer(*turns, key=scenario.get("key"), port=given.port, on_request=note) as server:
        print(server.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
