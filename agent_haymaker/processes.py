"""
Processes as the kernel knows them: who is alive, whose it is, and a signal that cannot hit a stranger.

A pid alone is not an identity, since the kernel gives it out again: pid, start time and boot together are. A process
carries its run's id in its environment, as HAYMAKER_RUN_ID. Who else belongs to a run, `process_table` tells.

It refuses to know records, engines and workspaces. On Linux it reads /proc and nothing else; elsewhere it asks
psutil, imported only there. The shim imports this module too, so its top level imports next to nothing.
"""

from __future__ import annotations

import os
import sys
import time
from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NamedTuple

    class ProcessId(NamedTuple):
        """One process for all time: the kernel reuses the pid alone, never the three."""

        pid: int
        started: int
        boot: str

    class Row(NamedTuple):
        """One line of the process table."""

        pid: int
        parent: int
        group: int
        session: int
        started: int
        dead: bool
else:  # typing.NamedTuple costs the shim 1.8 MB
    ProcessId = namedtuple("ProcessId", "pid started boot")  # noqa: PYI024 - see above
    Row = namedtuple("Row", "pid parent group session started dead")  # noqa: PYI024 - see above

RUN_ID = "HAYMAKER_RUN_ID"
WORKSPACE = "HAYMAKER_WORKSPACE"
_LINUX = sys.platform == "linux"
_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO: the namespace that a host boots with
_ENVIRON_LIMIT = 4 << 20
_NEVER_HAS_ENVIRON = 0x200004  # PF_KTHREAD, PF_EXITING
_EXEC_SECONDS = 0.5  # how long to wait for all that are in the middle of an exec
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)

_boot = ""
_epoch: tuple[float, float] | None = None


def boot_id() -> str:
    """
    Name this boot of the host, and the pid namespace where it is not the host's own.

    A pid means nothing after a reboot, nor in another container of the same host.
    """
    global _boot
    if not _boot:
        if _LINUX:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - pathlib is 1 MB
                _boot = file.read().strip()
            namespace = os.readlink("/proc/self/ns/pid")
            if namespace != _FIRST_PID_NAMESPACE:
                _boot += "/" + namespace
        else:
            from subprocess import run

            # kern.boottime moves when the clock is set; the session's uuid does not.
            asked = run(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, check=True)
            _boot = asked.stdout.decode().strip()
    return _boot


def _read(path: str, limit: int = 4096) -> bytes | None:
    """
    Return the start of a /proc file, or None when the process is gone or closed to us.

    Raises:
        OSError: we cannot look (no file descriptors left, say). That must never read as "gone".
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except _GONE:
        return None
    try:
        return os.read(fd, limit)
    except _GONE:
        return None
    finally:
        os.close(fd)


def _row(pid: int) -> Row | None:
    """Return a process's line of the table, or None when there is none. A zombie is there, and dead."""
    if not _LINUX:
        return _row_elsewhere(pid)
    stat = _read(f"/proc/{pid}/stat")
    if not stat:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split(None, 20)
    # A zombie whose other threads still run is a process that still acts: field 20 counts the threads.
    dead = fields[0] in (b"Z", b"X", b"x") and int(fields[17]) <= 1
    return Row(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), dead)


def _row_elsewhere(pid: int) -> Row | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            dead = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            started = round(process.create_time() * 1_000_000) // 1000
            parent = process.ppid()
        return Row(pid, parent, os.getpgid(pid), os.getsid(pid), started, dead)
    except (psutil.Error, OSError):
        return None


def look(pid: int) -> Row | None:
    """Return a process's line of the table, zombies too, or None when nobody has the pid."""
    return _row(pid) if pid > 0 else None


def identify(pid: int) -> ProcessId | None:
    """Return who has this pid now, or None for nobody and for a zombie."""
    row = look(pid)
    return None if row is None or row.dead else ProcessId(pid, row.started, boot_id())


def is_suspended(pid: int) -> bool:
    """Tell whether whoever has this pid is stopped, by SIGSTOP or a debugger, and so answers nobody."""
    if not _LINUX:
        import psutil

        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        except (psutil.Error, OSError):
            return False
    stat = _read(f"/proc/{pid}/stat") or b""
    return stat[stat.rfind(b")") + 2 :][:1] in (b"T", b"t")


def is_alive(process: ProcessId) -> bool:
    """Tell whether this very process still runs. A zombie does not."""
    return process.boot == boot_id() and identify(process.pid) == process


def pids() -> set[int]:
    """
    Give every pid that is taken just now.

    Raises:
        OSError: we cannot look.
    """
    if not _LINUX:
        import psutil

        return set(psutil.pids())
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def are_alive(processes: Sequence[ProcessId]) -> list[bool]:
    """
    Tell of many processes at once whether each still runs, in the order given; about 4 µs each on Linux.

    Raises:
        OSError: we cannot look.
    """
    boot = boot_id()
    if not _LINUX:
        return [is_alive(process) for process in processes]
    alive = []
    open_, read, close, flags = os.open, os.read, os.close, os.O_RDONLY | os.O_CLOEXEC
    for pid, started, its_boot in processes:
        try:
            fd = open_(f"/proc/{pid}/stat", flags)
        except _GONE:
            alive.append(False)
            continue
        try:
            stat = read(fd, 1024)
        except ProcessLookupError:
            stat = b""
        finally:
            close(fd)
        # Past the name, which may hold anything: field 3 is the state, field 22 the start.
        fields = stat[stat.rfind(b")") + 2 :].split(None, 20)
        if len(fields) < 20 or its_boot != boot or int(fields[19]) != started:
            alive.append(False)
        else:
            alive.append(fields[0] not in b"ZXx" or int(fields[17]) > 1)
    return alive


def started_at(process: ProcessId) -> float | None:
    """Return when it started, in seconds since the epoch; None when it belongs to another boot."""
    global _epoch
    if process.boot != boot_id():
        return None
    if not _LINUX:
        return process.started / 1000
    if _epoch is None:
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        _epoch = (round(booted, 2), float(os.sysconf("SC_CLK_TCK")))
    return _epoch[0] + process.started / _epoch[1]


def age_of(process: ProcessId) -> float | None:
    """Return for how long it has existed, in seconds, whatever was done to the clock; None as `started_at`."""
    if not _LINUX or process.boot != boot_id():
        started = started_at(process)
        if started is None:
            return None
        return time.time() - started
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / os.sysconf("SC_CLK_TCK")


def read_environ(pid: int, *, until: float = 0.0) -> dict[str, str] | None:
    """
    Return the environment that a process was started with, or None when it cannot be read.

    With `until`, in monotonic time, one in the middle of an exec is waited for.
    """
    if not _LINUX:
        import psutil

        try:
            return dict(psutil.Process(pid).environ())
        except (psutil.Error, OSError):
            return None
    raw = _read_made_environ(pid, until)
    if raw is None:
        return None
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _read_made_environ(pid: int, until: float) -> bytes | None:
    """
    Read an environment; of a process in the middle of an exec as soon as it has one, `until` then (monotonic).

    An exec takes the old one away before the new one is there, which has been seen to last for 36 ms on a busy host;
    and what was opened before it shows nothing after it. Kernel threads have none ever, nor has who is exiting.
    """
    raw = _read_whole_environ(pid)
    found_empty = 0
    while raw == b"" and time.monotonic() < until:
        stat = _read(f"/proc/{pid}/stat")
        fields = stat[stat.rindex(b")") + 2 :].split() if stat else []
        if not fields or int(fields[6]) & _NEVER_HAS_ENVIRON:  # field 9: flags
            break
        # Fields 50 and 51 are env_start and env_end: zero in the middle of an exec, and alike for an instant of it too.
        found_empty += fields[47] == fields[48] != b"0"
        if found_empty == 2:
            break
        raw = _read_whole_environ(pid)
        if not raw:
            time.sleep(0.001)
    return raw


def _read_whole_environ(pid: int) -> bytes | None:
    try:
        fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
    except _GONE:
        return None
    try:
        raw = part = os.read(fd, 65536)
        while part and len(raw) < _ENVIRON_LIMIT:
            part = os.read(fd, 65536)
            raw += part
    except _GONE:
        return None
    finally:
        os.close(fd)
    return raw


def live_run_ids(prefix: str, folder: str) -> list[str]:
    """Return every run id that a live process carries and that begins with `prefix`, or works in `folder`, sorted."""
    if _LINUX:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    else:
        import psutil

        pids = psutil.pids()
    found = set()
    until = soon()
    for pid in pids:
        run_id, workspace = _stamps_of(pid, until)
        if run_id and ((prefix and run_id.startswith(prefix)) or workspace.startswith(f"{folder}/")):
            found.add(run_id)
    return sorted(found)


def _stamps_of(pid: int, until: float) -> tuple[str, str]:
    if not _LINUX:
        environ = read_environ(pid) or {}
        return environ.get(RUN_ID, ""), environ.get(WORKSPACE, "")
    raw = b"\0" + (_read_made_environ(pid, until) or b"")
    return _value_of(RUN_ID, raw) or "", _value_of(WORKSPACE, raw) or ""


def _value_of(name: str, raw: bytes) -> str | None:
    stamp = f"\0{name}=".encode()
    at = raw.find(stamp)
    return os.fsdecode(raw[at + len(stamp) :].split(b"\0", 1)[0]) if at >= 0 else None


def soon() -> float:
    """Return the monotonic time up to which to wait for processes that are in the middle of an exec."""
    return time.monotonic() + _EXEC_SECONDS


def run_id_of(pid: int, *, until: float = 0.0) -> str | None:
    """
    Return the run id that a process carries, or None. With `until` one in the middle of an exec is waited for.

    None says nothing: the environment may be closed to us, or overwritten by a program that shows its title there.
    """
    if not _LINUX:
        return (read_environ(pid) or {}).get(RUN_ID)
    raw = _read_made_environ(pid, until)
    if not raw:
        return None
    return _value_of(RUN_ID, b"\0" + raw)


def places_of(pid: int) -> list[str] | None:
    """Return the working directory of a process and where its output goes, or None when neither can be seen."""
    if not _LINUX:
        import psutil

        try:
            return [psutil.Process(pid).cwd()]
        except (psutil.Error, OSError):
            return None
    places = []
    for name in ("cwd", "fd/1", "fd/2"):
        try:
            places.append(os.readlink(f"/proc/{pid}/{name}"))
        except _GONE:
            continue
    return places or None


def send_signal(process: ProcessId, signum: int) -> bool:
    """
    Signal this very process; False when it had already ended.

    The pidfd is opened first and the identity checked after, so that nobody else can be hit even if the pid is
    given out again in between.

    Raises:
        PermissionError: it belongs to somebody else.
    """
    return _through_pidfd(process, signum, dead_too=False, flags=0)


def signal_group_of(leader: ProcessId, signum: int) -> bool:
    """Signal the whole group of a leader (alive, or a zombie) at once; False where the kernel cannot (before 6.9)."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        return _through_pidfd(leader, signum, dead_too=True, flags=4)  # PIDFD_SIGNAL_PROCESS_GROUP
    except OSError:
        return False


def _through_pidfd(process: ProcessId, signum: int, *, dead_too: bool, flags: int) -> bool:
    pidfd = -1
    if hasattr(os, "pidfd_open"):
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        except OSError:
            pidfd = -1  # no file descriptors left, or an old kernel: checked and signalled by pid
    try:
        row = look(process.pid)
        if row is None or row.started != process.started or process.boot != boot_id() or (row.dead and not dead_too):
            return False
        if pidfd >= 0:
            from signal import pidfd_send_signal

            pidfd_send_signal(pidfd, signum, None, flags)
        elif not flags:
            os.kill(process.pid, signum)
    except ProcessLookupError:
        return False
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return True
