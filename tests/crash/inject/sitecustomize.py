"""
Loaded by the interpreter of a `haymaker` under test, from PYTHONPATH: counts its effects, and kills it at one.

An effect is a call that changes something outside the process: a file, a name, a socket, a process. With CRASH_LOG
each is written down, one a line: its kind and what it was about. With CRASH_AT=N the process kills itself by SIGKILL
at the N-th, before it is made, or right after it with CRASH_WHEN=after. CRASH_AT=KIND:N counts those of one kind.
Effects of its forked children count only with CRASH_FORKS=yes, as parts of one whole.

With CLOCK_AHEAD=SECONDS it is so much later for it, and every process so much older.

Without these variables it does nothing at all.
"""

import os
import threading

KIND, _, NUMBER = os.environ.pop("CRASH_AT", "0").rpartition(":")
AT = int(NUMBER)
AFTER = os.environ.pop("CRASH_WHEN", "before") == "after"
LOG = os.environ.pop("CRASH_LOG", "")
FORKS = os.environ.pop("CRASH_FORKS", "") == "yes"
AHEAD = float(os.environ.pop("CLOCK_AHEAD", "0"))


def install() -> None:
    import _posixsubprocess
    import builtins
    import io
    import signal
    import socket

    kill, write, pid = os.kill, os.write, os.getpid()
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600) if LOG else -1
    lock = threading.Lock()
    count = 0

    def effect(kind, about):
        """Return true where the process is to end right after this effect."""
        nonlocal count
        if os.getpid() != pid and not FORKS:
            return False
        with lock:
            count += kind == KIND or not KIND
            number = count if kind == KIND or not KIND else 0
            if log >= 0:
                write(log, f"{kind} {about!s:.200}\n".encode(errors="replace"))
        struck = number == AT > 0
        if struck and not AFTER:
            kill(os.getpid(), signal.SIGKILL)
        return struck

    def name_of(args):
        first = args[0] if args else ""
        if isinstance(first, int):
            try:
                return os.readlink(f"/proc/self/fd/{first}")
            except OSError:
                return first
        return first

    def wrap(owner, name, kind, *, when=lambda args, kwargs: True):
        real = getattr(owner, name, None)
        if real is None:
            return

        def wrapped(*args, **kwargs):
            if not when(args, kwargs):
                return real(*args, **kwargs)
            last = effect(kind, name_of(args))
            try:
                return real(*args, **kwargs)
            finally:
                if last:
                    kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, wrapped)

    def creates(args, kwargs):
        flags = args[1] if len(args) > 1 else kwargs.get("flags", 0)
        return bool(flags & (os.O_CREAT | os.O_TRUNC))

    def writes(args, kwargs):
        mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
        return isinstance(mode, str) and any(letter in mode for letter in "wax+")

    def says_something(args, kwargs):
        return args[-1:] != (b"\0",)  # a loop waking itself

    wrap(os, "open", "create", when=creates)
    wrap(builtins, "open", "create", when=writes)
    io.open = builtins.open
    for name in ("write", "pwrite", "writev", "sendfile", "copy_file_range"):
        wrap(os, name, "write")
    for name in ("replace", "rename", "renames"):
        wrap(os, name, "rename")
    for name in ("unlink", "remove", "rmdir"):
        wrap(os, name, "unlink")
    for name in ("link", "symlink"):
        wrap(os, name, "link")
    for name in ("ftruncate", "truncate"):
        wrap(os, name, "truncate")
    for name in ("fsync", "fdatasync"):
        wrap(os, name, "sync")
    for name in ("chmod", "fchmod", "utime", "chown"):
        wrap(os, name, "mode")
    wrap(os, "mkdir", "mkdir")
    for name in ("posix_spawn", "posix_spawnp", "fork", "forkpty", "execve"):
        wrap(os, name, "spawn")
    wrap(_posixsubprocess, "fork_exec", "spawn")
    for name in ("kill", "killpg"):
        wrap(os, name, "signal")
    wrap(signal, "pidfd_send_signal", "signal")

    for name in ("connect", "connect_ex"):
        wrap(socket.socket, name, "connect")
    for name in ("send", "sendall", "sendto", "sendmsg"):
        wrap(socket.socket, name, "send", when=says_something)


if AT or LOG:
    install()
if AHEAD:
    import time

    now, of = time.time, time.clock_gettime
    time.time = lambda: now() + AHEAD
    time.clock_gettime = lambda clock: of(clock) + (AHEAD if clock == time.CLOCK_BOOTTIME else 0)
