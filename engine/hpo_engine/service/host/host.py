"""The host: one thread that starts engines when their turn comes and notices when they end.

It sleeps until something happens. What it decides is in the database before it is done, so that the host of the next
service goes on where this one stood: an engine that still runs is adopted, a study that should have one gets one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.control.engines import last_words, words
from hpo_engine.errors import JournalError
from hpo_engine.service.host.engine import EngineProcess, Failures
from hpo_engine.service.host.forker import Ended, Forker, News, Placed, Refused, Started
from hpo_engine.service.host.forking import is_own
from hpo_engine.service.host.line import Line
from hpo_engine.service.host.placing import is_placed
from hpo_engine.service.records.submissions import Phase, Submission, Submissions
from hpo_engine.store.journal import read_summary
from hpo_engine.store.lock import Holder, who_leads

if TYPE_CHECKING:
    from hpo_engine.service.records.uploads import Uploads

_log = logging.getLogger(__name__)
_BAD_INPUT, _ELSEWHERE = 2, 4  # exit codes of an engine
_MOMENT_S, _MOMENTS = 0.01, 20
_PAUSE_S = 1.0  # between two tries of what the machine has no room for


class Host:
    """Args:
    root: of the studies. submissions, uploads: those of the service. studies: how many run at the same time, at most.
    env: the environment of engines and, with what the engine leaves out, of trials.
    """

    def __init__(
        self, root: str, submissions: Submissions, uploads: Uploads, studies: int, env: Mapping[str, str] | None = None
    ) -> None:
        self._root, self._submissions, self._uploads, self._most = root, submissions, uploads, studies
        self._env = dict(os.environ if env is None else env)
        self._engines: dict[int, EngineProcess] = {}  # by the submission's number
        self._unsettled: list[tuple[EngineProcess, int | None]] = []  # ends that could not be recorded
        self._line, self._failures = Line(), dict[str, Failures]()
        self.problems: dict[str, str] = {}
        """Studies that the host has given up, and why."""
        self._forker: Forker | None = None
        self._forker_due = 0.0
        self._calls: deque[Callable[[], None]] = deque()
        self._wake, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poller = select.poll()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="service-host", daemon=True)

    def start(self) -> None:
        """Takes over what the service before has left."""
        self._recover()
        self._thread.start()

    def close(self) -> None:
        """Engines go on."""
        self._closing = True
        self._call(lambda: None)
        if self._thread.is_alive():
            self._thread.join()

    def enqueue(self, submission: Submission) -> None:
        """Its study gets an engine when its turn comes."""
        self._call(lambda: self._enqueue(submission))

    def withdraw(self, name: str) -> None:
        """The study gets no engine any more."""
        self._call(lambda: self._withdraw(name))

    def is_leading(self, pid: int) -> bool:
        """Whether the process is an engine of this service."""
        return any(engine.pid == pid for engine in list(self._engines.values()))

    def has(self, number: int) -> bool:
        """Whether an engine of that submission runs, or has just been asked for."""
        return number in self._engines

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _call(self, what: Callable[[], None]) -> None:
        self._calls.append(what)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_in, b".")

    def _run(self) -> None:
        self._poller.register(self._wake, select.POLLIN)
        while not self._closing:
            try:
                self._settle_late()
                self._fill()
                self._await()
            except JournalError as error:  # the disk is full, say: what was to be recorded is recorded later
                _log.error("%s", error)
                time.sleep(_PAUSE_S)
            except Exception:  # our own fault with one study must not stop all others
                _log.exception("the host of engines goes on after an internal error")
                time.sleep(_PAUSE_S)
        if self._forker is not None:
            self._forker.close()

    def _await(self) -> None:
        """Until something happens, or is due."""
        timeout = self._until_due()
        for fd, _ in self._poller.poll(None if timeout is None else max(0.0, timeout) * 1000):
            if fd == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            elif self._forker is not None and fd == self._forker.fileno():
                self._hear(self._forker)
            else:
                self._adopted_ended(fd)
        while self._calls:
            self._calls.popleft()()

    def _until_due(self) -> float | None:
        due = [failures.due for name, failures in self._failures.items() if failures.due and name not in self._line]
        if self._forker is None:
            due.append(self._forker_due)
        if self._unsettled:
            due.append(time.monotonic() + _PAUSE_S)
        return min(due) - time.monotonic() if due else None

    def _fill(self) -> None:
        """Starts engines while there is room."""
        now = time.monotonic()
        for name, failures in list(self._failures.items()):
            if failures.due and failures.due <= now:
                failures.due = 0.0
                if (row := self._submissions.get(name)) is not None and row.phase is Phase.BEGUN:
                    self._line.add(name, row.owner, row.turn)
        if self._forker is None and now >= self._forker_due:
            self._start_forker()
        while self._forker is not None and len(self._engines) < self._most and len(self._line):
            running = Counter(engine.owner for engine in self._engines.values())
            if (first := self._line.take(running)) is not None:
                self._begin(first)

    def _start_forker(self) -> None:
        self._forker_due = time.monotonic() + _PAUSE_S
        try:
            self._forker = Forker(self._root, self._env)
        except OSError as error:
            _log.error("the process that starts engines cannot be started: %s", error)
            return
        self._poller.register(self._forker.fileno(), select.POLLIN)

    def _begin(self, name: str) -> None:
        assert self._forker is not None
        before, paths = self._submissions.get(name), self._paths(name)
        if before is None or before.id in self._engines:
            return
        # In the table first: who stops the study meanwhile sees that it may begin, or what follows sees the stop.
        self._engines[before.id] = EngineProcess(before.id, name, before.owner, time.monotonic())
        try:
            row = self._submissions.change(name, (Phase.QUEUED, Phase.BEGUN), phase=Phase.BEGUN)
        except JournalError:
            del self._engines[before.id]
            self._line.add(name, before.owner, before.turn)
            raise
        if row is None or row.id != before.id:
            del self._engines[before.id]
            return
        verb = [*words(paths, {"changes": row.changes}), "--quiet"]
        try:
            self._forker.start(row.id, name, place=not row.placed, words=verb)
        except OSError:  # it is gone
            del self._engines[row.id]
            self._line.add(name, row.owner, row.turn)
            self._forker_gone(self._forker)

    def _hear(self, forker: Forker) -> None:
        news = forker.hear()
        if news is None:
            self._forker_gone(forker)
            return
        engine = self._engines.get(news.number)
        if engine is None:
            if isinstance(news, Started):
                os.close(news.handle)
            return
        self._heed(engine, news)

    def _heed(self, engine: EngineProcess, news: News) -> None:
        match news:
            case Started(_, pid, handle):
                engine.pid, engine.handle = pid, handle
            case Placed():
                self._placed(engine.name)
            case Refused(_, why, again):
                engine.refused, engine.again = why, again
            case Ended(_, code):
                self._ended(engine, code)

    def _placed(self, name: str) -> None:
        before = self._submissions.get(name)
        self._submissions.change(name, placed=True, kept="")
        if before is not None:
            self._uploads.drop(before.kept)

    def _forker_gone(self, forker: Forker) -> None:
        """It was killed: its engines go on, and are watched by their handles now."""
        self._poller.unregister(forker.fileno())
        forker.close()
        self._forker = None
        for engine in list(self._engines.values()):
            if engine.ours:
                engine.ours = False
                if engine.handle < 0:  # it was not started, or nobody has heard of it
                    self._ended(engine, None)
                else:
                    self._poller.register(engine.handle, select.POLLIN)

    def _adopted_ended(self, handle: int) -> None:
        self._poller.unregister(handle)
        for engine in [each for each in self._engines.values() if each.handle == handle]:
            self._ended(engine, None)

    def _ended(self, engine: EngineProcess, code: int | None) -> None:
        """`code`: None if it is not known."""
        self._engines.pop(engine.number, None)
        if engine.handle >= 0:
            os.close(engine.handle)
        try:
            self._settle(engine, code)
        except JournalError as error:
            _log.error("%s", error)
            self._unsettled.append((engine, code))

    def _settle_late(self) -> None:
        while self._unsettled:
            self._settle(*self._unsettled[0])
            del self._unsettled[0]

    def _settle(self, engine: EngineProcess, code: int | None) -> None:
        """What becomes of a study whose engine has ended; its log says most of it. Raises JournalError."""
        name, paths = engine.name, self._paths(engine.name)
        row = self._submissions.get(name)
        if row is None or row.id != engine.number:
            return
        if not row.placed and is_placed(paths, row.created):  # it had no time to say so
            self._placed(name)
        row = self._submissions.get(name) or row
        if row.phase is Phase.QUEUED:  # restarted while it was ending
            self._line.add(name, row.owner, row.turn)
        if row.phase is not Phase.BEGUN:
            return
        if engine.refused and not engine.again and not row.placed:
            self._submissions.change(name, phase=Phase.REFUSED, reason=engine.refused)
        elif row.placed and _is_over(paths):
            self._failures.pop(name, None)
            self._submissions.change(name, phase=Phase.IDLE, changes={})
        elif row.placed and (code == _ELSEWHERE or who_leads(paths.lock) is not None):
            self._led(row, paths)
        elif code == _BAD_INPUT and row.placed:
            self._give_up(name, last_words(paths))
        else:
            self._died(engine, row, engine.refused or last_words(paths))

    def _led(self, row: Submission, paths: StudyPaths) -> None:
        """Somebody leads the study: an engine that the service before has started, or another one."""
        if not self._adopt(row, paths):
            self._submissions.change(row.name, phase=Phase.IDLE)

    def _died(self, engine: EngineProcess, row: Submission, why: str) -> None:
        now = time.monotonic()
        failures = self._failures.setdefault(row.name, Failures())
        if not failures.after(now - engine.since, now):
            del self._failures[row.name]
            self._give_up(row.name, why)

    def _give_up(self, name: str, why: str) -> None:
        row = self._submissions.get(name)
        text = why.removeprefix("; its last words: ") or "its engine was killed again and again"
        if row is not None and not row.placed:
            self._submissions.change(name, phase=Phase.REFUSED, reason=text)
            return
        self.problems[name] = text

    def _enqueue(self, row: Submission) -> None:
        self._failures.pop(row.name, None)
        self.problems.pop(row.name, None)
        if row.id not in self._engines:
            self._line.add(row.name, row.owner, row.turn)

    def _withdraw(self, name: str) -> None:
        self._line.remove(name)
        self._failures.pop(name, None)
        self.problems.pop(name, None)

    # -- what the service before has left --------------------------------------------------------------------------

    def _recover(self) -> None:
        """Before the thread starts."""
        rows = sorted(self._submissions.all(), key=lambda row: row.turn)
        for row in rows:
            paths = self._paths(row.name)
            if not row.placed and row.phase in (Phase.BEGUN, Phase.QUEUED) and is_placed(paths, row.created):
                self._placed(row.name)
        self._uploads.sweep({row.kept for row in self._submissions.all() if row.kept})
        for row in sorted(self._submissions.all(), key=lambda row: row.turn):
            self._take_over(row, self._paths(row.name))

    def _take_over(self, row: Submission, paths: StudyPaths) -> None:
        if row.placed and row.phase in (Phase.BEGUN, Phase.QUEUED) and who_leads(paths.lock) is not None:
            if not self._adopt(row, paths):  # somebody else leads it, who has been asked to
                self._submissions.change(row.name, phase=Phase.IDLE)
        elif row.placed and row.phase is not Phase.REMOVING and not os.path.lexists(paths.root):
            self._submissions.remove(row.name)  # the command line has removed it
        elif row.phase is Phase.QUEUED:
            self._line.add(row.name, row.owner, row.turn)
        elif row.phase is Phase.BEGUN:
            if row.placed and _is_over(paths):
                self._submissions.change(row.name, phase=Phase.IDLE, changes={})
            else:
                self._line.add(row.name, row.owner, row.turn)

    def _adopt(self, row: Submission, paths: StudyPaths) -> bool:
        """Watches the engine that leads the study, if a service of this root has started it."""
        holder = _named_holder(paths)
        if holder is None or not is_own(holder.pid, self._root):
            return False
        try:
            handle = os.pidfd_open(holder.pid)
        except OSError:
            return False
        now = who_leads(paths.lock)
        if now is None or now.pid != holder.pid:
            os.close(handle)
            return False
        if row.phase is not Phase.BEGUN:
            self._submissions.change(row.name, phase=Phase.BEGUN)
        self._engines[row.id] = EngineProcess(
            row.id, row.name, row.owner, time.monotonic(), holder.pid, handle, ours=False
        )
        self._poller.register(handle, select.POLLIN)
        return True

    def _paths(self, name: str) -> StudyPaths:
        return StudyPaths(os.path.join(self._root, name))


def _named_holder(paths: StudyPaths) -> Holder | None:
    """Who leads the study; one that has just begun gets a moment to write its name."""
    holder = who_leads(paths.lock)
    for _ in range(_MOMENTS):
        if holder is None or holder.pid:
            break
        time.sleep(_MOMENT_S)
        holder = who_leads(paths.lock)
    return holder


def _is_over(paths: StudyPaths) -> bool:
    """Whether the log says that the study has ended, or was stopped."""
    try:
        return read_summary(paths.db).state != "running"
    except JournalError:
        return False
