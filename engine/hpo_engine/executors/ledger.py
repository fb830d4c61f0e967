"""What all studies of this computer record of what their trials hold, so that nothing is given out twice.

    study-ID      one per engine that runs; the engine holds its lock: who waits for what
    lease-NONCE   one per attempt that runs; its shim holds its lock: the cores and GPUs that are its own
    turn          whoever holds its lock may take something; its content changes with every change, so that one read
                  shows whether anything else has to be read

A lease is free only when its study's engine and its shim are gone and no process carries the attempt's mark. Nothing
here waits, and nothing here can fail a study: a ledger that cannot be used is a warning. Who may take what: `sharing`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from hpo_engine.executors.ledgerfolder import OFF, VARIABLE, LedgerFolder, folder_of
from hpo_engine.executors.local.marks import any_marked
from hpo_engine.executors.sharing import Lease, Peer
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)

_ALONE = "studies that run at the same time do not see each other"
_WITHIN = "HPO_ATTEMPT"  # an engine inside a trial has what the trial holds, and must not wait for it
_LEASE, _STUDY = "lease-", "study-"
_PRUNE_S = 0.5  # between two searches for leases whose processes have gone
_TRUSTED_S = 1.0  # what has been read counts so long, though nothing changed: an engine may have been killed
_NOTED_S = 1.0  # within this, engines notice that the ledger was removed, and record anew what they hold


class Ledger:
    """The ledger as one engine sees it.

    `mine`: what attempts of this study hold, by nonce. `others`: what those of other studies hold (and lost ones of
    this one), by file; `peers`: the other studies whose engines run; both as of the last `look`.

    Args:
        me: the study, whose lock the engine must hold; without an identity the study is counted alone.
        env: the caller's environment, which may name the folder; clock: monotonic seconds.
    """

    def __init__(
        self, me: Peer, env: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.me = me
        self.mine: dict[str, Lease] = {}
        self.others: dict[str, Lease] = {}
        self.peers: list[Peer] = []
        self._env, self._clock = env, clock
        self._folder: LedgerFolder | None = None  # None: this study is counted alone
        self._recorded: set[str] = set()  # nonces of those of mine that have a file
        self._spare: dict[str, Lease] = {}  # of attempts that ended a moment ago: the next one may be alike
        self._seen, self._seen_at = b"", -1e9  # the token when others were read, and when that was
        self._changes = 0
        self._prune_at = 0.0
        self._settled_at = -1e9  # until then others may not have recorded what they hold
        self._warned = False
        self._open()

    # -- this study ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def turn(self) -> Iterator[bool]:
        """Nobody else takes anything meanwhile; False: somebody else has the turn at this moment."""
        self._renew()
        folder = self._folder
        ours = folder is None or (self._clock() >= self._settled_at and folder.begin_turn())
        try:
            yield ours
        finally:
            if ours and folder is not None:
                folder.end_turn()

    def put(self, nonce: str, lease: Lease) -> None:
        """Records that an attempt of this study holds something."""
        self.mine[nonce] = lease
        self._recorded.discard(nonce)
        try:
            self._record(nonce, lease)
        except FileNotFoundError:  # somebody has removed the folder
            self._open()
        except OSError as error:
            self._warn(error)

    def hold(self, nonce: str) -> bool:
        """Makes what an attempt of an earlier engine of this study holds `mine`; False: it is not recorded."""
        name = f"{_LEASE}{nonce}"
        lease = self._folder.read(name, Lease) if self._folder is not None else None
        if lease is None:
            return False
        self.mine[nonce] = replace(lease, study=self.me.study)
        self._recorded.add(nonce)
        self._seen_at = -1e9  # it is no longer one of the others'
        return True

    def drop(self, nonce: str) -> None:
        """The attempt and all its processes are gone. Others learn of it with the next `flush`."""
        if nonce in self.mine:
            self._spare[nonce] = self.mine.pop(nonce)
            self._recorded.discard(nonce)

    def flush(self) -> None:
        """Releases what has been dropped and not been put again."""
        self._renew()
        self._flush()

    def path_of(self, nonce: str) -> str | None:
        """The file whose lock the attempt's shim is to hold; None: it could not be recorded."""
        return f"{self._folder.path}/{_LEASE}{nonce}" if self._folder is not None and nonce in self._recorded else None

    def publish(self, me: Peer) -> None:
        """Tells the others what has changed of this study."""
        self.me = me
        if self._folder is not None:
            try:
                self._folder.publish(vars(me))
                self._changed()
            except OSError as error:
                self._warn(error)

    def close(self) -> None:
        """Attempts that run keep what they hold."""
        self._flush()
        if self._folder is not None:
            self._folder.remove(f"{_STUDY}{self.me.study}")
            self._changed()
            self._folder.close()
            self._folder = None

    # -- the others ------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Reads what attempts of other studies hold, and whose engines run; False: nothing has changed since the last
        look."""
        if self._folder is None:
            return False
        now, token = self._clock(), self._folder.token
        if token and token == self._seen and now <= self._seen_at + _TRUSTED_S:
            return False
        leases = {name: self._folder.read(name, Lease) for name in self._files(_LEASE, but={*self.mine, *self._spare})}
        peers = [_living_peer(self._folder, name) for name in self._files(_STUDY, but={self.me.study})]
        self.others = {name: lease for name, lease in leases.items() if lease is not None}
        self.peers = [peer for peer in peers if peer is not None]
        self._seen, self._seen_at = token, now
        return True

    def prune(self) -> bool:
        """Whether leases went whose processes are gone; to be called in one's `turn`. Searches now and then only."""
        now = self._clock()
        if now < self._prune_at or self._folder is None:
            return False
        self._prune_at, self._seen_at = now + _PRUNE_S, -1e9
        self.look()
        alive = {peer.study for peer in self.peers}
        gone = [name for name, lease in self.others.items() if lease.study not in alive and not self._is_held(name)]
        for name in gone:
            self._folder.remove(name)
        for name in self._files(_STUDY, but={self.me.study}):
            self._folder.remove_dead(name)
        if gone:
            self._changed()
        return bool(gone)

    def _files(self, kind: str, but: set[str]) -> list[str]:
        names = [] if self._folder is None else self._folder.names()
        return [name for name in names if name.startswith(kind) and name[len(kind) :] not in but]

    def _is_held(self, name: str) -> bool:
        """Whether a process of the attempt is alive, without its engine."""
        locked = self._folder.is_locked(name) if self._folder is not None else None
        return locked is not None and (locked or any_marked(name[len(_LEASE) :]))

    # -- files -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Opens the folder and records this study and its attempts there."""
        self.close()
        self._recorded.clear()
        self.others, self.peers, self._seen_at = {}, [], -1e9
        if not self.me.study or self._env.get(VARIABLE) == OFF or _WITHIN in self._env:
            return
        path = ""
        try:
            path = folder_of(self._env)
            self._folder = LedgerFolder(path, f"{_STUDY}{self.me.study}")
            self.publish(self.me)
            for nonce, lease in self.mine.items():
                self._record(nonce, lease)
            self.look()
        except OSError as error:
            self._warn(error, path)

    def _renew(self) -> None:
        """Records this study and its attempts anew if somebody has removed the ledger; others do so within a moment."""
        if self._folder is not None and not self._folder.is_there:
            self._open()
            self._settled_at = self._clock() + _NOTED_S

    def _record(self, nonce: str, lease: Lease) -> None:
        if self._folder is None:
            return
        name = f"{_LEASE}{nonce}"
        if self._spare.pop(nonce, None) is None:  # else it never began and begins now: a shim may be about to lock it
            spare = next((old for old, held in self._spare.items() if held == lease), None)
            if spare is not None:
                del self._spare[spare]
                if self._folder.rename(f"{_LEASE}{spare}", name):
                    self._recorded.add(nonce)
                    return  # of all that trials hold, nothing has changed
        self._folder.put(name, vars(lease))
        self._recorded.add(nonce)
        self._changed()

    def _flush(self) -> None:
        if self._spare and self._folder is not None:
            for nonce in self._spare:
                self._folder.remove(f"{_LEASE}{nonce}")
            self._changed()
        self._spare.clear()

    def _changed(self) -> None:
        """After a change: whoever has looked before looks again."""
        if self._folder is not None:
            self._changes += 1
            self._folder.token = f"{self.me.study} {self._changes}".encode()

    def _warn(self, error: OSError, path: str = "") -> None:
        if not self._warned:
            self._warned = True
            path = path or (self._folder.path if self._folder is not None else "")
            where = f" in {path}" if path else ""
            _log.warning(
                "the cores and GPUs that trials hold cannot be recorded%s (%s): %s; set %s to another folder",
                where, error.strerror, _ALONE, VARIABLE,
            )  # fmt: skip


def overview(study: str, env: Mapping[str, str]) -> tuple[Peer, list[Lease]] | None:
    """What the engine of a study last published, and what all attempts hold; None: no engine of it runs, or that cannot
    be known."""
    try:
        opened = LedgerFolder(folder_of(env))
    except OSError:
        return None
    with contextlib.closing(opened) as folder:
        if (peer := _living_peer(folder, f"{_STUDY}{study}")) is None:
            return None
        names = [name for name in folder.names() if name.startswith(_LEASE)]
        return peer, [lease for name in names if (lease := folder.read(name, Lease)) is not None]


def all_leases(env: Mapping[str, str]) -> list[Lease] | None:
    """What attempts of all studies hold; None: that cannot be known."""
    if env.get(VARIABLE) == OFF:
        return None
    try:
        opened = LedgerFolder(folder_of(env))
    except OSError:
        return None
    with contextlib.closing(opened) as folder:
        names = [name for name in folder.names() if name.startswith(_LEASE)]
        return [lease for name in names if (lease := folder.read(name, Lease)) is not None]


def described(env: Mapping[str, str]) -> tuple[str, str]:
    """The ledger of this machine, or what is wrong with it, and how many trials are in it; for people."""
    if env.get(VARIABLE) == OFF:
        return OFF, f"{VARIABLE}: {_ALONE}"
    path, own = "", f"doctor-{os.getpid()}"
    try:
        path = folder_of(env)
        with contextlib.closing(LedgerFolder(path, own)) as folder:
            held = sum(name.startswith(_LEASE) for name in folder.names())
            try:
                folder.publish({})
            finally:
                folder.remove(own)
    except OSError as error:
        where = f"{path}: " if path else ""
        return "unusable", f"{where}{error.strerror}: {_ALONE}; see {VARIABLE}"
    return path, f"{counted(held, 'running trial')} of all studies; shared by all studies of this user"


def _living_peer(folder: LedgerFolder, name: str) -> Peer | None:
    peer = folder.read_living(name, Peer)
    return peer if peer is not None and peer.mask else None
