"""The algorithms of the dialect: their names, their algoParams with defaults and ranges, and ours for both."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.space.params import json_text
from hpo_engine.study.spec import Resource
from hpo_engine.studyfile.common import Problems, algorithm_problem
from hpo_engine.studyfile.wmla.fields import Fields, as_number


@dataclass(frozen=True)
class Algorithm:
    """What an algoDef comes to: our name and options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    resource: Resource | None = None


@dataclass(frozen=True)
class _Param:
    """An algoParam: `take` converts the text to its value (its ValueError is in plain words)."""

    ours: str
    take: Callable[[Any], Any]
    default: Any = None  # a value, or a function of the number of trials (None: unlimited)
    within: Callable[[int | None], tuple[float, float]] | None = None  # of the number of trials: what it can count as


def _whole_above(least: int) -> Callable[[Any], int]:
    def take(value: Any) -> int:
        number = as_number(value)
        if number is None or number != int(number):
            raise ValueError("must be a whole number")
        if number <= least:
            raise ValueError(f"must be above {least}")
        return int(number)

    return take


def _seed(value: Any) -> int | None:
    """Negative ones are written where no seed is meant."""
    number = as_number(value)
    if number is None or number != int(number):
        raise ValueError("must be a whole number")
    return int(number) if number >= 0 else None


def _above(least: float) -> Callable[[Any], float]:
    def take(value: Any) -> float:
        number = as_number(value)
        if number is None:
            raise ValueError("must be a number")
        if number <= least:
            raise ValueError(f"must be above {least:g}")
        return number

    return take


def _truth(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in ("true", "false"):
        raise ValueError("must be true or false")
    return word == "true"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value.strip()


_MOST_POINTS = 100_000  # that a proposal is chosen from: more cost time, and find nothing better
_LEAST_UNLIMITED = 10_000  # CubeSize of a search without maxJobNum
_SEED = {"RandomSeed": _Param("seed", _seed)}
_RANDOM: dict[str, _Param] = {**_SEED}
_TPE: dict[str, _Param] = {
    **_SEED,
    # The default holds where the search is long enough for it.
    "WarmUp": _Param(
        "n_startup",
        _whole_above(2),
        lambda trials: max(3, min(20, trials or 20)),
        lambda trials: (1, trials or math.inf),
    ),
    "EICandidate": _Param("ei_candidates", _whole_above(1), 24, lambda trials: (2, _MOST_POINTS)),
    "GoodRatio": _Param("good_ratio", _above(0), 0.25),
    "GoodMax": _Param("good_max", _whole_above(1), 25),
}
_BAYESIAN: dict[str, _Param] = {
    **_SEED,
    "InitPoints": _Param("n_startup", _whole_above(0), 10),
    "CubeSize": _Param(
        "cube_size",
        _whole_above(0),
        lambda trials: min(trials * 100, _MOST_POINTS) if trials else _LEAST_UNLIMITED,
        lambda trials: (1 if trials else _LEAST_UNLIMITED, _MOST_POINTS),
    ),
    "Noiseless": _Param("noiseless", _truth, True),
}
_HYPERBAND: dict[str, _Param] = {
    **_SEED,
    "eta": _Param("eta", _above(1), 3),
    "ResourceName": _Param("resource_name", _text),
    "ResourceValue": _Param("resource_max", _whole_above(0)),
}
# Name in the dialect -> our name, parameters.
_BUILT_IN: dict[str, tuple[str, dict[str, _Param]]] = {
    "Random": ("random", _RANDOM),
    "Bayesian": ("bayesian", _BAYESIAN),
    "TPE": ("tpe", _TPE),
    "Hyperband": ("hyperband", _HYPERBAND),
    "ExperimentGridSearch": ("grid", {}),
}
BUILT_IN = tuple(_BUILT_IN)
# Each parameter of any of them, in lower case -> the algorithms that have it.
_OWNERS: dict[str, list[str]] = {}
for _name, (_, _params) in _BUILT_IN.items():
    for _param in _params:
        _OWNERS.setdefault(_param.lower(), []).append(_name)


_Given = Mapping[str, tuple[str, Any]]  # path of the entry -> (name, value)


def is_grid(name: str | None) -> bool:
    return (name or "").lower() == "experimentgridsearch"


def take_algorithm(
    algo: Fields, trials: int | None, plugins: Iterable[str] | None, problems: Problems
) -> Algorithm | None:
    """The algorithm that an algoDef asks for; None if it names none. `plugins` None: any other name is a plugin."""
    name = algo.text("algorithm", "one of " + ", ".join(BUILT_IN) + ", or a plugin's name")
    if name is None:
        return None
    given = _algo_params(algo, problems)
    built_in = next((known for known in BUILT_IN if known.lower() == name.lower()), None)
    if built_in is None:
        return _plugin(algo, name, given, plugins)
    ours, params = _BUILT_IN[built_in]
    values = _values(built_in, params, given, trials, problems)
    if built_in == "Hyperband":
        names = {text.lower() for text, value in given.values() if value is not None}
        _take_eta(algo, values, "eta" in names)
        for needed in ("ResourceName", "ResourceValue"):
            if needed.lower() not in names:
                algo.wrong("algoParams", f"{needed} is missing: Hyperband needs ResourceName and ResourceValue")
    options = {k: v for k, v in values.items() if k not in ("seed", "resource_name", "resource_max")}
    name, most = values.get("resource_name"), values.get("resource_max")
    return Algorithm(ours, options, values.get("seed"), Resource(name, most) if name and most else None)


def _algo_params(algo: Fields, problems: Problems) -> _Given:
    out: dict[str, tuple[str, Any]] = {}
    seen: dict[str, Any] = {}
    for i, entry in enumerate(algo.list("algoParams")):
        path = f"{algo.path('algoParams')}[{i}]"
        fields = Fields(entry, path, problems, ("name", "value"))
        name, value = fields.text("name", "the parameter's name"), fields.raw("value")
        if name is None:
            continue
        if name.lower() in seen and seen[name.lower()] != value:
            fields.wrong("name", f"{json_text(name)} is given twice")
        elif name.lower() not in seen:
            out[path] = name, value
        seen[name.lower()] = value
    return out


def _values(
    algorithm: str, params: Mapping[str, _Param], given: _Given, trials: int | None, problems: Problems
) -> dict[str, Any]:
    """Our option names -> values, defaults filled in."""
    values = {}
    for param in params.values():
        default = param.default(trials) if callable(param.default) else param.default
        if default is not None:
            values[param.ours] = default
    spellings = {name.lower(): name for name in params}
    for path, (text, value) in given.items():
        known = spellings.get(text.lower())
        if known is None:
            _foreign(algorithm, params, path, text, problems)
        elif value is not None:  # a blank one counts as absent
            try:
                values[params[known].ours] = _taken(known, params[known], value, trials, path, problems)
            except ValueError as error:
                problems.add(f"{path}.value", f"{known} {error}, not {json_text(value)}")
    return {name: value for name, value in values.items() if value is not None}


def _foreign(algorithm: str, params: Mapping[str, _Param], path: str, text: str, problems: Problems) -> None:
    """A parameter that the algorithm does not have: clients send those of others along."""
    if owners := _OWNERS.get(text.lower()):
        problems.note(path, f"{text} is a parameter of {' and '.join(owners)}; {algorithm} ignores it")
        return
    names = f"known: {', '.join(params)}" if params else "it takes none"
    problems.add(f"{path}.name", f"{json_text(text)} is not a parameter of {algorithm}; {names}")


def _taken(name: str, param: _Param, value: Any, trials: int | None, path: str, problems: Problems) -> Any:
    """The value, brought into what it can count as. Raises ValueError as `param.take`."""
    taken = param.take(value)
    if taken is None:
        problems.note(path, f"{name} {json_text(value)} is taken as no seed; one is drawn")
        return None
    if param.within is None:
        return taken
    least, most = param.within(trials)
    counts = min(max(taken, least), most)
    if counts != taken:
        why = f", with maxJobNum {trials}" if trials is not None and counts == trials else ""
        why = ", as maxJobNum is unlimited" if trials is None and counts == _LEAST_UNLIMITED else why
        problems.note(path, f"{name} {json_text(value)} counts as {int(counts):,}{why}")
        return int(counts)
    return taken


def _take_eta(algo: Fields, values: dict[str, Any], given: bool) -> None:
    """hyperbandEta is another place for eta; 0 means that it is not used, and algoParams has precedence."""
    eta = algo.number("hyperbandEta")
    if not eta or (given and values.get("eta") == eta):
        return
    if given:
        algo.note(
            "hyperbandEta", f"{json_text(eta)} is ignored, since algoParams has eta {json_text(values.get('eta'))}"
        )
    elif eta <= 1:
        algo.wrong("hyperbandEta", f"must be above 1, not {json_text(eta)}")
    else:
        values["eta"] = eta


def _plugin(algo: Fields, name: str, given: _Given, plugins: Iterable[str] | None) -> Algorithm | None:
    """Parameters go to a plugin as they are, as text."""
    known = None if plugins is None else list(plugins)
    found = next((p for p in known or () if p.lower() == name.lower()), name)
    wrong = algorithm_problem(found, None)
    if wrong is None and known is not None and found not in known:
        wrong = _unknown(name, known)
    if wrong:
        algo.wrong("algorithm", wrong)
        return None
    texts = {text: value if isinstance(value, str) else json_text(value) for text, value in given.values()}
    return Algorithm(found, texts)


def _unknown(name: str, plugins: list[str]) -> str:
    """The message for a name that is not one of the dialect's; known names are listed once, whatever their case."""
    ours = {known.lower() for known in BUILT_IN} | {"grid"}
    names = [*BUILT_IN, *sorted(plugin for plugin in plugins if plugin.lower() not in ours)]
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in names], n=1, cutoff=0.6)
    if close:
        meant = next(known for known in names if known.lower() == close[0])
        return f'unknown algorithm {json_text(name)}; did you mean "{meant}"?'
    return f"unknown algorithm {json_text(name)}: no search plugin of that name is installed; known: {', '.join(names)}"
