"""The engine of a study with all its parts, and the study that it holds open."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from hpo_engine.assembly.isolated import at_home
from hpo_engine.assembly.parts import chosen_trackers, metric_sources, runs_here, searcher, stopper
from hpo_engine.assembly.registries import EXECUTORS
from hpo_engine.contract import binding, layout
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.snapshot.redirect import redirect
from hpo_engine.errors import Problem, SpecError, StudyGone, StudyLocked
from hpo_engine.isolation.home import Home
from hpo_engine.searchers import Searcher
from hpo_engine.store import inbox
from hpo_engine.store.journal import Journal
from hpo_engine.store.lock import StudyLock
from hpo_engine.study.events import Event, SpecChanged, TrialReopened, apply
from hpo_engine.study.history import History
from hpo_engine.study.spec import LOCAL, Resources, StudySpec
from hpo_engine.study.trial import BAD
from hpo_engine.system import threads

if TYPE_CHECKING:
    from hpo_engine.core.commands import Parts
    from hpo_engine.core.loop import Engine
    from hpo_engine.core.ports import Executor, Listener
    from hpo_engine.core.searcher_thread import Ask, Asker
    from hpo_engine.executors.local.bound import Bind, Rebinding
    from hpo_engine.stoppers import FirstOf
    from hpo_engine.stoppers.rule import Watch

_log = logging.getLogger(__name__)


@dataclass
class Clock:
    """UTC seconds that never jump: the wall clock when made, the monotonic one from then on."""

    base: float = 0.0

    def __post_init__(self) -> None:
        self.base = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self.base + time.monotonic()


@dataclass
class OpenStudy:
    """A study that this process has locked: its lock, its event log, and its history up to now.

    `copied_from`: the folder that it is a copy of, if trials were running there ("": it is not a copy).
    """

    paths: StudyPaths
    lock: StudyLock
    journal: Journal
    history: History
    copied_from: str = ""

    def check(self) -> None:
        """Raises StudyLocked or StudyGone if this process has lost the study."""
        self.lock.check()
        self.journal.check()

    def __enter__(self) -> OpenStudy:
        return self

    def __exit__(self, *error: object) -> None:
        self.journal.close()
        self.lock.close()


def open_study(paths: StudyPaths, *, wait_s: float = 0.0, known: History | None = None) -> OpenStudy:
    """Locks a study and reads its log.

    Args:
        wait_s: how long to wait for another engine to finish.
        known: the intended study, as it was read before; another study that has taken its name is left alone.

    Raises:
        StudyLocked, StudyGone, JournalError.
    """
    from hpo_engine.executors.local import origin

    with ExitStack() as held:
        lock = StudyLock(paths.lock, wait_s)
        held.callback(lock.close)
        if not os.path.exists(paths.db):  # else a new one would be made
            raise StudyGone(f"{paths.db}: the event log was removed")
        if elsewhere := origin.own_files(paths):
            _log.warning(origin.not_here(paths, elsewhere))
        journal = Journal(paths.db, write=True)
        held.callback(journal.close)
        history = journal.history(known)
        if known is not None and known.opened_at != history.opened_at:
            raise StudyLocked(f"{paths.root}: the study was removed, and another one has its name; it is left alone")
        if copied_from := origin.origin(paths, history):
            _log.warning(origin.described(paths, history, copied_from))
        held.pop_all()
        return OpenStudy(paths, lock, journal, history, copied_from)


def engine_for(
    study: OpenStudy,
    clock: Callable[[], float],
    trackers: Sequence[Listener] = (),
    *,
    changes: Mapping[str, Any] | None = None,
    retry: bool = False,
    say: Callable[[str], None] = _log.info,
    proposer: Searcher | None = None,
    poll_s: float = 0.5,
) -> Engine:
    """The engine of a study, to be resumed. Nothing is recorded if it cannot be made.

    Args:
        changes: new limits (SpecChanged). retry: run trials that failed, timed out or were lost again.
        say: called with one-line notices (how trials start, what they share).
        proposer: asked in place of the study's searcher. poll_s: as in Engine.

    Raises:
        JournalError, SpecError (the searcher or the machine cannot serve it).
    """
    from hpo_engine.assembly import surroundings
    from hpo_engine.contract import snapshot
    from hpo_engine.contract.copies import Copies
    from hpo_engine.contract.workspace import LocalWorkspace
    from hpo_engine.core.loop import Engine
    from hpo_engine.executors.local.activity import LocalActivity
    from hpo_engine.executors.local.bound import Rebinding

    paths, events = study.paths, _events(study.history, clock(), changes, retry=retry)
    history = reduce(apply, events, study.history)
    spec, user = history.spec, binding.user_of(os.environ)
    layout.lay_out_study(paths, user)  # a trial may have removed one of its folders
    _drop_old_requests(paths)
    view = snapshot.View.of(paths.model, source_dir=spec.model_dir)
    here = at_home(spec, paths)
    made = searcher(here, Home.of(paths)) if proposer is None else proposer
    threads.keep_to_one(os.environ)
    bind = Rebinding(_binder(spec, paths, view.linked))
    executor = _executor(spec, paths, bind, view.linked, say)
    activity = LocalActivity(paths) if spec.executor.name == LOCAL else None
    changing = _Changing(paths, view.linked, activity, executor, bind)
    views = snapshot.Views(view, lambda lay: layout.view_of(spec, lay))
    engine = Engine(
        LocalWorkspace(paths, spec, views, user, metric_sources(here), Copies(executor.wake)),
        paths.inbox,
        study.journal,
        history,
        made,
        stopper(here, activity),
        executor,
        [*trackers, *chosen_trackers(spec, paths)],
        poll_s=poll_s,
        asker=_asker_of(made, executor),
        copied_from=study.copied_from,
        check=study.check,
        remake=lambda new: changing.parts(engine.history.spec, new),
        look=None if proposer is not None else lambda: surroundings.here(here, paths.model),
    )
    if events:
        study.journal.append(events, history)
    return engine


def changed_parts(
    old: StudySpec, new: StudySpec, paths: StudyPaths, watch: Watch | None = None
) -> tuple[Searcher, FirstOf]:
    """The searcher and the stopper of a study that the user changes.

    Raises:
        SpecError: they cannot be made, or the searcher's plan for the trials so far does not fit the change.
    """
    here, former = at_home(new, paths), searcher(at_home(old, paths))
    made, before = searcher(here, Home.of(paths)), former.traits
    former.close()
    both = (old.algorithm.name, before), (new.algorithm.name, made.traits)
    planned = [name for name, traits in both if traits.rations or traits.listed or traits.carries_on]
    if old.algorithm != new.algorithm and planned:
        text = f"{planned[0]} follows a plan of its own, which is in its trials; begin a new study with warm_start"
        raise SpecError([Problem("algorithm", f"cannot be changed: {text}")])
    if old.space != new.space and before.listed:
        text = f"{old.algorithm.name} works through a list that follows from it; begin a new study"
        raise SpecError([Problem("space", f"cannot be changed: {text}")])
    if runs_here(new):
        from hpo_engine.executors.sharing import Place, capacity

        capacity(new.resources, Place.here(os.environ, gpus=bool(new.resources.gpus)))
    return made, stopper(here, watch)


_WHILE = "while an engine runs the study: stop it, edit, resume"


@dataclass(frozen=True)
class _Changing:
    """What a running engine needs to follow a change of its study. `linked`: big files that trials share."""

    paths: StudyPaths
    linked: tuple[str, ...]
    watch: Watch | None
    executor: Executor
    bind: Rebinding

    def parts(self, running: StudySpec, new: StudySpec) -> Parts:
        """The parts for the changed study. Raises SpecError if this engine cannot follow the change."""
        from hpo_engine.core.commands import Parts

        if (running.resources.cpus, running.resources.gpus) != (new.resources.cpus, new.resources.gpus):
            raise SpecError([Problem("trial", f"cpus and gpus cannot be changed {_WHILE}")])
        if running.trackers != new.trackers:
            raise SpecError([Problem("trackers", f"cannot be changed {_WHILE}")])
        resize = getattr(self.executor, "resize", None)
        if running.resources != new.resources and resize is None:
            raise SpecError([Problem("parallel", f"{new.executor.name} cannot change it {_WHILE}")])
        made, rules = changed_parts(running, new, self.paths, self.watch)
        bound = _binder(new, self.paths, self.linked)

        def adopt() -> None:
            self.bind.bind = bound
            if resize is not None:
                resize(_at_once(new))

        return Parts(made, rules, _asker_of(made, self.executor), adopt)


def _asker_of(made: Searcher, executor: Executor) -> Callable[[Ask], Asker]:
    """A searcher that may take long computes in a thread."""
    from hpo_engine.core.searcher_thread import InLine, InThread

    return InLine if made.traits.quick else lambda ask: InThread(ask, executor.wake)


def _at_once(spec: StudySpec) -> Resources:
    """What the study needs, without slots for trials that it cannot have."""
    most = min(n for n in (spec.resources.parallel, spec.budget.most) if n is not None)
    return replace(spec.resources, parallel=most)


def _binder(spec: StudySpec, paths: StudyPaths, linked: tuple[str, ...]) -> Bind:
    """Finds argv, environment and folders of attempts. `linked`: big files that trials share."""
    from hpo_engine.executors.local.bound import Binder

    base = {**os.environ, "USER": binding.user_of(os.environ)}
    there = redirect(binding.command(spec, sys.executable), base, spec.env, spec.model_dir, paths.model)
    return Binder(spec, paths, base, there, linked)


def _events(history: History, now: float, changes: Mapping[str, Any] | None, *, retry: bool) -> list[Event]:
    """The events that record what the user has changed."""
    events: list[Event] = [SpecChanged(now, dict(changes))] if changes else []
    if retry:
        events += [TrialReopened(now, trial.id) for trial in history.trials if trial.state in BAD]
    return events


def _drop_old_requests(paths: StudyPaths) -> None:
    """Drops requests to stop the study: they were meant for an earlier engine."""
    for path, request in inbox.pending(paths.inbox):
        if request is None or (request.do == "stop" and request.trial is None):
            inbox.done(path)
    inbox.clear_refusals(paths.inbox)


def _executor(
    spec: StudySpec, paths: StudyPaths, bind: Bind, linked: tuple[str, ...], say: Callable[[str], None]
) -> Executor:
    """The executor that the study names. Raises SpecError.

    Args:
        linked: big files that trials share. say: called with one-line notices.
    """
    from hpo_engine.executors.context import ExecutorContext
    from hpo_engine.executors.local.executor import LocalExecutor
    from hpo_engine.executors.local.processes import can_protect
    from hpo_engine.executors.machine import study_id
    from hpo_engine.executors.reasons import taking_reasons

    if linked and not can_protect():
        _log.warning(
            "big files are linked, not copied, and here only their modes keep trials from changing them: %s",
            ", ".join(linked),
        )
    context = ExecutorContext(
        _at_once(spec),
        os.environ,
        bind,
        say,
        errors=paths.engine_log,
        study=study_id(paths.root),
        name=spec.name,
    )
    name, options = spec.executor.name, spec.executor.options
    executor: Executor = EXECUTORS.make(name, options, context, folder=paths.model, path="executor")
    if isinstance(executor, LocalExecutor):
        each = executor.machine.threads()
        if each is not None and threads.OMP not in {**os.environ, **spec.env}:
            say(threads.described(each, *executor.machine.sharers()))
    return taking_reasons(executor)
