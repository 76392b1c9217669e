"""
Starts a program as an agent. Part of the shim: standard library only.
"""

from __future__ import annotations

import errno
import os
import resource
import signal

_RESET = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


def spawn(path: str, argv: list[str], env: dict[str, str], log: int, limits: dict[str, int]) -> int:
    """
    Start a program in the current directory, in a session of its own, with nothing of the shim's but its umask.

    Until its exec the child holds the shim's lock, which is one open file with ours: should we be killed right
    here, no successor can start, and nobody take us for gone, while a half-made child exists.
    """
    if limits:
        return _spawn_limited(path, argv, env, log, limits)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    return os.posix_spawn(path, argv, env, file_actions=actions, setsid=True, setsigmask=[], setsigdef=_RESET)


def _spawn_limited(path: str, argv: list[str], env: dict[str, str], log: int, limits: dict[str, int]) -> int:
    kinds = {"memory": _MEMORY, "cpu": resource.RLIMIT_CPU, "files": resource.RLIMIT_NOFILE}
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for name, value in limits.items():
                hard = resource.getrlimit(kinds[name])[1]
                # At the soft limit of processor time comes SIGXCPU, which tells why; at the hard one SIGKILL.
                wanted = value + 1 if name == "cpu" else value
                hard = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
                resource.setrlimit(kinds[name], (min(value, hard), hard))
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.set_wakeup_fd(-1)
            for number in _RESET:
                if number < 32 or number > 33:
                    signal.signal(number, signal.SIG_DFL)
            os.execve(path, argv, env)  # noqa: S606 - no shell is wanted
        except BaseException as error:  # noqa: BLE001 - the child may never return into the shim's loop
            os.write(write, str(getattr(error, "errno", None) or errno.EINVAL).encode())
        finally:
            os._exit(127)
    os.close(write)
    try:
        told = os.read(read, 64)
    finally:
        os.close(read)
    if told:
        os.waitpid(pid, 0)
        raise OSError(int(told), os.strerror(int(told)))
    return pid


# On Linux it counts the private memory that a process may write; RLIMIT_AS counts what is merely reserved too.
_MEMORY = resource.RLIMIT_DATA
