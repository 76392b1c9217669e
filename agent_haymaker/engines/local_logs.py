"""
The log of a run of the local engine: from any offset, across a rotation, from the archive too, and as it grows.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent_haymaker.engines import claims, local_files
from agent_haymaker.engines.archive import LOG as AGENT_LOG
from agent_haymaker.engines.archive import Archive
from agent_haymaker.engines.local_look import claim_of
from agent_haymaker.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_haymaker.engines import Handle
    from agent_haymaker.engines.local_look import Looker

_PIECE = 64 << 10


async def read_log(
    root: str, home: str, looker: Looker, handle: Handle, offset: int, *, follow: bool
) -> AsyncIterator[bytes]:
    """
    Give a run's log from an offset (below 0: from the end), and with `follow` what comes until the run has ended.

    `root` is HAYMAKER_HOME, `home` its `engines/local`.

    Raises:
        DoubtError: the run's claim file cannot be read, or names another process than the handle.
        PlatformError: the log cannot be read.
    """
    claim = claim_of(home, handle)
    retired = Archive(Path(root)).find(handle.key, claim.workspace if claim is not None else "")
    if retired is not None and (retired / AGENT_LOG).exists():
        async for piece in _read_from(str(retired), AGENT_LOG, offset):
            yield piece.content
        return
    if claim is None:
        return
    folder, path = f"{home}/{claims.LOGS}", f"{handle.key}.log"
    if claim.log:
        folder, path = local_files.workspace_path(f"{root}/agents", claim.workspace), claim.log
    pause = 0.005
    while True:
        found = looker.look(handle.key)
        over = not follow or found is None or found.seen.state.is_ended
        begun = offset
        async for piece in _read_from(folder, path, offset):
            offset = piece.end
            yield piece.content
        if over:
            return
        pause = 0.005 if offset != begun else min(pause * 2, 0.25)
        await asyncio.sleep(pause)


class _Piece(NamedTuple):
    content: bytes
    end: int  # the offset after it


async def _read_from(folder: str, path: str, offset: int) -> AsyncIterator[_Piece]:
    """Give the log's bytes from an offset; nothing where there is no log yet."""
    try:
        with local_files.open_inside(folder, path) as log:
            size = os.fstat(log.fileno()).st_size
            if offset < 0:
                offset = max(0, size + offset)
            elif offset > size:
                # It was rotated: the rest of what stood there is in the file beside it.
                with suppress(OSError), local_files.open_inside(folder, f"{path}.1") as older:
                    older.seek(offset)
                    while content := older.read(_PIECE):
                        yield _Piece(content, 0)
                        await asyncio.sleep(0)
                offset = 0
                yield _Piece(b"", 0)
            log.seek(offset)
            while content := log.read(_PIECE):
                offset += len(content)
                yield _Piece(content, offset)
                await asyncio.sleep(0)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PlatformError(f"the log cannot be read: {error}", where=f"{folder}/{path}") from error
