"""Processes of this machine as a supervisor needs them: who they are, what is below them, how all of it ends.

Standard library only: launchers and shims import this, and what they hold in memory is held by each.
"""

from __future__ import annotations

import ctypes
import os
import signal

_SUBREAPER, _PARENT_DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl(2)
_NEW_NAMESPACE, _BIND, _REMOUNT, _READ_ONLY = 0x20000, 0x1000, 0x20, 0x1  # unshare(2), mount(2)
_RECURSIVE, _PRIVATE = 0x4000, 1 << 18

_HELPERS = (b"resource_tracker", b"semaphore_tracker", b"multiprocessing.forkserver", b"torch_shm_manager")

_TICK_HZ = os.sysconf("SC_CLK_TCK")

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Orphans among the descendants of this process become its children, so that none gets away."""
    _libc.prctl(_SUBREAPER, 1, 0, 0, 0)


def proc_problem() -> str:
    """What is wrong with /proc, in words; "" if it can be used."""
    try:
        own = os.readlink("/proc/self")
    except OSError:
        return "/proc is not mounted; without it, processes cannot be told apart (mount -t proc proc /proc)"
    if own != str(os.getpid()):
        return f"/proc is that of other processes (this one is {os.getpid()}, and {own} there); mount one of its own"
    return ""


def need_proc() -> None:
    """Raises MachineError if /proc cannot be used."""
    if problem := proc_problem():
        from hpo_engine.errors import MachineError

        raise MachineError(f"{problem}; nothing was started")


def wake_when_orphaned() -> None:
    """This process is woken when its parent dies: had a trial stopped it, nobody else might."""
    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGCONT, 0, 0, 0)


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it was started, in any control group."""
    try:
        with open("/proc/vmstat", "rb") as file:
            return int(file.read().partition(b"\noom_kill ")[2].split(b"\n", 1)[0])
    except (OSError, ValueError):  # this kernel does not say
        return 0


def start_time(pid: int) -> int:
    """The start of process `pid` in clock ticks since boot: with boot id and pid, its identity. Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def processor_s(pid: int) -> tuple[float, float]:
    """Processor seconds of the process, and of those that it has waited for; zeros if it has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        user, system, users, systems = map(int, fields[11:15])
    except (OSError, ValueError):
        return 0.0, 0.0
    return (user + system) / _TICK_HZ, (users + systems) / _TICK_HZ


def parent(pid: int) -> int | None:
    """The pid of its parent; None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def stands_still(pid: int, start: int | None = None) -> bool:
    """Whether the process has been stopped, by a signal or by who traces it. `start`: its start time, if known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0] in (b"T", b"t") and start in (None, int(fields[19]))
    except (OSError, ValueError, IndexError):
        return False


def traced_from_below(pid: int) -> bool:
    """Whether a process that is below `pid` traces it."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            tracer = next(int(line.split()[1]) for line in file if line.startswith(b"TracerPid:"))
        return tracer != 0 and tracer in descendants(pid)
    except (OSError, ValueError, StopIteration):
        return False


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def descendants(root: int) -> list[int]:
    """All processes below `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if fields[0] != b"Z":
                children.setdefault(int(fields[1]), []).append(int(name))
        except (OSError, IndexError, ValueError):  # it has gone
            pass
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def is_helper(pid: int) -> bool:
    """Whether it is a process that a library keeps beside a program, and that ends by itself after it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read(1 << 12)
    except OSError:
        return True  # it has gone
    return any(name in line for name in _HELPERS)


def kill_all(root: int, spare: set[int] | None = None) -> None:
    """SIGKILL to all below `root` but the trees of `spare`; stopped first, so that nothing is born meanwhile."""
    targets = below(root, spare)
    signal_all(targets, signal.SIGSTOP)
    signal_all(sorted(set(targets + below(root, spare))), signal.SIGKILL)


def below(root: int, spare: set[int] | None = None) -> list[int]:
    """All processes below `root` except the trees of `spare`."""
    if not spare:
        return descendants(root)
    kept = set(spare).union(*(descendants(pid) for pid in spare))
    return [pid for pid in descendants(root) if pid not in kept]


def signal_all(pids: list[int], number: int) -> None:
    # All are below this subreaper and only it reaps them, directly or once orphaned: no pid here is a stranger's.
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def can_protect() -> bool:
    """Whether attempts can be kept from writing to `protect` paths (see Shim.run); tried in a child."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _libc.unshare(_NEW_NAMESPACE) == 0 and _make_private() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def make_read_only(paths: list[str]) -> None:
    """In a mount namespace of the attempt's own, read-only binds over `paths`; nothing if that is not permitted."""
    if _libc.unshare(_NEW_NAMESPACE) != 0 or not _make_private():
        return
    for path in paths:
        name = os.fsencode(path)
        if _libc.mount(name, name, None, ctypes.c_ulong(_BIND), None) == 0:
            _libc.mount(b"none", name, None, ctypes.c_ulong(_BIND | _REMOUNT | _READ_ONLY), None)


def _make_private() -> bool:
    """What is mounted from now on stays in this namespace."""
    done: int = _libc.mount(b"none", b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None)
    return done == 0
