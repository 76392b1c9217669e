"""The id of this install: 8 hex digits, made once for a HAYMAKER_HOME, so that keys of two homes never meet."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from agent_haymaker.errors import DoubtError
from agent_haymaker.records import ensure_home, platform_error, read_regular, sync_dir, write_record

if TYPE_CHECKING:
    from pathlib import Path

_ID = re.compile(r"[0-9a-f]{8}")


def install_id(home: Path) -> str:
    """
    Give the id of the install at `home`, making it where there is none. Of two that make it at once, one wins.

    Raises:
        DoubtError: it cannot be read, or is no id: a new one would disown everything that runs.
        PlatformError: it cannot be made.
    """
    path = home / "install"
    if (found := _read(path)) is not None:
        return found
    ensure_home(home)
    mine = home / f".install.{os.getpid()}-{os.urandom(4).hex()}.draft"
    write_record(mine, os.urandom(4).hex() + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(mine, path)
    except OSError as error:
        raise platform_error(error, "make this install's id", path) from error
    finally:
        mine.unlink(missing_ok=True)
    sync_dir(home)
    made = _read(path)
    if made is None:
        raise DoubtError("this install's id is gone as soon as it was made", where=str(path))
    return made


def _read(path: Path) -> str | None:
    try:
        content = read_regular(path).decode().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _doubt(path, "this install's id cannot be read") from error
    if not _ID.fullmatch(content):
        raise _doubt(path, "this is not an install's id (8 hex digits)")
    return content


def _doubt(path: Path, what: str) -> DoubtError:
    return DoubtError(
        what,
        where=str(path),
        fix="restore it: the id stands at the beginning of each file's name in engines/local/runs",
    )
