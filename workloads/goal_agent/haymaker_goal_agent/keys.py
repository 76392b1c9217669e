"""
The keys that pay for an agent's model, kept where no tool of the agent can read them.

What a process was started with, every process of the same user can read: /proc/PID/environ, `ps e`. So the keys leave
the environment before anything else is done, by an exec of the agent by itself, and are handed on through pipes, which
hold nothing once they are read. It refuses to hide them from who may read the memory of a process (docs/security.md).
"""

from __future__ import annotations

import json
import os
import sys

from agent_haymaker.errors import ManifestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

PROVIDER_KEYS = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "AZURE_AI_FOUNDRY_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "COPILOT_GITHUB_TOKEN",
        "COPILOT_PROVIDER_API_KEY",
        "OPENAI_API_KEY",
    }
)
"""What pays for the model. Neither a tool of the agent nor a check needs it, so neither gets it."""

_PIPE = "HAYMAKER_KEYS"
_MOST_BYTES = 16_384  # what fits into any pipe, so that nobody has to read while it is written


def take() -> dict[str, str]:
    """
    Give the keys, by their variables; the environment of this process holds none, and never did where it returns.

    Raises:
        ManifestError: they are longer than any key.
    """
    handed = os.environ.pop(_PIPE, "")
    if handed.isdecimal():
        return received(int(handed))
    found = {name: os.environ.pop(name) for name in PROVIDER_KEYS & os.environ.keys()}
    if found:
        become([sys.executable, *sys.orig_argv[1:]], found)
    return {}


def become(argv: list[str], keys: Mapping[str, str]) -> NoReturn:
    """
    Replace this process by `argv`, which will `take` the keys where there are any.

    Raises:
        ManifestError: they are longer than any key.
    """
    env = dict(os.environ)
    if keys:
        end = pipe_with(keys)
        os.set_inheritable(end, True)
        env[_PIPE] = str(end)
    os.execve(argv[0], argv, env)  # noqa: S606 - the same pid is the point


def pipe_with(keys: Mapping[str, str]) -> int:
    """
    Give the reading end of a pipe that holds the keys.

    Raises:
        ManifestError: they are longer than any key.
    """
    content = json.dumps(dict(keys)).encode()
    if len(content) > _MOST_BYTES:
        names = ", ".join(sorted(keys))
        raise ManifestError(f"{names}: longer than any key", where="env", fix="put the key itself there, one line")
    ours, theirs = os.pipe()
    os.write(theirs, content)
    os.close(theirs)
    return ours


def received(end: int) -> dict[str, str]:
    """Read the keys from a pipe, and close it."""
    with os.fdopen(end, "rb") as pipe:
        keys: dict[str, str] = json.loads(pipe.read())
    return keys
