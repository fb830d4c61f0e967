"""Any sampler of Optuna as a searcher: `optuna:tpe`, `optuna:GPSampler` ...

The history is replayed into an in-memory study, which is kept between calls as long as the history extends it. Every
trial gets its own sampler with its own seed, so that the proposals depend on the history alone.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass, replace
from typing import Any

from hpo_engine.errors import Problem, SpecError
from hpo_engine.plugins.card import Card
from hpo_engine.searchers import Searcher, Traits, trial_rng
from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.searchers.optuna_samplers import check, make, options_of, package, sampler_class, samplers
from hpo_engine.space.axes import Axis, Cells, axis_of
from hpo_engine.space.params import Choice, Float, Int
from hpo_engine.study.history import History
from hpo_engine.study.reached import Reached, reached
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial

_MOST_LOSS = 1e100  # samplers square losses
_EXACT = 1 << 53  # up to here a float represents every whole number


_CARD = Card(
    summary="a sampler of Optuna: optuna:tpe, optuna:gp, optuna:cmaes, optuna:nsgaii and others",
    suits="studies that used Optuna before, and comparisons",
    cost="that of the sampler",
    source="Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019",
    extra="optuna",
    open="those of the sampler's constructor; `hpo-engine algorithms optuna:tpe` names them",
)


class Optuna(Searcher):
    """The sampler in the algorithm's name; `optuna` alone is Optuna's default, TPESampler.

    Options are those of the sampler's constructor, without its seed. Where it takes a sampler, a crossover or a
    mutation, the option is its name. Trials that still run are RUNNING to it, those that failed FAIL, and those that
    were ended early with a value PRUNED, at the step that they reached.
    Several objectives are several directions.
    """

    traits = Traits(card=_CARD, uses_running=True, many_objectives=True)

    @classmethod
    def card_of(cls, algorithm: str) -> Card:
        """The card with the options of the named sampler. Raises SpecError if there is none."""
        name = algorithm.partition(":")[2]
        if not name or not importlib.util.find_spec("optuna"):
            return _CARD
        return replace(_CARD, open=options_of(name))

    def __init__(self, spec: StudySpec, **options: Any) -> None:
        self._spec, self._options = spec, options
        self._class = sampler_class(spec.algorithm.name.partition(":")[2] or "tpe")
        check(self._class, options)
        self._encodings = {param.name: _Encoding.of(param) for param in spec.space.dimensions}
        self._reset()
        try:
            self._propose(0)  # reports problems of the options or the space now
        except (TypeError, ValueError, ImportError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError([Problem("algorithm", f"{self._class.__name__}: {error}")]) from error
        self._reset()

    def why(self, before: History, trial: Trial) -> str:
        results = sum(fate(t) is Fate.FINISHED for t in before.trials)
        return f"proposed by Optuna's {self._class.__name__}, which had {results} results"

    def ask(self, history: History, count: int) -> list[Proposal]:
        self._read(history)
        return [self._propose(i) for i in range(history.next_id, history.next_id + count)]

    def _propose(self, trial_id: int) -> Proposal:
        self._study.sampler = self._sampler(trial_id)
        trial = self._study.ask()
        params = self._spec.space.walk(lambda param: self._encodings[param.name].suggest(trial, param.name))
        # What is not in the parameters: NSGA's generation and the like, and places in [0, 1] that were rounded.
        attrs = dict(self._study.get_trials(deepcopy=False)[trial.number].system_attrs)
        units = {name: value for name, value in trial.params.items() if self._encodings[name].kind == "unit"}
        note = {key: value for key, value in (("optuna", attrs), ("units", units)) if value}
        proposal = Proposal(params, note=note or None)
        self._promised.append(Proposal(dict(params), note=proposal.note))
        return proposal

    def _sampler(self, trial_id: int) -> Any:
        seed, study_seed = (int(trial_rng(self._spec, i).integers(1 << 31)) for i in (trial_id, 0))
        inside = {name: encoding.inside for name, encoding in self._encodings.items()}
        return make(self._class, self._options, inside, seed, study_seed)

    # -- the study in memory -----------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._study = package().create_study(directions=["minimize"] * len(self._spec.objectives))
        self._known: list[Trial] = []  # the study's trials, by number
        self._promised: list[Proposal] = []  # what was proposed after them: RUNNING in the study

    def _read(self, history: History) -> None:
        """Brings the study up to the history; from scratch if the history does not extend the known one."""
        if not self._goes_on(history):
            self._reset()
        known, there = self._known, len(self._known) + len(self._promised)
        self._study.sampler = samplers()["RandomSampler"]()  # the last trial's sampler must not react when others end
        for i, trial in enumerate(history.trials):
            if i >= there:
                self._study.add_trial(self._frozen(trial))
            elif trial.state.ended and (i >= len(known) or not known[i].state.ended):
                done = fate(trial) is Fate.FINISHED
                self._study.tell(i, _values(trial) if done else None, state=_state(trial))
        self._known, self._promised = list(history.trials), []

    def _goes_on(self, history: History) -> bool:
        trials, known = history.trials, self._known
        if len(trials) < len(known) + len(self._promised):
            return False
        for old, new in zip(known, trials, strict=False):
            if old is not new and (old.state.ended or old.proposal is not new.proposal or self._reached(new)):
                return False  # (what a trial had reached cannot be added to one that Optuna has as running)
        return all(
            promised.params == trial.params and promised.note == trial.proposal.note and not self._reached(trial)
            for promised, trial in zip(self._promised, trials[len(known) :], strict=False)
        )

    def _frozen(self, trial: Trial) -> Any:
        applies: list[str] = []  # in the order in which they are suggested: QMC's points depend on it

        def given(param: Float | Int | Choice) -> Any:
            applies.append(param.name)
            return trial.params[param.name]

        self._spec.space.walk(given)
        note = trial.proposal.note or {}
        units, found = note.get("units", {}), self._reached(trial)
        return package().trial.create_trial(
            state=package().trial.TrialState.PRUNED if found else _state(trial),
            values=_values(trial) if fate(trial) is Fate.FINISHED else None,
            params={name: self._encodings[name].inside(trial.params[name], units.get(name)) for name in applies},
            distributions={name: self._encodings[name].distribution for name in applies},
            intermediate_values={found.step: _bounded(found.losses[0])} if found else {},
            system_attrs=dict(note.get("optuna", {})),
        )

    def _reached(self, trial: Trial) -> Reached | None:
        """What Optuna takes for a pruned trial; with several objectives it knows none."""
        return None if self._spec.multi_objective else reached(trial, self._spec.objectives)


def _state(trial: Trial) -> Any:
    states = package().trial.TrialState
    if fate(trial) is Fate.RUNNING:
        return states.RUNNING
    return states.COMPLETE if fate(trial) is Fate.FINISHED else states.FAIL


def _values(trial: Trial) -> list[float]:
    return [_bounded(loss) for loss in trial.losses]


def _bounded(loss: float) -> float:
    return min(max(loss, -_MOST_LOSS), _MOST_LOSS)


# -- parameters ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Encoding:
    """A parameter as a distribution of Optuna's: of its values ("value"), of their indices ("place"), or of positions
    in [0, 1] ("unit") if Optuna has no such axis (powers of a number, steps on a log scale)."""

    kind: str
    axis: Axis
    distribution: Any

    @classmethod
    def of(cls, param: Float | Int | Choice) -> _Encoding:
        make, axis = package().distributions, axis_of(param)
        unit = cls("unit", axis, make.FloatDistribution(0.0, 1.0))
        if isinstance(param, Choice):
            if param.ordered:
                return cls("place", axis, make.IntDistribution(0, len(param.choices) - 1))
            return cls("place", axis, make.CategoricalDistribution(range(len(param.choices))))
        if isinstance(axis, Cells):
            if param.log and (param.step is not None or isinstance(param, Float)):
                return unit
            low, high = axis.value(0), axis.value(axis.size - 1)
            if isinstance(param, Int) and param.power is None and max(abs(low), abs(high)) < _EXACT:
                distribution = make.IntDistribution(low, high, log=param.log, step=param.step or 1)
                return cls("value", axis, distribution)
            if axis.size >= _EXACT or param.log:
                return unit
            return cls("place", axis, make.IntDistribution(0, axis.size - 1))
        if param.power is not None or math.isinf(param.high - param.low):
            return unit
        return cls("value", axis, make.FloatDistribution(param.low, param.high, log=param.log))

    def suggest(self, trial: Any, name: str) -> Any:
        """The parameter's value in a trial of Optuna's."""
        form, make = self.distribution, package().distributions
        if isinstance(form, make.CategoricalDistribution):
            got = trial.suggest_categorical(name, form.choices)
        elif isinstance(form, make.IntDistribution):
            got = trial.suggest_int(name, form.low, form.high, step=form.step, log=form.log)
        else:
            got = trial.suggest_float(name, form.low, form.high, log=form.log)
        if self.kind == "place":
            assert isinstance(self.axis, Cells)
            return self.axis.value(got)
        return self.axis.decode(got) if self.kind == "unit" else got

    def inside(self, value: Any, unit: float | None = None) -> Any:
        """The value in Optuna's distribution; `unit`: its place in [0, 1] before it was rounded, if known."""
        if self.kind == "place":
            assert isinstance(self.axis, Cells)
            return self.axis.place(value)
        if self.kind == "value":
            return self.axis.tidy(value)
        return unit if unit is not None and self.axis.decode(unit) == value else self.axis.encode(value)
