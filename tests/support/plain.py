"""
Leave to write and read as an ordinary user has it, for tests that run as root: permission bits bind root too.

The tests of CI run as root and as a user; without this, what a closed folder does would be tested in one of them only.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OVERRIDES = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24


def drop_for_good() -> None:
    """Give it up for what this process executes next: for a child between fork and exec."""
    if os.geteuid() == 0:
        for capability in _OVERRIDES:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


@contextmanager
def as_a_plain_user() -> Iterator[None]:
    """Do without it in this thread, until the block ends."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice

    def must(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), "the capabilities of this process cannot be set")

    must(libc.capget(header, before))
    without = (ctypes.c_uint32 * 6)(*before)
    for capability in _OVERRIDES:
        without[0] &= ~(1 << capability)
    must(libc.capset(header, without))
    try:
        yield
    finally:
        must(libc.capset(header, before))
