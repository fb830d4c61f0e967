"""The files in which all studies of this computer record what their trials hold, so that nothing is given out twice.

    study-ID      one per engine that runs; the engine holds its lock: who waits for what
    lease-NONCE   one per attempt that runs; its shim holds its lock: the cores and GPUs that are its own
    turn          its lock makes taking one at a time; what is in it changes with every change, so that one read tells
                  whether anything else has to be read

Locks die with the process that holds them, and a lease is free only when its study's engine and its shim are gone and
no process carries the attempt's mark. Nothing here waits, and nothing here can fail a study: a ledger that cannot be
used is a warning. Decides nothing: see `machine`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from hpo_engine.executors.local.processes import any_marked
from hpo_engine.failpoints import failpoint
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

VARIABLE = "HPO_ENGINE_LEDGER"
OFF = "off"
_ALONE = "studies that run at the same time do not see each other"
_WITHIN = "HPO_ATTEMPT"  # an engine inside a trial has what the trial holds, and must not wait for it
_BASES = ("/tmp", "/var/tmp", "/dev/shm")  # the same for every shell, cron job and login: no TMPDIR, no runtime folder
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LEASE, _STUDY = "lease-", "study-"
_MOST_BYTES = 1 << 16  # of a file here
_PRUNE_S = 0.5  # between two searches for leases whose processes have gone
_TRIES = 200
_TRUSTED_S = 1.0  # what has been read counts so long, though nothing changed: an engine may have been killed
_TOKEN_BYTES = 64
_MOST = 1e12  # of any number here: cores, trials, seconds since the boot
_NOTED_S = 1.0  # within this, engines notice that the ledger was removed, and note anew what they hold


@dataclass(frozen=True)
class Lease:
    """What one attempt of `study` (called `name`) holds: `cores` (a part of one, perhaps) among those of `mask` and
    within the quota of `group`, see `devices.Cores`; `gpus`: the part (0 to 1) of each, by identity."""

    study: str
    name: str
    cores: float
    mask: int
    group: str = ""
    gpus: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """A study whose engine runs. `at_once`: trials that it runs at a time if it is alone; `cpus`: cores that it says
    each of them takes; `mask`, `quota`, `group`, `gpus`: what it can have.

    `waits`: it would start more trials, each of which needs so many `cores` and `need_gpus`, if those were free; it has
    got none since `since`. `granted`: when it last got something; `seen`: when it last said so (monotonic seconds).
    """

    study: str
    name: str
    at_once: int
    cpus: int | None
    mask: int
    quota: int | None
    group: str
    gpus: Sequence[str]
    waits: bool = False
    cores: float = 0.0
    need_gpus: float = 0.0
    since: float = 0.0
    granted: float = 0.0
    seen: float = 0.0


class Ledger:
    """The ledger as one engine sees it.

    Args:
        me: the study, whose engine must lead it; without an identity only it is counted.
        env: the caller's environment, which may name the folder. clock: monotonic seconds.
    """

    def __init__(
        self, me: Peer, env: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.me = me
        self._env, self._clock = env, clock
        self._path = ""
        self._folder = self._turn = self._file = -1  # descriptors; -1: there is none
        self._mine: dict[str, Lease] = {}
        self._noted: set[str] = set()  # those of them that have a file
        self._spare: dict[str, Lease] = {}  # of attempts that have ended a moment ago: the next one may be alike
        self._known: dict[str, Lease] = {}  # what is in the lease files of others: they never change
        self._peers: list[Peer] = []
        self._seen, self._seen_at = b"", -1e9  # what `turn` said when the others were looked at, and when that was
        self._changes = 0
        self._prune_at = 0.0
        self._settled_at = -1e9  # until then others may not have noted what they hold
        self._warned = False
        self._open()

    # -- this study ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def turn(self) -> Iterator[bool]:
        """Nobody else takes anything meanwhile; False: somebody else has the turn at this moment."""
        self.renew()
        fd = self._turn
        taken = fd < 0 or (self._clock() >= self._settled_at and _lock(fd))
        try:
            yield taken
        finally:
            if taken and fd >= 0 and fd == self._turn:  # not opened anew
                fcntl.flock(fd, fcntl.LOCK_UN)

    @property
    def mine(self) -> Mapping[str, Lease]:
        """By the nonce of the attempt."""
        return self._mine

    def put(self, nonce: str, lease: Lease) -> None:
        """Notes that an attempt of this study holds something."""
        self.renew()
        self._mine[nonce] = lease
        self._noted.discard(nonce)
        try:
            self._put(nonce, lease)
            self._changed()
        except FileNotFoundError:  # somebody has removed the folder
            self._open()
        except OSError as error:
            self._warn(error)

    def hold(self, nonce: str) -> Lease | None:
        """What an attempt holds that an earlier engine of this study started; None: nothing is noted."""
        self.renew()
        lease = _read_lease(self._folder, f"{_LEASE}{nonce}") if self._folder >= 0 else None
        if lease is not None:
            self._mine[nonce] = replace(lease, study=self.me.study)
            self._known.pop(f"{_LEASE}{nonce}", None)
            self._noted.add(nonce)
        return lease

    def drop(self, nonce: str) -> None:
        """The attempt and all its processes are gone. Others hear of it with the next `flush`."""
        if nonce in self._mine:
            self._spare[nonce] = self._mine.pop(nonce)
            self._noted.discard(nonce)

    def flush(self) -> None:
        """Lets go of what has been dropped and not been put again."""
        self.renew()
        self._flush()

    def _flush(self) -> None:
        if self._spare:
            for nonce in self._spare:
                with contextlib.suppress(OSError):
                    os.unlink(f"{_LEASE}{nonce}", dir_fd=self._folder)
            self._spare.clear()
            self._changed()

    def path_of(self, nonce: str) -> str | None:
        """The file whose lock the attempt's shim is to hold; None: it was not noted."""
        return f"{self._path}/{_LEASE}{nonce}" if self._folder >= 0 and nonce in self._noted else None

    def say(self, me: Peer) -> None:
        """Tells the others what has changed of this study."""
        self.me = me
        self.renew()
        self._say()

    def _say(self) -> None:
        if self._file >= 0:
            try:
                _write(self._file, vars(self.me))
                self._changed()
            except OSError as error:
                self._warn(error)

    def renew(self) -> None:
        """Notes this study and its attempts anew if somebody has removed the ledger; others do so within a moment."""
        if self._file >= 0 and not all(os.fstat(fd).st_nlink for fd in (self._folder, self._turn, self._file)):
            self._open()
            self._seen_at = -1e9
            self._settled_at = self._clock() + _NOTED_S

    def close(self) -> None:
        """Attempts that run keep what they hold."""
        self._flush()
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.unlink(f"{_STUDY}{self.me.study}", dir_fd=self._folder)
            self._changed()
        for fd in (self._file, self._turn, self._folder):
            if fd >= 0:
                os.close(fd)
        self._folder = self._turn = self._file = -1

    # -- the others ------------------------------------------------------------------------------------------------

    def look(self) -> tuple[list[Lease], list[Peer]]:
        """What attempts of other studies hold (and lost ones of this one), and the studies whose engines run."""
        self.renew()
        now, token = self._clock(), self._token()
        if not token or token != self._seen or now > self._seen_at + _TRUSTED_S:
            names = self._names()
            self._known = {
                name: lease
                for name in names
                if name.startswith(_LEASE) and not self._is_mine(name[len(_LEASE) :])
                if (lease := self._known.get(name) or _read_lease(self._folder, name)) is not None
            }
            self._peers = self._read_peers(names)
            self._seen, self._seen_at = token, now
        return list(self._known.values()), self._peers

    def prune(self) -> bool:
        """Whether leases went whose processes are gone; to be called in one's `turn`. Looks now and then only."""
        now = self._clock()
        if now < self._prune_at or self._folder < 0:
            return False
        self._prune_at = now + _PRUNE_S
        alive = {peer.study for peer in self._read_peers(self._names(), remove=True)}
        others = {name: lease for name, lease in self._known.items() if not self._is_mine(name[len(_LEASE) :])}
        gone = [name for name, lease in others.items() if lease.study not in alive and not self._held(name)]
        for name in gone:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
        if gone:
            self._changed()
        return bool(gone)

    def _is_mine(self, nonce: str) -> bool:
        return nonce in self._mine or nonce in self._spare

    def _token(self) -> bytes:
        try:
            return os.pread(self._turn, _TOKEN_BYTES, 0) if self._turn >= 0 else b"-"
        except OSError:
            return b""

    def _changed(self) -> None:
        """After a change: whoever has looked before looks again."""
        if self._turn < 0:
            return
        self._changes += 1
        token = f"{self.me.study} {self._changes}".encode()
        with contextlib.suppress(OSError):
            os.pwrite(self._turn, token.ljust(_TOKEN_BYTES)[:_TOKEN_BYTES], 0)

    def _names(self) -> list[str]:
        if self._folder < 0:
            return []
        try:
            return os.listdir(self._folder)
        except OSError:
            return []

    def _read_peers(self, names: list[str], *, remove: bool = False) -> list[Peer]:
        """`remove`: the files of those that have gone; in one's turn only, so that no new one under the name is hit."""
        others = [name for name in names if name.startswith(_STUDY) and name != f"{_STUDY}{self.me.study}"]
        found = [_read_peer(self._folder, name, remove=remove) for name in others]
        return [peer for peer in found if peer is not None]

    def _held(self, name: str) -> bool:
        """Whether a process of the attempt is alive, without its engine."""
        try:
            fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=self._folder)
        except OSError as error:
            return error.errno != errno.ENOENT
        try:
            return not _lock(fd) or any_marked(name[len(_LEASE) :])
        finally:
            os.close(fd)

    # -- files -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Opens the folder and notes this study and its attempts there; without one, only this study is counted."""
        self.close()
        self._noted.clear()
        if not self.me.study or self._env.get(VARIABLE) == OFF or _WITHIN in self._env:
            return
        try:
            self._path = folder_of(self._env)
            self._folder = os.open(self._path, _FOLDER)
            fcntl.flock(self._folder, fcntl.LOCK_SH)  # who cleans up /tmp leaves a locked folder alone
            self._turn = _opened("turn", self._folder)
            self._file = _own(f"{_STUDY}{self.me.study}", self._folder)
            self._say()
            for nonce, lease in self._mine.items():
                self._put(nonce, lease)
        except OSError as error:
            self._warn(error)
            if self._file < 0:  # without the others' files, too: half of a ledger would keep this study waiting
                self.close()

    def _put(self, nonce: str, lease: Lease) -> None:
        if self._folder < 0:
            return
        name = f"{_LEASE}{nonce}"
        if self._spare.pop(nonce, None):
            pass  # an attempt that never began begins now: the file stays in place, as a shim may be about to lock it
        elif spare := next((old for old, held in self._spare.items() if held == lease), None):
            del self._spare[spare]
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{_LEASE}{spare}", name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                failpoint("lease.renamed")
                self._noted.add(nonce)
                return
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FILE, 0o644, dir_fd=self._folder)
        try:
            _write(fd, vars(lease))
        except OSError:
            os.unlink(name, dir_fd=self._folder)
            raise
        finally:
            os.close(fd)
        self._noted.add(nonce)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            where = f" in {self._path}" if self._path else ""
            _log.warning(
                "the cores and GPUs that trials hold cannot be recorded%s (%s): %s; set %s to another folder",
                where, error.strerror, _ALONE, VARIABLE,
            )  # fmt: skip


def overview(study: str, env: Mapping[str, str]) -> tuple[Peer, list[Lease]] | None:
    """What the engine of a study says, and what all attempts hold; None: no engine of it runs, or nobody can tell."""
    try:
        folder = os.open(folder_of(env), _FOLDER)
    except OSError:
        return None
    try:
        peer = _read_peer(folder, f"{_STUDY}{study}")
        if peer is None:
            return None
        names = [name for name in os.listdir(folder) if name.startswith(_LEASE)]
        return peer, [lease for name in names if (lease := _read_lease(folder, name)) is not None]
    finally:
        os.close(folder)


def described(env: Mapping[str, str]) -> tuple[str, str]:
    """The ledger of this machine, or what is wrong with it, and how many trials are in it; for people."""
    if env.get(VARIABLE) == OFF:
        return OFF, f"{VARIABLE}: {_ALONE}"
    path = ""
    try:
        path = folder_of(env)
        held = sum(name.startswith(_LEASE) for name in os.listdir(path))
        _try_out(path)
    except OSError as error:
        where = f"{path}: " if path else ""
        return "unusable", f"{where}{error.strerror}: {_ALONE}; see {VARIABLE}"
    return path, f"{counted(held, 'running trial')} of all studies; shared by all studies of this user"


def _try_out(path: str) -> None:
    """Raises OSError: nothing can be noted there."""
    folder = os.open(path, _FOLDER)
    try:
        if "turn" in os.listdir(folder):
            os.close(_opened("turn", folder))
        name = f"doctor-{os.getpid()}"
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=folder)
        try:
            _write(fd, {})
        finally:
            os.close(fd)
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def folder_of(env: Mapping[str, str]) -> str:
    """The folder that all studies of this user use, made if it is not there. Raises OSError: there can be none."""
    if named := env.get(VARIABLE):
        os.makedirs(named, exist_ok=True)
        return os.path.abspath(named)
    problem = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for base in _BASES:
        path = f"{base}/hpo-engine-{os.geteuid()}"
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
            seen = os.stat(path, follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and os.access(path, os.W_OK | os.X_OK):
                return path
            problem = OSError(errno.EACCES, os.strerror(errno.EACCES))  # somebody else has put it there
        except OSError as error:
            problem = error
    raise problem


def _read_peer(folder: int, name: str, *, remove: bool = False) -> Peer | None:
    """None: its engine has gone."""
    try:
        fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
    except OSError:
        return None
    try:
        if _lock(fd, shared=True):
            if remove:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)
            return None
        peer = _made(Peer, _read(fd))
        return peer if peer is not None and peer.mask else None
    except OSError:  # no lock, say
        return None
    finally:
        os.close(fd)


def _read_lease(folder: int, name: str) -> Lease | None:
    try:
        fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=folder)
    except OSError:
        return None
    try:
        return _made(Lease, _read(fd))
    finally:
        os.close(fd)


def _own(name: str, folder: int) -> int:
    """A descriptor that holds the lock of a file, which is made if it is not there. Raises OSError."""
    for _ in range(_TRIES):
        fd = _opened(name, folder)
        if _lock(fd) and os.fstat(fd).st_nlink:
            return fd
        os.close(fd)  # somebody looks at it, or has just removed it as left behind
        os.sched_yield()
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _opened(name: str, folder: int) -> int:
    """A descriptor of a file, which is made if it is not there. Raises OSError, also if it is a pipe or the like."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | _FILE, 0o644, dir_fd=folder)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, f"{name} is not a file")


def _lock(fd: int, *, shared: bool = False) -> bool:
    """Whether the lock is this descriptor's now."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(fd: int, value: Mapping[str, Any]) -> None:
    data = json.dumps(value).encode()
    if os.pwrite(fd, data, 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(fd, len(data))


def _read(fd: int) -> Any:
    try:
        return json.loads(os.pread(fd, _MOST_BYTES, 0))
    except (OSError, ValueError, RecursionError):  # it is being written
        return None


def _made(cls: type[_T], data: Any) -> _T | None:
    """None: it is not what this version writes."""
    try:
        made = cls(**data)
        return made if all(_CHECKS[f.type](getattr(made, f.name)) for f in fields(made)) else None  # type: ignore[arg-type, index]
    except (TypeError, AttributeError):
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _MOST


_CHECKS: dict[str, Callable[[Any], bool]] = {  # by the type of a field
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and value >= 0,
    "int | None": lambda value: value is None or (isinstance(value, int) and 0 < value <= _MOST),
    "float": _is_number,
    "Sequence[str]": lambda value: isinstance(value, list) and all(isinstance(gpu, str) for gpu in value),
    "Mapping[str, float]": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
}
