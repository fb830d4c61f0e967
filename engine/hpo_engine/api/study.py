"""A study on disk, whoever runs it: read from its event log as it grows, and reached through its folder."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_engine.api.trials import TrialRecord, Trials, record_of
from hpo_engine.errors import EngineError, SpecError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from hpo_engine.api.space import Space
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_POLL_S = 0.1


class Study:
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
    ) -> Study:
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
    def spec(self) -> StudySpec:
        """What it was asked to be."""
        return self.history.spec

    @property
    def space(self) -> Space:
        from hpo_engine.api.space import Space

        return Space.of(self.history.spec.space)

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

    @property
    def reason(self) -> str:
        """Why it ended, in words; "" if there is no particular reason."""
        return self.history.reason

    # -- its trials ----------------------------------------------------------------------------------------------------

    @property
    def trials(self) -> Trials:
        """All of them, by id, as a list; in Jupyter it shows itself as a table."""
        return Trials(self.history, self._paths)

    def trial(self, number: int) -> TrialRecord:
        """The trial of that number. Raises SpecError if there is none."""
        history = self.history
        if number not in range(history.next_id):
            raise SpecError(f"{history.spec.name} has no trial {number}; it has {history.next_id} (from 0)")
        return record_of(history, history.trials[number], self._paths)

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far; of several objectives, the one of the `front` that is best by the first. None: no
        trial has a result yet."""
        history = self.history
        return None if history.best is None else record_of(history, history.best, self._paths)

    @property
    def front(self) -> list[TrialRecord]:
        """The trials that no other one dominates, by the first objective; with one objective, the best one."""
        history = self.history
        return [record_of(history, history.trials[number], self._paths) for _, number in history.front]

    def dataframe(self) -> pd.DataFrame:
        """A row for each trial, see `api.frames.of_trials` for the columns. Needs pandas."""
        from hpo_engine.api.frames import of_trials

        return of_trials(self.history)

    def curves(self) -> pd.DataFrame:
        """A row for each report of each trial: trial, step, and a column for each metric. Needs pandas."""
        from hpo_engine.api.frames import of_rows

        return of_rows(self.history)

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

    def __await__(self) -> Generator[Any, None, Study]:
        """`await study`: as `wait`; to cancel it ends the waiting, not the study."""
        return self._waited().__await__()

    async def watch(self) -> AsyncIterator[TrialRecord]:
        """Every trial once it has ended, those that have ended before first, until no engine runs the study. A trial
        that runs again and ends again comes again.

        Raises:
            EngineError: as `wait`.
        """
        from hpo_engine.study.table import TrialTable

        began, seen, ended = self.running, TrialTable(), dict[int, float | None]()
        while True:
            led = self.running
            history = self.history
            for trial in history.trials.changed(seen):
                if trial.state.ended and ended.get(trial.id, "") != trial.ended_at:
                    ended[trial.id] = trial.ended_at
                    yield record_of(history, trial, self._paths)
            seen = history.trials
            if not led:
                break
            await asyncio.sleep(_POLL_S)
        self._ended(began)

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

    def report(
        self, path: str | os.PathLike[str] | None = None, *, figure: str | None = None, dark: bool | None = None
    ) -> list[Path]:
        """Writes its report, as `hpo-engine report`; returns the files.

        Args:
            path: an .html file, or an .png, .svg or .pdf for one figure; None: NAME-report.html in the current folder.
            figure: only this one. dark: dark or light colours; None: as the reader's system.

        Raises:
            SpecError: there is no such figure. EngineError: it cannot be written, or a package is missing.
        """
        from hpo_engine.control.reporting import write_report

        theme = "" if dark is None else "dark" if dark else "light"
        out = None if path is None else os.fspath(path)
        return write_report(self.history, self._paths, out, figure=figure, theme=theme)

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

    # -- pictures ------------------------------------------------------------------------------------------------------

    def figure(self, name: str = "history", *, dark: bool = False, **options: Any) -> go.Figure:
        """A Plotly figure of it, such as history, importance or slices. Needs plotly.

        Args:
            name: one of `hpo_engine.reports.figures.FIGURES`. dark: in colours for a dark page. options: of the figure.

        Raises:
            SpecError: there is no figure of that name. NothingToShow: the study has nothing for it yet.
        """
        from hpo_engine.reports.figures import draw

        return draw(self.history, name, dark=dark, **options)

    @staticmethod
    def _configurations(
        configurations: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, params: Mapping[str, Any]
    ) -> list[Any]:
        """What `enqueue` was given, as a list."""
        from hpo_engine.space.params import plain

        if (configurations is None) is not bool(params):
            raise SpecError("name one configuration, as in enqueue(lr=0.01), or give a list of them")
        several = isinstance(configurations, Sequence) and not isinstance(configurations, str)
        given: list[Any] = list(configurations) if several else [configurations or params]  # type: ignore[arg-type]
        if not given:
            raise SpecError("there is no configuration in it")
        return [plain(each) for each in given]

    def __repr__(self) -> str:
        from hpo_engine.text.tables import counted, number

        history = self.history
        best = history.best_value
        done = counted(history.ended_count, "ended trial")
        what = "" if best is None else f", best {history.spec.objectives[0].metric} {number(best)}"
        return f"<Study {history.spec.name}: {self.state}, {done}{what}>"

    def _repr_html_(self) -> str:
        """For Jupyter: how it stands."""
        from hpo_engine.api.notebook.following import page_of

        return page_of(self)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return type(self).load, (self._paths.root,)

    def _ended(self, began: bool) -> Study:
        """`began`: an engine ran it when the waiting began."""
        from hpo_engine.control.engines import last_words

        if began and self.state == "interrupted":
            words = last_words(self._paths)
            raise EngineError(f"{self.name}: its engine has ended before the study; resume continues it{words}")
        return self

    async def _waited(self) -> Study:
        began = self.running
        while self.running:
            await asyncio.sleep(_POLL_S)
        return self._ended(began)


def show(text: str) -> None:
    """A notice for the user, as the command line prints it."""
    print(f"hpo-engine: note: {text}", file=sys.stderr, flush=True)
