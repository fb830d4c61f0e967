"""Optuna's samplers: which there are, what a name means, their options, and how one is made for a trial.

Knows no study and no history. What Optuna stores on its trials to continue from is computed anew here, because here a
trial's sampler depends on the history alone.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.space.params import json_text

_SHORT = {"cma": "cmaes", "nsga2": "nsgaii", "nsga3": "nsgaiii", "nsga": "nsgaii", "gaussianprocess": "gp"}
_NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}
_ONE_SEED = ("QMCSampler", "GridSampler")  # their seed determines the order of all points
_BY_NAME = {"search_space", "fixed_params", "x0"}  # options that map parameters to values


Inside = Mapping[str, Callable[[Any], Any]]
"""By parameter: from a value to the one in Optuna's distribution."""


def make(cls: Any, options: Mapping[str, Any], inside: Inside, seed: int, study_seed: int) -> Any:
    """The sampler of one trial, with a seed of its own; `study_seed` is the same for all trials.

    Args:
        options: of the constructor, without `seed`; a sampler, a crossover or a mutation by its name.
    """
    given = {name: _value(name, value, seed, inside) for name, value in options.items()}
    known = inspect.signature(cls).parameters
    if "seed" in known:
        given["seed"] = seed
    if cls.__name__ in _ONE_SEED:
        given["seed"] = study_seed
    if cls.__name__ == "QMCSampler":
        given.setdefault("independent_sampler", samplers()["RandomSampler"](seed=seed))
    if "warn_independent_sampling" in known and known["warn_independent_sampling"].default is True:
        given.setdefault("warn_independent_sampling", False)
    return cls(**given)


def _value(name: str, value: Any, seed: int, inside: Inside) -> Any:
    """An option's value as the constructor wants it."""
    path = f"options.{name}"
    if isinstance(value, str) and name.endswith("_sampler"):
        chosen = _find(samplers(), value, "sampler", path)
        return chosen(seed=seed) if "seed" in inspect.signature(chosen).parameters else chosen()
    if isinstance(value, str) and name in ("crossover", "mutation"):
        import optuna

        ending = name.capitalize()
        classes = {k: v for k, v in vars(optuna.samplers.nsgaii).items() if k.endswith(ending) and k[:4] != "Base"}
        return _find(classes, value, name, path)()
    if isinstance(value, dict) and name in _BY_NAME:
        unknown = [key for key in value if key not in inside]
        if unknown:
            text = f"is not a parameter of the space{nearest(unknown[0], inside)}"
            raise SpecError([Problem(f"{path}.{unknown[0]}", text)])
        return {k: [inside[k](u) for u in v] if isinstance(v, list) else inside[k](v) for k, v in value.items()}
    return value


@cache
def package() -> Any:
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
def samplers() -> dict[str, Any]:
    """Class name -> class."""
    optuna = package()
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


def sampler_class(name: str) -> Any:
    """The class of that name. Raises SpecError if there is none."""
    return _find(samplers(), name, "sampler", "algorithm")


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


# Words of annotations: the JSON values that they accept, and their description.
_SIMPLE: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "text"),
    "None": (type(None), "null"),
}


def check(cls: Any, options: Mapping[str, Any]) -> None:
    """Raises SpecError for a package that is missing and for options that are wrong, as far as the signature says."""
    if problems := [*_missing(cls), *_problems(cls, options)]:
        raise SpecError(problems)


def _missing(cls: Any) -> Iterator[Problem]:
    needs = _NEEDS.get(cls.__name__)
    if needs and not importlib.util.find_spec(needs):
        yield Problem("algorithm", f"Optuna's {cls.__name__} needs the package {needs}; run: pip install {needs}")


def _problems(cls: Any, options: Mapping[str, Any]) -> Iterator[Problem]:
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


def options_of(name: str) -> str:
    """The options of the named sampler with their defaults, for people. Raises SpecError if there is none."""
    sampler = sampler_class(name)
    known = {name: p for name, p in _known(sampler).items() if not _is_object(p)}
    shown = [f"{option} ({_default(parameter)})" for option, parameter in known.items()]
    return f"those of {sampler.__name__}: {', '.join(shown) or 'none'}"


def _is_object(parameter: inspect.Parameter) -> bool:
    return any(word in str(parameter.annotation) for word in ("Callable", "FrozenTrial", "ndarray"))


def _default(parameter: inspect.Parameter) -> str:
    return "required" if parameter.default is parameter.empty else json_text(parameter.default)


def _is(value: Any, word: str) -> bool:
    return isinstance(value, _SIMPLE[word][0]) and (word == "bool" or not isinstance(value, bool))
