"""A study from Python, here or at a server: what can be asked of either, and what both show, as the event log tells."""

from __future__ import annotations

import asyncio
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
Whose = TypeVar("Whose", bound="AnyStudy")


class AnyStudy(ABC):
    """A `Study` here, or a `RemoteStudy` at a server. What it shows is always as the study stands when it is asked."""

    _paths: StudyPaths

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def history(self) -> History: ...

    @property
    @abstractmethod
    def state(self) -> str: ...

    @property
    @abstractmethod
    def running(self) -> bool: ...

    @property
    @abstractmethod
    def folder(self) -> str: ...

    @abstractmethod
    def wait(self: Whose, timeout: float | None = None) -> Whose: ...

    @abstractmethod
    def stop(self: Whose, *, kill: bool = False) -> Whose: ...

    @abstractmethod
    def resume(
        self: Whose,
        *,
        trials: int | None = None,
        runs: int | None = None,
        parallel: int | None = None,
        time_limit: str | float | None = None,
        wait: bool = True,
        quiet: bool = False,
    ) -> Whose: ...

    @abstractmethod
    def retry(self: Whose, *, wait: bool = True, quiet: bool = False) -> Whose: ...

    @abstractmethod
    def enqueue(
        self, configurations: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None, **params: Any
    ) -> None: ...

    @property
    def spec(self) -> StudySpec:
        """What it was asked to be."""
        return self.history.spec

    @property
    def space(self) -> Space:
        from hpo_engine.api.space import Space

        return Space.of(self.history.spec.space)

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

    # -- waiting -------------------------------------------------------------------------------------------------------

    def __await__(self: Whose) -> Generator[Any, None, Whose]:
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

    def _ended(self: Whose, began: bool) -> Whose:
        """`began`: an engine ran it when the waiting began."""
        from hpo_engine.control.engines import last_words

        if began and self.state == "interrupted":
            words = last_words(self._paths)
            raise EngineError(f"{self.name}: its engine has ended before the study; resume continues it{words}")
        return self

    async def _waited(self: Whose) -> Whose:
        began = self.running
        while self.running:
            await asyncio.sleep(_POLL_S)
        return self._ended(began)

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


def show(text: str) -> None:
    """A notice for the user, as the command line prints it."""
    print(f"hpo-engine: note: {text}", file=sys.stderr, flush=True)
