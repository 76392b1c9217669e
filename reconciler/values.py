"""
The values behind a manifest's env references: resolved at the edge, handed to the agent, kept nowhere.

A value is known to whoever resolves it and to nobody else: no record, message or error holds one. It refuses to know
what becomes of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import ManifestError
from agent_haymaker.records import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.lazyjson import Json

INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
COMMAND_SECONDS = 30.0
MOST_BYTES = 64 * 1024
SHORTEST_SECRET = 4  # what is shorter would be masked in the midst of words
_LOOK_AGAIN_SECONDS = 0.005


def least_environment(environ: Mapping[str, str], path_prefix: str = "") -> dict[str, str]:
    """Give what every agent gets, and checks too: no credential of the caller is among it."""
    env = {name: environ[name] for name in INHERITED if name in environ}
    env.setdefault("PATH", DEFAULT_PATH)
    if path_prefix:
        env["PATH"] = f"{path_prefix}{os.pathsep}{env['PATH']}"
    return env


class UnresolvedError(ManifestError):
    """A reference of the variable `name` cannot be resolved: why, and what to do. It quotes names, never values."""

    def __init__(self, name: str, what: str, *, where: str, fix: str) -> None:
        super().__init__(what, where=where, fix=fix)
        self.name = name


def resolve_env(declared: Any, environ: Mapping[str, str], *, source: str, folder: str) -> dict[str, str]:
    """
    Give name → value for a spec's `env`. Relative paths are of `folder`.

    Raises:
        UnresolvedError: a reference cannot be resolved.
    """
    resolved: dict[str, str] = {}
    for item in declared:
        name, reference = item["name"], item.get("valueFrom")
        if reference is None:
            resolved[name] = str(item.get("value") or "")
            continue
        try:
            resolved[name] = _resolve(reference, environ, folder)
        except _NoValueError as error:
            what = f"env {name} comes from {error.what}"
            # What would be chained may quote what was read.
            raise UnresolvedError(name, what, where=f"{source} spec.env", fix=error.fix) from None
    return resolved


def unresolved(declared: Any, environ: Mapping[str, str], folder: str) -> list[tuple[str, str, str]]:
    """
    Give (name, what, fix) of each reference that cannot be resolved here and now, as far as a look can tell.

    What a command or a keyring would say is left to the start: to ask them has effects, and takes time.
    """
    found = []
    for item in declared:
        reference = item.get("valueFrom") or {}
        try:
            if "env" in reference or "file" in reference:
                _resolve(reference, environ, folder)
            elif "command" in reference:
                _find_program(str(reference["command"][0]), environ, folder)
        except _NoValueError as error:
            found.append((str(item["name"]), f"env {item['name']} comes from {error.what}", error.fix))
    return found


def rotated(declared: Any, environ: Mapping[str, str], folder: str, started_with: Mapping[str, str]) -> list[str]:
    """
    Give the names whose reference to the environment or to a file has another value than a live run was started with.

    What cannot be resolved here, or is not known of the run, is no news; commands and keyrings are not asked by a look.
    """
    found = []
    for item in declared:
        name, reference = str(item["name"]), item.get("valueFrom") or {}
        if name in started_with and ("env" in reference or "file" in reference):
            with contextlib.suppress(_NoValueError):
                if _resolve(reference, environ, folder) != started_with[name]:
                    found.append(name)
    return found


def secret_names(declared: Any) -> list[str]:
    """Give the names of the variables that come from elsewhere: their values are secrets."""
    return [item["name"] for item in declared if item.get("valueFrom")]


def takes_time(declared: Any) -> bool:
    """Tell whether a reference is to something that may keep its caller waiting."""
    return any(kind in ("command", "keyring") for item in declared for kind in item.get("valueFrom") or ())


def secret_values(
    spec: Json, environ: Mapping[str, str], folder: str, *, started_with: Mapping[str, str] | None = None,
    commands: bool = False,
) -> tuple[list[str], list[str]]:  # fmt: skip
    """
    Give the values to redact, longest first, and the names of the variables whose value is not known here.

    `started_with` is what the live run has in its environment. Commands are run only where `commands` says so: they
    belong to a start, and a look must not wait for one.
    """
    found: set[str] = set()
    unknown: list[str] = []
    for item in spec.get("env", ()):
        reference = item.get("valueFrom")
        if not reference:
            continue
        held = (started_with or {}).get(item["name"])
        if held is not None:
            found.add(held)
        try:
            if "command" not in reference or commands:
                found.add(_resolve(reference, environ, folder))
            elif held is None:
                unknown.append(item["name"])
        except _NoValueError:
            if held is None:
                unknown.append(item["name"])
    return sorted((v for v in found if len(v) >= SHORTEST_SECRET), key=len, reverse=True), unknown


class _NoValueError(Exception):
    """Why there is no value, and what to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


def _resolve(reference: Mapping[str, Any], environ: Mapping[str, str], folder: str) -> str:
    [(kind, wanted)] = reference.items()
    match kind:
        case "env":
            if wanted not in environ:
                raise _NoValueError(
                    f"the environment variable {wanted}, which is not set",
                    f"set {wanted} where haymaker runs, then apply again",
                )
            value = environ[wanted]
        case "file":
            value = _from_file(Path(folder, wanted))
        case "command":
            value = _from_command([str(word) for word in wanted], environ, folder)
        case _:
            value = _from_keyring(str(wanted["service"]), str(wanted["username"]))
    if "\0" in value:
        raise _NoValueError(f"a {kind} whose value holds a NUL character", "no environment variable can hold one")
    return value


def _from_file(path: Path) -> str:
    try:
        return read_regular(path).decode().rstrip("\n")
    except (OSError, UnicodeDecodeError):
        raise _NoValueError(
            f"the file {path.name}, which cannot be read",
            "make the file readable for the user that haymaker runs as",
        ) from None


def _from_command(argv: list[str], environ: Mapping[str, str], folder: str) -> str:
    def wrong(how: str) -> _NoValueError:
        # What it printed is the secret, or half of it, or a message about it.
        return _NoValueError(
            f"the command {argv[0]}, which {how}",
            f"run it by hand in {folder}, with {', '.join(INHERITED)} alone in its environment, then apply again",
        )

    _find_program(argv[0], environ, folder)

    try:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=least_environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise wrong(f"cannot be started: {_why_not(error)}") from None
    deadline = time.monotonic() + COMMAND_SECONDS
    try:
        said = _read_all(process, deadline)
        if said is None:
            raise wrong(f"did not end within {COMMAND_SECONDS:g} s")
    finally:
        # Not reaped yet, so that its pid, and its group's, can be nobody else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if len(said) > MOST_BYTES:
        raise wrong(f"printed more than {MOST_BYTES // 1024} KiB")
    if code != 0:
        raise wrong(f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}")
    try:
        return said.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise wrong("printed what is not UTF-8") from None


def _find_program(program: str, environ: Mapping[str, str], folder: str) -> None:
    """
    Raises:
        _NoValueError: there is no such program, or it is none.
    """
    if "/" not in program:
        places = os.get_exec_path(least_environment(environ))
        if not any(_is_program(os.path.join(folder, place, program)) for place in places):
            raise _NoValueError(
                f"the command {program}, which is on no folder of PATH where haymaker runs",
                f"install {program} there, or give its path",
            )
    elif not os.path.exists(path := os.path.normpath(os.path.join(folder, program))):
        raise _NoValueError(
            f"the command {program}, which does not exist", f"correct its path, which is relative to {folder}"
        )
    elif os.path.isdir(path):
        raise _NoValueError(f"the command {program}, which is a folder", "name a program in it")
    elif not _is_program(path):
        raise _NoValueError(f"the command {program}, which is not executable", f"chmod +x {path}")


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _why_not(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):  # and yet it is there
        return "its first line names a program that does not exist"
    return getattr(error, "strerror", None) or "not a command"


def _read_all(process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """Give what a command printed once it has ended, and more than may be where it prints too much; None in time."""
    assert process.stdout is not None
    said, stream = b"", process.stdout.fileno()
    while len(said) <= MOST_BYTES:
        ready, _, _ = select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        piece = os.read(stream, 4096)
        if not piece:
            break
        said += piece
    while len(said) <= MOST_BYTES and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return None
        time.sleep(_LOOK_AGAIN_SECONDS)
    return said


def _from_keyring(service: str, username: str) -> str:
    entry = f"the keyring entry {service}/{username}"
    try:
        import keyring  # the extra agent-haymaker[keyring]
    except ImportError:
        raise _NoValueError(f"{entry}, and keyring is not installed", KEYRING_FIX) from None
    try:
        value: str | None = keyring.get_password(service, username)
    except keyring.errors.NoKeyringError:
        raise _NoValueError(
            f"{entry}, and this machine has no keyring that can be asked",
            "see `keyring --list-backends`; or take the value from a file or a command",
        ) from None
    except Exception as error:  # noqa: BLE001 - a backend may raise anything
        raise _NoValueError(
            f"{entry}, which cannot be read ({type(error).__name__})", "unlock the keyring, then apply again"
        ) from None
    if value is None:
        raise _NoValueError(f"{entry}, which does not exist", f"`keyring set {service} {username}` makes it")
    return value


KEYRING_FIX = "pip install 'agent-haymaker[keyring]'"
