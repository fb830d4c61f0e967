"""Any sampler of Optuna as a searcher: `optuna:tpe`, `optuna:GPSampler` ...

The history is replayed into an in-memory study, which is kept between calls as long as the history extends it. Every
trial gets its own sampler with its own seed, so that the proposals depend on the history alone.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.plugins.card import Card
from hpo_engine.searchers import Searcher, Traits, trial_rng
from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.space.axes import Axis, Cells, axis_of
from hpo_engine.space.params import Choice, Float, Int, json_text
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial

_SHORT = {"cma": "cmaes", "nsga2": "nsgaii", "nsga3": "nsgaiii", "nsga": "nsgaii", "gaussianprocess": "gp"}
_NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}
_ONE_SEED = ("QMCSampler", "GridSampler")  # their seed decides over the order of all points
_BY_NAME = {"search_space", "fixed_params", "x0"}  # options that map parameters to values
_MOST_LOSS = 1e100  # samplers square losses
_EXACT = 1 << 53  # up to here a float tells whole numbers apart


_CARD = Card(
    summary="a sampler of Optuna: optuna:tpe, optuna:gp, optuna:cmaes, optuna:nsgaii and others",
    suits="studies that used Optuna before, and comparisons",
    cost="that of the sampler",
    source="Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019",
    extra="optuna",
    open="those of the sampler's constructor; `hpo-engine algorithms optuna:tpe` names them",
)


class Optuna(Searcher):
    """The sampler that the algorithm's name says; `optuna` alone is Optuna's default, TPESampler.

    Options are those of the sampler's constructor, without its seed. Where it takes a sampler, a crossover or a
    mutation, the option is its name. Trials that still run are RUNNING to it, those that failed FAIL.
    Several objectives are several directions.
    """

    traits = Traits(
        card=_CARD,
        uses_running=True,
        many_objectives=True,
    )

    @classmethod
    def card_of(cls, algorithm: str) -> Card:
        """The card with the options of the named sampler. Raises SpecError if there is none."""
        name = algorithm.partition(":")[2]
        if not name or not importlib.util.find_spec("optuna"):
            return _CARD
        sampler = _find(_samplers(), name, "sampler", "algorithm")
        known = {name: p for name, p in _known(sampler).items() if not _is_object(p)}
        given = [f"{option} ({_default(parameter)})" for option, parameter in known.items()]
        return replace(_CARD, open=f"those of {sampler.__name__}: {', '.join(given) or 'none'}")

    def __init__(self, spec: StudySpec, **options: Any) -> None:
        self._spec, self._options = spec, options
        self._class = _find(_samplers(), spec.algorithm.name.partition(":")[2] or "tpe", "sampler", "algorithm")
        problems = [*_missing(self._class), *_problems(self._class, options)]
        if problems:
            raise SpecError(problems)
        self._ways = {param.name: _Way.of(param) for param in spec.space.dimensions}
        self._reset()
        try:
            self._propose(0)  # reports problems of the options or the space now
        except (TypeError, ValueError, ImportError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError([Problem("algorithm", f"{self._class.__name__}: {error}")]) from error
        self._reset()

    def ask(self, history: History, count: int) -> list[Proposal]:
        self._read(history)
        return [self._propose(i) for i in range(history.next_id, history.next_id + count)]

    def _propose(self, trial_id: int) -> Proposal:
        self._study.sampler = self._sampler(trial_id)
        trial = self._study.ask()
        params = self._spec.space.walk(lambda param: self._ways[param.name].suggest(trial, param.name))
        # What is not in the parameters: NSGA's generation and the like, and places in [0, 1] that were rounded.
        notes = dict(self._study.get_trials(deepcopy=False)[trial.number].system_attrs)
        units = {name: value for name, value in trial.params.items() if self._ways[name].kind == "unit"}
        slot = {key: value for key, value in (("optuna", notes), ("units", units)) if value}
        proposal = Proposal(params, note=slot or None)
        self._promised.append(Proposal(dict(params), note=proposal.note))
        return proposal

    # -- samplers ----------------------------------------------------------------------------------------------------

    def _sampler(self, trial_id: int) -> Any:
        seed = int(trial_rng(self._spec, trial_id).integers(1 << 31))
        options = {name: self._made(name, value, seed) for name, value in self._options.items()}
        known = inspect.signature(self._class).parameters
        if "seed" in known:
            options["seed"] = seed
        if self._class.__name__ in _ONE_SEED:
            options["seed"] = int(trial_rng(self._spec, 0).integers(1 << 31))
        if self._class.__name__ == "QMCSampler":
            options.setdefault("independent_sampler", _samplers()["RandomSampler"](seed=seed))
        if "warn_independent_sampling" in known and known["warn_independent_sampling"].default is True:
            options.setdefault("warn_independent_sampling", False)
        return self._class(**options)

    def _made(self, name: str, value: Any, seed: int) -> Any:
        """An option's value as the constructor wants it."""
        path = f"options.{name}"
        if isinstance(value, str) and name.endswith("_sampler"):
            chosen = _find(_samplers(), value, "sampler", path)
            return chosen(seed=seed) if "seed" in inspect.signature(chosen).parameters else chosen()
        if isinstance(value, str) and name in ("crossover", "mutation"):
            import optuna

            ending = name.capitalize()
            classes = {k: v for k, v in vars(optuna.samplers.nsgaii).items() if k.endswith(ending) and k[:4] != "Base"}
            return _find(classes, value, name, path)()
        if isinstance(value, dict) and name in _BY_NAME:
            unknown = [key for key in value if key not in self._ways]
            if unknown:
                text = f"is not a parameter of the space{nearest(unknown[0], self._ways)}"
                raise SpecError([Problem(f"{path}.{unknown[0]}", text)])
            inside = {k: self._ways[k].inside for k in value}
            return {k: [inside[k](u) for u in v] if isinstance(v, list) else inside[k](v) for k, v in value.items()}
        return value

    # -- the study in memory -----------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._study = _optuna().create_study(directions=["minimize"] * len(self._spec.objectives))
        self._known: list[Trial] = []  # the study's trials, by number
        self._promised: list[Proposal] = []  # what was proposed after them: RUNNING in the study

    def _read(self, history: History) -> None:
        """Brings the study up to the history; from scratch if the history does not extend the known one."""
        if not self._goes_on(history):
            self._reset()
        known, there = self._known, len(self._known) + len(self._promised)
        self._study.sampler = _samplers()["RandomSampler"]()  # the one of the last trial has no say in how others end
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
            if old is not new and (old.state.ended or old.proposal is not new.proposal):
                return False
        return all(
            promised.params == trial.params and promised.note == trial.proposal.note
            for promised, trial in zip(self._promised, trials[len(known) :], strict=False)
        )

    def _frozen(self, trial: Trial) -> Any:
        applies: list[str] = []  # in the order in which they are suggested: QMC's points depend on it

        def given(param: Float | Int | Choice) -> Any:
            applies.append(param.name)
            return trial.params[param.name]

        self._spec.space.walk(given)
        slot = trial.proposal.note or {}
        units = slot.get("units", {})
        return _optuna().trial.create_trial(
            state=_state(trial),
            values=_values(trial) if fate(trial) is Fate.FINISHED else None,
            params={name: self._ways[name].inside(trial.params[name], units.get(name)) for name in applies},
            distributions={name: self._ways[name].distribution for name in applies},
            system_attrs=dict(slot.get("optuna", {})),
        )


def _state(trial: Trial) -> Any:
    states = _optuna().trial.TrialState
    if fate(trial) is Fate.RUNNING:
        return states.RUNNING
    return states.COMPLETE if fate(trial) is Fate.FINISHED else states.FAIL


def _values(trial: Trial) -> list[float]:
    return [min(max(loss, -_MOST_LOSS), _MOST_LOSS) for loss in trial.losses]


# -- parameters ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Way:
    """How a parameter is a distribution of Optuna's: itself ("value"), a value's place ("place"), or a place in [0, 1]
    ("unit") if Optuna has no such axis (powers of a number, steps on a log scale)."""

    kind: str
    axis: Axis
    distribution: Any

    @classmethod
    def of(cls, param: Float | Int | Choice) -> _Way:
        make, axis = _optuna().distributions, axis_of(param)
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
                way = make.IntDistribution(low, high, log=param.log, step=param.step or 1)
                return cls("value", axis, way)
            return (
                unit if axis.size >= _EXACT or param.log else cls("place", axis, make.IntDistribution(0, axis.size - 1))
            )
        if param.power is not None or math.isinf(param.high - param.low):
            return unit
        return cls("value", axis, make.FloatDistribution(param.low, param.high, log=param.log))

    def suggest(self, trial: Any, name: str) -> Any:
        """The parameter's value in a trial of Optuna's."""
        way, make = self.distribution, _optuna().distributions
        if isinstance(way, make.CategoricalDistribution):
            got = trial.suggest_categorical(name, way.choices)
        elif isinstance(way, make.IntDistribution):
            got = trial.suggest_int(name, way.low, way.high, step=way.step, log=way.log)
        else:
            got = trial.suggest_float(name, way.low, way.high, log=way.log)
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


# -- the package -----------------------------------------------------------------------------------------------------


@cache
def _optuna() -> Any:
    """The package, with its logging turned down. Raises SpecError if it is missing."""
    try:
        import optuna
    except ImportError as error:
        text = "this needs the package optuna; run: pip install 'hpo-engine[optuna]'"
        raise SpecError([Problem("algorithm", text)]) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


@cache
def _samplers() -> dict[str, Any]:
    """Class name -> class."""
    optuna = _optuna()
    base = optuna.samplers.BaseSampler
    found = {
        name: cls
        for name, cls in vars(optuna.samplers).items()
        if inspect.isclass(cls) and issubclass(cls, base) and not name.startswith("Base")
    }
    return {**found, "CmaEsSampler": _replaying(found["CmaEsSampler"]), "QMCSampler": _counting(found["QMCSampler"])}


def _replaying(base: Any) -> Any:
    """CmaEsSampler stores pickles of its state on trials; this one replays the generations of the history."""

    class CmaEsSampler(base):  # type: ignore[misc]
        _optimizer: Any = None
        _told = True

        def sample_relative(self, *args: Any) -> Any:
            self._optimizer, self._told = None, True
            while self._told:  # each time one generation further
                self._told = False
                drawn = super().sample_relative(*args)
            return drawn

        def _restore_optimizer(self, *args: Any) -> Any:
            return self._optimizer

        def _init_optimizer(self, *args: Any) -> Any:
            self._optimizer = super()._init_optimizer(*args)
            return self._optimizer

        def _split_optimizer_str(self, text: str) -> dict[str, str]:
            self._told = True
            return {}

    CmaEsSampler.__init__.__signature__ = inspect.signature(base.__init__)  # type: ignore[attr-defined]
    return CmaEsSampler


def _counting(base: Any) -> Any:
    """QMCSampler keeps its place in the sequence on the study; for this one the number of the trial is the place."""

    class QMCSampler(base):  # type: ignore[misc]
        def _find_sample_id(self, study: Any, *args: Any) -> int:
            return len(study.get_trials(deepcopy=False)) - 1

    return QMCSampler


def _find(classes: dict[str, Any], name: str, noun: str, path: str) -> Any:
    """The class that is meant by a name: case, "Sampler" and signs do not count."""
    plain = {_plain(known, noun): cls for known, cls in classes.items()}
    wanted = _plain(name, noun)
    wanted = _SHORT.get(wanted, wanted)
    if wanted in plain:
        return plain[wanted]
    hint = nearest(wanted, plain) or f"; known: {', '.join(sorted(plain))}"
    raise SpecError([Problem(path, f"Optuna has no {noun} {json_text(name)}{hint}")])


def _plain(name: str, noun: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower()).removesuffix(noun)


# Words of annotations: what JSON value they take, and how to say so.
_SIMPLE: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "text"),
    "None": (type(None), "null"),
}


def _missing(cls: Any) -> Iterator[Problem]:
    needs = _NEEDS.get(cls.__name__)
    if needs and not importlib.util.find_spec(needs):
        yield Problem("algorithm", f"Optuna's {cls.__name__} needs the package {needs}; run: pip install {needs}")


def _problems(cls: Any, options: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with options, as far as the constructor's signature says."""
    known = _known(cls)
    for name, value in options.items():
        path = f"options.{name}"
        if name not in known:
            yield Problem(path, f"is not an option of {cls.__name__}{nearest(name, known)}")
            continue
        annotation = str(known[name].annotation)
        words = annotation.replace("|", " ").split()
        if _is_object(known[name]):
            yield Problem(path, "cannot be given in a study file: it takes an object of the program's")
        elif words and all(word in _SIMPLE for word in words) and not any(_is(value, word) for word in words):
            yield Problem(path, f"must be {' or '.join(_SIMPLE[w][1] for w in words)}, not {json_text(value)}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in options:
            yield Problem("options", f"{cls.__name__} needs the option {name}")


def _known(cls: Any) -> dict[str, inspect.Parameter]:
    return {k: p for k, p in inspect.signature(cls).parameters.items() if k != "seed"}


def _is_object(parameter: inspect.Parameter) -> bool:
    return any(word in str(parameter.annotation) for word in ("Callable", "FrozenTrial", "ndarray"))


def _default(parameter: inspect.Parameter) -> str:
    return "required" if parameter.default is parameter.empty else json_text(parameter.default)


def _is(value: Any, word: str) -> bool:
    return isinstance(value, _SIMPLE[word][0]) and (word == "bool" or not isinstance(value, bool))
