"""Why a trial is what it is: its searcher asked, with the history as it was when the trial was proposed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo_engine.errors import EngineError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.reports.explaining import Explanation
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Trial


def explain(paths: StudyPaths, history: History, trial: Trial) -> Explanation:
    """Raises JournalError."""
    from hpo_engine.reports.explaining import explained

    before = history_before(paths, trial.id)
    return explained(history, trial, "" if before is None else _why(paths, before, trial), before)


def history_before(paths: StudyPaths, trial_id: int) -> History | None:
    """The study as it was just before that trial was proposed. Raises JournalError."""
    from hpo_engine.store.journal import Journal
    from hpo_engine.study.events import TrialProposed, fold

    with contextlib.closing(Journal(paths.db)) as journal:
        events = journal.read(0)
    for i, event in enumerate(events):
        if isinstance(event, TrialProposed) and event.trial == trial_id:
            return fold(events[:i])
    return None


def _why(paths: StudyPaths, before: History, trial: Trial) -> str:
    """What the searcher says; "" if it is not one of ours, as no other code is run to explain something."""
    from hpo_engine import assembly
    from hpo_engine.assembly.isolated import at_home

    spec = at_home(before.spec, paths)
    if spec.isolation is not None and spec.isolation.plugin is None:
        spec = replace(spec, isolation=None)
    ours = spec.algorithm.name.partition(":")[0] in assembly.SEARCHERS
    if not ours and spec.isolation is None:
        return ""
    try:
        return assembly.searcher(spec).why(before, trial)
    except EngineError:
        return ""
