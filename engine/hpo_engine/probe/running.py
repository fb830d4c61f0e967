"""Runs the trials of a check by the engine itself, in a scratch folder, and gathers what they show.

Nothing of the user's is changed. If this process is killed, its trials end at their time limit, and the next command
that makes a study beside it removes the folder.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from hpo_engine import assembly, studies
from hpo_engine.contract import binding
from hpo_engine.contract.outputlog.logfiles import NAME
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.preview import Preview
from hpo_engine.contract.sources.interface import Reading, TrialFiles
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.contract.sources.verdict import or_seen
from hpo_engine.core.loop import Engine
from hpo_engine.errors import EngineError
from hpo_engine.executors.machine import waits
from hpo_engine.probe.plan import Plan
from hpo_engine.probe.scripttext import ScriptText
from hpo_engine.probe.values import Arrival, Evidence, Ran
from hpo_engine.probe.watch import Stamps, Watch
from hpo_engine.study.events import AttemptStarted, Event, MetricsSeen
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Named, StudySpec
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.system.files import disk_bytes

_TICK_S = 0.05
_WAIT_LOOK_S = 2.0  # from one look to the next whether trials of other studies leave no room
_LOOK_S = 0.1  # from one look at a trial's processes to the next
_LATE_S = 60.0  # after the check's own time limit, until a trial ends even if nobody is there to end it
_OUTPUT = 8192  # bytes of the end of the output that are kept
_SEED = "20231"  # that all trials of a check have in place of {seed}, so that they differ by their parameters only


class Interrupted(Exception):  # noqa: N818  (as KeyboardInterrupt)
    """The user has interrupted the check; its trials have been ended."""


@contextmanager
def probed(
    spec: StudySpec,
    source: str,
    root: str,
    *,
    limit_s: float,
    each: bool | None,
    signals: Sequence[int],
    say: Callable[[str], None],
) -> Iterator[Evidence]:
    """What short trials of the study show; the scratch study exists until the end of the block.

    Args:
        source: the text of the study file. root: the folder of the studies.
        limit_s: how long a trial may run (seconds). each: see Plan.
        signals: those that the user has sent so far; one ends the trials, a second one kills them.
        say: called with a line when a trial begins.

    Raises:
        Interrupted; EngineError, OSError: as when a study is submitted.
    """
    began = time.monotonic()
    with studies.scratch(root) as folder:
        notes: list[str] = []
        files = assembly.metric_files(spec)
        paths = studies.create(_short(spec, limit_s), source, folder, time.time(), notes.append, metric_files=files)
        probe = _Probe(spec, paths, Plan(spec, each=each), limit_s, StudyPaths(os.path.join(root, spec.name)))
        probe.run(signals, say)
        yield replace(probe.evidence(), notes=(*spec.notes, *notes), seconds=time.monotonic() - began)


def _short(spec: StudySpec, limit_s: float) -> StudySpec:
    """The study with nothing that ends trials or begins others, and with a time limit of its own."""
    own = spec.trial.time_limit_s
    last_s = limit_s + spec.trial.grace_s + _LATE_S
    return replace(
        spec,
        command=tuple(map(_steady, spec.command)),
        env={name: _steady(text) for name, text in spec.env.items()} if "seed" not in spec.config_names else spec.env,
        stop=(), trackers=(), points=(), prior=(), warm_start=(), budget=Budget(), algorithm=Named("random"), seed=0,
        trial=replace(spec.trial, retries=0, time_limit_s=last_s if own is None else min(own, last_s)),
    )  # fmt: skip


def _steady(text: str) -> str:
    return re.sub(r"(?<![{$])\{seed\}(?!\})", _SEED, text)


class _Probe:
    """`real`: where the study itself would be, for what is shown of its trials."""

    def __init__(self, spec: StudySpec, paths: StudyPaths, plan: Plan, limit_s: float, real: StudyPaths) -> None:
        self._spec, self._paths, self._plan, self._limit_s, self._real = spec, paths, plan, limit_s, real
        self._script = ScriptText.of(spec, paths.model)
        self._stamps = Stamps(self._script.outside(paths.trial(0).result_dir))
        self._notices: list[str] = []
        self._runs: list[Ran] = []
        self._follower = _Follower(paths.root)
        self._asked: dict[int, tuple[str, float]] = {}
        self._history: History | None = None

    def run(self, signals: Sequence[int], say: Callable[[str], None]) -> None:
        """Raises Interrupted, EngineError."""

        def heard(line: str) -> None:
            self._notices.append(line)
            if line.startswith("preload: importing"):  # which takes long
                say(line)

        with assembly.open_study(self._paths) as study:
            clock = assembly.Clock()
            engine = assembly.engine_for(
                study, clock, [self._follower], say=heard, proposer=self._plan, poll_s=2 * _TICK_S
            )
            try:
                engine.resume(clock())
                self._loop(engine, clock, signals, say)
            finally:
                _end(engine, clock)
                engine.close()
        self._history = engine.history
        if signals:
            raise Interrupted

    def _loop(
        self, engine: Engine, clock: Callable[[], float], signals: Sequence[int], say: Callable[[str], None]
    ) -> None:
        shown, taken, waiting, look_at = 0, 0, "", 0.0
        while engine.step(clock()):
            if len(signals) > taken:
                engine.interrupt("interrupted", clock(), kill=taken > 0)
                taken = len(signals)
            for trial in engine.history.trials[shown:]:
                say(f"trial {trial.id}: {self._plan.purposes[trial.id]}")
                shown += 1
            self._end_in_time(engine, clock)
            self._gather(engine.history)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + _WAIT_LOOK_S
                if (line := waits(self._paths.root, os.environ)) and line != waiting:
                    say(line)
                waiting = line
            engine.executor.wait(_TICK_S)
        self._gather(engine.history)

    def _end_in_time(self, engine: Engine, clock: Callable[[], float]) -> None:
        for trial in engine.history.running:
            elapsed = self._follower.elapsed_s(trial)
            if elapsed is None or trial.stop is not None:
                continue
            why = "limit" if elapsed >= self._limit_s else ""
            if why or self._plan.enough(trial, engine.history, elapsed):
                self._asked[trial.id] = why or "enough", elapsed
                self._follower.stopped(trial)
                engine.stop_trial(trial.id, "the check has seen enough of it", clock())
            else:
                self._follower.look(trial)

    def _gather(self, history: History) -> None:
        for trial in history.trials[len(self._runs) :]:
            if trial.state.ended:
                self._runs.append(self._ran(trial, history))

    def _ran(self, trial: Trial, history: History) -> Ran:
        spec, paths = history.spec, self._paths.trial(trial.id)
        asked, asked_s = self._asked.get(trial.id, ("", None))
        if trial.state is TrialState.TIMED_OUT:
            asked, asked_s = "limit", spec.trial.time_limit_s
        files = TrialFiles.of(paths, trial, spec)
        reports = Reports(files, assembly.metric_sources(spec), objectives=files.objectives)
        reading = reports.final(cut=bool(asked), used=history.sources_used)
        return Ran(
            trial,
            self._plan.purposes[trial.id],
            Preview.of(trial, history, self._real.trial(trial.id)),
            or_seen(reading, trial.rows),
            tuple(self._follower.arrivals.get(trial.id, ())),
            asked,
            asked_s,
            binding.config_was_read(paths, history.whole_config(trial)),
            self._follower.watch(trial).seen(self._stamps),
            _rivals(spec, files, cut=bool(asked)),
            sum(map(disk_bytes, paths.folders)),
            _tail(f"{paths.attempt(1)}/{NAME}"),
        )

    def evidence(self) -> Evidence:
        assert self._history is not None
        return Evidence(
            self._spec, self._history, self._paths.root, tuple(self._runs), self._script, self._limit_s,
            tuple(self._notices), strays=tuple(_strays(self._paths)), untried=tuple(self._plan.untried),
        )  # fmt: skip


class _Follower:
    """Tracker: what running trials report, and when."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._began: dict[int, tuple[float, int]] = {}  # monotonic seconds, pid
        self._watches: dict[int, Watch] = {}
        self._looked_at = 0.0
        self.arrivals: dict[int, list[Arrival]] = {}

    def open(self, history: History, now: float) -> None:
        pass

    def on(self, event: Event, history: History) -> None:
        if isinstance(event, AttemptStarted):
            self._began[event.trial] = time.monotonic(), event.pid
        elif isinstance(event, MetricsSeen) and history.trials[event.trial].state is TrialState.RUNNING:
            after = self.elapsed_s(history.trials[event.trial])
            arrival = Arrival(after or 0.0, len(history.trials[event.trial].rows))
            self.arrivals.setdefault(event.trial, []).append(arrival)

    def tick(self, history: History, now: float) -> None:
        pass

    def close(self, history: History) -> None:
        pass

    def elapsed_s(self, trial: Trial) -> float | None:
        """Seconds since its process began; None: it has not."""
        return time.monotonic() - self._began[trial.id][0] if trial.id in self._began else None

    def watch(self, trial: Trial) -> Watch:
        return self._watches.setdefault(trial.id, Watch(self._study))

    def look(self, trial: Trial) -> None:
        now = time.monotonic()
        if now >= self._looked_at + _LOOK_S:
            self._looked_at = now
            self.watch(trial).look(self._began[trial.id][1], now)

    def stopped(self, trial: Trial) -> None:
        self.watch(trial).look(self._began[trial.id][1], time.monotonic())


def _end(engine: Engine, clock: Callable[[], float]) -> None:
    """Ends what still runs, whatever has gone wrong."""
    with suppress(EngineError, OSError):
        engine.interrupt("the check is over", clock(), kill=True)
        deadline = time.monotonic() + 10
        while engine.history.running and time.monotonic() < deadline and engine.step(clock()):
            engine.executor.wait(_TICK_S)


def _rivals(spec: StudySpec, files: TrialFiles, *, cut: bool) -> dict[str, Reading]:
    """What each source would read by itself: those of the study, and all that there are."""
    found: dict[str, Reading] = {}
    for candidate in assembly.every_source(spec):
        with suppress(Exception, SystemExit):  # a plugin's; what counts has been read
            reading = candidate.make(files).final(cut=cut)
            if isinstance(reading, Reading) and reading.rows:
                found[candidate.key] = reading
    return found


def _strays(paths: StudyPaths) -> Iterator[str]:
    """What trials have written into the study's folder, outside of their own."""
    for folder in (paths.root, paths.results, paths.logs):
        for name in sorted(os.listdir(folder)):
            known = name.isdigit() if folder != paths.root else f"{folder}/{name}" in _own(paths)
            if not known and not name.startswith("study.db"):
                yield f"{os.path.basename(folder)}/{name}" if folder != paths.root else name


def _own(paths: StudyPaths) -> tuple[str, ...]:
    return (
        paths.source, paths.db, paths.lock, paths.engine_log, paths.inbox, paths.model, paths.logs, paths.results,
        paths.trials, paths.dli, paths.plugin, paths.searcher_log, paths.searcher_state,
    )  # fmt: skip


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _OUTPUT))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
