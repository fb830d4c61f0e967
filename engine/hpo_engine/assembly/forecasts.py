"""What a study will take, found out before it runs or while it does; nothing is started and no study is changed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo_engine.assembly.parts import runs_here, searcher
from hpo_engine.assembly.registries import SEARCHERS
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec

if TYPE_CHECKING:
    from hpo_engine.core.rehearsal import Rehearsed
    from hpo_engine.reports.pace import Pace

_WEIGHED = 20  # trials whose files are counted
_ORDERS = 7  # in which configurations may turn out good or bad; odd, so that one is in the middle
_MANY = 300  # trials from which on the order hardly matters
_MOST_QUICK = 100  # trials of a searcher that is not quick for which there is time when a study begins


def plan(spec: StudySpec) -> str:
    """The runs and the resource that a study will take, in one line; "" if it has no resource."""
    if spec.resource is None:
        return ""
    from hpo_engine.reports import forecast

    return forecast.plan(spec, searcher(spec), known=spec.algorithm.name.partition(":")[0] in SEARCHERS)


def warnings(spec: StudySpec) -> list[str]:
    """Notes before a new study starts; limits from the command line are taken into account."""
    from hpo_engine.executors.sharing import Place, capacity
    from hpo_engine.reports import forecast

    if not runs_here(spec):
        return []
    place = Place.here(os.environ, gpus=bool(spec.resources.gpus))
    cores = place.cores.count
    notes = list(forecast.at_once(spec, capacity(spec.resources, place), cores, len(place.gpus)))
    if spec.submitted_code is not None:  # only a request was meant for another machine
        notes += forecast.warnings(spec, cores)
    return notes


def pace(paths: StudyPaths, history: History) -> Pace | None:
    """How long the runs of a study take and what its trials leave on the disk; None: none has ended well yet."""
    from hpo_engine.reports.pace import ended_well, pace_of_history
    from hpo_engine.system.files import disk_bytes

    some = ended_well(history)[-_WEIGHED:]
    sizes = [sum(map(disk_bytes, paths.trial(i).folders)) for i in some]
    return pace_of_history(history, sum(sizes) // len(sizes) if sizes else 0)


def rehearsed(
    spec: StudySpec, pace: Pace | None, history: History | None = None, *, quick: bool = False
) -> Rehearsed | None:
    """What a study will run, or what is left of one to run; None: it has no end, its searcher is an unknown one, or it
    takes too long to find out.

    Args:
        pace: of its runs (None: unknown; then seconds count units of the resource). history: of a study that has begun.
        quick: within moments.

    Raises:
        SpecError, SearcherError.
    """
    from hpo_engine.core.rehearsal import in_the_middle, rehearse, side_by_side
    from hpo_engine.reports.pace import Pace

    made = searcher(spec)
    gives_all_alike = (
        spec.isolation is not None and spec.isolation.plugin is not None
    )  # as no plugin of WMLA's promotes
    known = gives_all_alike or spec.algorithm.name.partition(":")[0] in SEARCHERS
    if not known or (spec.budget.most is None and made.traits.size is None):
        return None
    pace = Pace(0.0, 1.0) if pace is None else pace
    left_behind = pace.checkpoints or (spec.resource is not None and spec.resource.resume == "always")
    left_behind |= made.traits.carries_on and not made.traits.rations  # a population or a schedule is nothing without
    history = _unbegun(replace(spec, seed=spec.seed or 0)) if history is None else history
    if not made.traits.rations and not made.traits.carries_on:
        left = [n for n in (spec.budget.most, made.traits.size) if n is not None]
        count = max(0, min(left) - history.next_id) + len(history.open_ids)
        return side_by_side(spec.full_resource, count, spec.resources.parallel, pace.run_s)
    if quick and not made.traits.quick and (spec.budget.most or _MOST_QUICK) >= _MOST_QUICK:
        return None
    orders = range(_ORDERS if made.traits.quick and (spec.budget.most or 0) <= _MANY else 1)
    return in_the_middle([
        rehearse(history, made, pace.run_s, leaves_checkpoints=left_behind, order=order) for order in orders
    ])  # fmt: skip


def first_trials(spec: StudySpec, count: int) -> History:
    """What the study would try first, if none of these trials had a result before the last of them begins. Nothing is
    made. Raises SpecError, SearcherError.
    """
    from hpo_engine.core.proposing import Proposer
    from hpo_engine.core.recorder import Recorder
    from hpo_engine.core.rehearsal import Nowhere
    from hpo_engine.core.searcher_thread import InLine

    history = _unbegun(spec)
    recorder = Recorder(Nowhere(), history, ())
    proposer = Proposer(recorder, searcher(spec), InLine)
    while (left := count - recorder.history.next_id) > 0 and proposer.propose(left, 0.0):
        pass
    proposer.close()
    return recorder.history


def _unbegun(spec: StudySpec) -> History:
    from hpo_engine.searchers.prior import starts
    from hpo_engine.study.events import fold, opening

    return fold(opening(spec, 0.0, earlier=starts(spec) if spec.prior else ()))
