"""A study on disk, whoever runs it: read from its event log as it grows, and reached through its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine.api.any_study import AnyStudy
from hpo_engine.errors import SpecError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History

_POLL_S = 0.1


class Study(AnyStudy):
    """A study, made by `run` or `Study.load`. What it shows is always as the study stands when it is asked.

    It holds nothing open: it may be used from several threads, pickled and carried across a fork, and the study goes on
    without it.
    """

    def __init__(self, paths: StudyPaths) -> None:
        from hpo_engine.control.reading import Reader

        self._paths, self._reader = paths, Reader(paths)
        self._reader.read()

    @classmethod
    def load(
        cls,
        study: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] | None = None,
        server: str | None = None,
    ) -> AnyStudy:
        """A study that exists, running or not, by its folder's path or its name.

        Args:
            root: the folder of the studies; None: $HPO_ENGINE_ROOT, else ./hpo-runs.
            server: the address of a server that has it, or the host of one that `hpo-engine login` knows.

        Raises:
            StudyNotFound: with the nearest name. JournalError: its log cannot be read. EngineError: the server does not
            answer, or does not know you.
        """
        if server is not None:
            from hpo_engine.api.remote import RemoteStudy

            if root is not None:
                raise SpecError("name a root or a server, not both")
            return RemoteStudy.at(server, os.fspath(study))
        from hpo_engine.contract.paths import locate, runs_root

        return cls(locate(os.fspath(study), runs_root(None if root is None else os.fspath(root), os.environ)))

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.history.spec.name

    @property
    def folder(self) -> str:
        """Its folder (absolute)."""
        return self._paths.root

    @property
    def history(self) -> History:
        """All that is known of it, for code that works on histories, such as figures and searchers.

        Raises:
            StudyGone: its folder was moved or removed. JournalError: its log cannot be read.
        """
        return self._reader.read()

    @property
    def state(self) -> str:
        """running, finished (a trial succeeded), failed (none did), stopped (it can go on), or interrupted: its engine
        was killed, and `resume` continues it."""
        from hpo_engine.reports.objects import state_word

        led = self.running
        return state_word(self.history.state.value, led)

    @property
    def running(self) -> bool:
        """Whether an engine runs it."""
        from hpo_engine.store.lock import who_leads

        return who_leads(self._paths.lock) is not None

    # -- what it does --------------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Study:
        """Returns when no engine runs it any more.

        Args:
            timeout: seconds; None: no limit.

        Raises:
            TimeoutError: it still runs. EngineError: its engine ended without closing it, with the engine's own words.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        began = self.running
        while self.running:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{self.name} still runs after {timeout:g} s")
            time.sleep(_POLL_S)
        return self._ended(began)

    def stop(self, *, kill: bool = False) -> Study:
        """Stops it, so that it can be resumed; returns when it has stopped. Nothing happens if it does not run.

        Args:
            kill: trials are killed at once, and not given their time to end.

        Raises:
            EngineError: its engine does not answer.
        """
        from hpo_engine.control.stopping import ask_to_stop, await_stop, stop_unled

        history = self.history
        if self.running:
            await_stop(self._paths, ask_to_stop(self._paths, kill=kill), history.spec.trial.grace_s)
        elif history.running:
            stop_unled(self._paths, kill=kill)
        return self

    def resume(
        self,
        *,
        trials: int | None = None,
        runs: int | None = None,
        parallel: int | None = None,
        time_limit: str | float | None = None,
        wait: bool = True,
        quiet: bool = False,
    ) -> Study:
        """Continues it, as `hpo-engine resume`; trials that still run are taken over.

        Args:
            trials, runs: new limits in total. parallel: trials at the same time. time_limit: of the whole study, in
                seconds or as text such as "2h".
            wait, quiet: as for `run`.

        Raises:
            SpecError: a limit is below what it has had. StudyLocked: another engine runs it.
        """
        from hpo_engine.api.engine import started
        from hpo_engine.control.changes import new_limits, refuse_fewer

        limits = {"trials": trials, "runs": runs, "parallel": parallel}
        changes = new_limits(limits, time_limit, "time_limit")
        history = self.history
        refuse_fewer(history, changes, "{}: ")
        started(self, self._paths, history, changes, wait=wait, quiet=quiet)
        return self

    def retry(self, *, wait: bool = True, quiet: bool = False) -> Study:
        """Runs trials again that failed, timed out or were lost, as `hpo-engine retry --failed`."""
        from hpo_engine.api.engine import started

        started(self, self._paths, self.history, {}, retry=True, wait=wait, quiet=quiet)
        return self

    def enqueue(
        self, configurations: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, **params: Any
    ) -> None:
        """Puts configurations first in its line: they are tried as soon as a trial can start. What one leaves out is
        filled in by the searcher.

            study.enqueue(lr=0.01, layers=3)
            study.enqueue([{"lr": 0.01}, {"lr": 0.02}])

        Raises:
            SpecError: with what is wrong with each of them. EngineError: the engine does not answer.
        """
        from hpo_engine.control.queueing import enqueue

        enqueue(self._paths, self.history, self._configurations(configurations, params))

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return type(self).load, (self._paths.root,)
