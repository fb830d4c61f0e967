"""Warns once about what a user should know while a study runs: parameters without effect, an objective that is missing
so far. Reads files only through `contract`."""

from __future__ import annotations

from collections.abc import Callable

from hpo_engine.contract import binding
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.placing import Placed
from hpo_engine.reports import remarks
from hpo_engine.reports.ranking import whole
from hpo_engine.stoppers.misnamed import lacks, metrics_of, unexpected
from hpo_engine.stoppers.spelling import other_spelling
from hpo_engine.study.events import CheckpointsDeleted, Event, MetricsSeen, TrialCarriedOn, TrialEnded, TrialProposed
from hpo_engine.study.history import History
from hpo_engine.study.spec import MISNAMED, SCHEDULED
from hpo_engine.study.trial import FailureKind, Trial, TrialState
from hpo_engine.text.quoting import listed
from hpo_engine.text.tables import size_text

_LOOKED_AT = 3  # trials whose config.json is looked at
_OF_THE_SCRIPT = (FailureKind.EXIT_CODE, FailureKind.NO_RESULT)


class Advice:
    """Tracker. `say` is called with each line; a line that an earlier engine may have shown is not repeated."""

    def __init__(self, paths: StudyPaths, say: Callable[[str], None]) -> None:
        self._paths, self._say = paths, say
        self._same: remarks.Sameness | None = None
        self._to_look_at = 0
        self._deleted = False  # whether deleted checkpoints were told of
        self._refused = False  # whether a trial that could not go on was told of
        self._missing = False  # whether the objectives may still turn out to be missing
        self._doubt = ""  # that one is, unless the study stops in the same turn for that reason

    def open(self, history: History, now: float) -> None:
        fresh = history.ended_count == 0
        if fresh and any(remarks.searched(history.spec, {p.name: None}) for p in history.spec.space.params):
            self._to_look_at = _LOOKED_AT
        self._missing = fresh
        same = remarks.Sameness(history.spec)
        for trial in history.trials:
            same.add(trial)
            if same.broken:
                return
        self._same = None if same.remark() else same

    def on(self, event: Event, history: History) -> None:
        if isinstance(event, MetricsSeen) and not event.provisional and self._missing:
            self._rows(history.trials[event.trial], history)
        elif isinstance(event, TrialEnded):
            trial = history.trials[event.trial]
            if self._doubt.startswith(f"trial {trial.id}:"):
                self._doubt = ""  # it says itself what it lacks
            if trial.state is TrialState.COMPLETED:
                self._missing = False
                self._completed(trial, history)
            else:
                if self._to_look_at and whole(trial):  # it ran to its end without a value
                    self._look_at(trial, history)
                self._cannot_go_on(trial, history)
        elif isinstance(event, TrialCarriedOn | TrialProposed):
            self._promoted(event, history)
        elif isinstance(event, CheckpointsDeleted) and not self._deleted:
            self._deleted = True
            self._say(
                f"the checkpoints of trial {event.trial} ({size_text(event.size)}) are deleted: all of the study's are "
                "more than `checkpoints` allows, and no trial can go on from these any more; `show` tells of later ones"
            )

    def tick(self, history: History, now: float) -> None:
        if self._doubt and not history.halted:
            self._say(self._doubt)
        self._doubt = ""

    def close(self, history: History) -> None:
        pass

    def _rows(self, trial: Trial, history: History) -> None:
        names = metrics_of(trial.rows)
        missing = [aim.metric for aim in history.spec.objectives if aim.metric not in names]
        if not missing:
            self._missing = False
        elif trial.state is TrialState.RUNNING and unexpected(missing[0], names):
            self._missing = False
            if other_spelling(missing[0], names) is None or not history.spec.stops(MISNAMED):  # else the study stops
                self._doubt = (
                    f"trial {trial.id}: {lacks(missing[0], names)}; a trial that never reports it has no value "
                    "(objective in the study file)"
                )

    def _completed(self, trial: Trial, history: History) -> None:
        if history.counts[TrialState.COMPLETED] == len(trial.results) == 1:
            self._misspelt(trial, history)
        if self._to_look_at:
            self._look_at(trial, history)
        if self._same is not None:
            self._same.add(trial)
            if said := self._same.remark():
                self._say(said)
            if said or self._same.broken:
                self._same = None

    def _promoted(self, event: TrialCarriedOn | TrialProposed, history: History) -> None:
        """What `resume: auto` has found, when a trial is carried on for the first time, and repeated for the first."""
        resource = history.spec.resource
        if resource is None or resource.resume != "auto":
            return
        if isinstance(event, TrialProposed):
            if event.repeats is not None and history.next_id - history.begun == 1:
                if history.trials[event.repeats].cleared:
                    return  # it had one
                self._say(
                    f"trial {event.repeats} left no checkpoint, so trial {event.trial} begins its configuration anew; "
                    "if the script writes any, name them in the study file, as in checkpoints: ['*.ckpt']"
                )
        elif history.runs - history.next_id == 1:
            found = history.trials[event.trial].results[-1].checkpoint
            whose = "trials" if history.spec.algorithm.name in SCHEDULED else "promoted trials"
            self._say(f"trial {event.trial} left {found}: {whose} go on from their newest checkpoint")

    def _cannot_go_on(self, trial: Trial, history: History) -> None:
        """Said once of a promoted trial that failed at its start: many scripts do not train beyond their first end."""
        resource, had = history.spec.resource, trial.results
        if self._refused or resource is None or not had or trial.attempts[-1].resume != trial.id:
            return
        if trial.failure not in _OF_THE_SCRIPT or trial.seen_at:
            return
        self._refused = True
        self._say(
            f"trial {trial.id} went on from {had[-1].checkpoint or 'its own files'} and failed before it reported "
            f"anything; if the script cannot go on from there to more {resource.name}, use `resume: never` in "
            "`resource` (in a new study): promoted configurations then begin anew"
        )

    def _misspelt(self, trial: Trial, history: History) -> None:
        """Extra metrics that the rows have under another name (a misspelt objective stops the study)."""
        names, known = (
            metrics_of(trial.rows),
            {*history.spec.extra_metrics, *(aim.metric for aim in history.spec.objectives)},
        )
        for metric in history.spec.extra_metrics:
            twin = other_spelling(metric, [name for name in names if name not in known])
            if metric not in names and twin is not None:
                self._say(f"metrics: trial {trial.id} has {lacks(metric, names, twin)}")

    def _look_at(self, trial: Trial, history: History) -> None:
        """Warns if the script never read its config.json, and so never saw its parameters."""
        if len(trial.attempts) > 1:  # the file may have been written anew for the next one by now
            return
        self._to_look_at -= 1
        read = binding.config_was_read(self._paths.trial(trial.id), history.whole_config(trial))
        if read is not False:
            self._to_look_at = 0 if read is None else self._to_look_at
            return
        self._to_look_at = 0
        spec = history.spec
        hidden = Placed(spec, spec.command, spec.env).in_config_only
        names = [name for name in remarks.searched(spec, trial.params) if name in hidden]
        if not names:
            return
        self._say(
            f"trial {trial.id} ended without reading its config.json: its parameters ({listed(names, 3)}) had no "
            'effect; the script finds them there: json.load(open("config.json")); {params} in command writes them as '
            "arguments"
        )
