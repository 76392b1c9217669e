"""
The exit codes of every command. Never renumbered.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0  # converged, no change
    ERROR = 1
    CHANGES = 2  # pending changes, with --detailed-exitcode
    PARTIAL = 3  # some applied, some failed
    TIMEOUT = 4  # gave up waiting
    BLOCKED = 5  # by a guard, a budget or a missing approval
    LOCKED = 6  # another holder has the lock
    STALE = 7  # the saved plan no longer fits
    USAGE = 64
    INVALID = 65  # manifests
    INTERRUPTED = 130
