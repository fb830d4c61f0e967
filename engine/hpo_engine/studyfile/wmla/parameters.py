"""hyperParams and experiments of a request -> search space; parameters -> the objects of answers and plugins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hpo_engine.errors import SpecError
from hpo_engine.space.params import Choice, Constant, Float, Int, Param, json_text, key
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.studyfile.common import Problems, as_text, ragged, space_of
from hpo_engine.studyfile.wmla.fields import Fields, as_number
from hpo_engine.text.quoting import shown

_FIELDS = (
    "name", "type", "dataType", "minDbVal", "maxDbVal", "minIntVal", "maxIntVal", "discreteDbVal", "discreteIntVal",
    "discreateStrVal", "discreteStrVal", "fixedVal", "step", "power", "userDefined", "id",
)  # fmt: skip
_EXPERIMENT_FIELDS = ("id", "hyperParams")
_LISTS = {"double": ("discreteDbVal",), "int": ("discreteIntVal",), "str": ("discreateStrVal", "discreteStrVal")}
_ENDS = {"double": ("minDbVal", "maxDbVal"), "int": ("minIntVal", "maxIntVal")}


# -- request -> space ----------------------------------------------------------------------------------------------


def take_space(
    entries: Sequence[Any], fixed: Sequence[Any], resource_name: str | None, problems: Problems
) -> SearchSpace | None:
    """The space of a list of hyperParams; None if something is wrong with it.

    Args:
        fixed: fixedHyperParams, an older spelling of entries of type Fix.
        resource_name: what Hyperband rations; a trial's config.json can hold only one of that name.
    """
    params: dict[str, Param] = {}
    spellings: dict[str, Mapping[str, str]] = {}
    seen: dict[str, str] = {}
    count = len(problems)
    for path, entry, is_fixed in _entries(entries, fixed):
        fields = Fields(entry, path, problems, _FIELDS)
        param = _param(fields, is_fixed) if isinstance(entry, dict) else None
        if param is not None and param.name == resource_name:
            fields.note(
                "name", f"{json_text(param.name)} is Hyperband's resource: each trial gets the resource's value"
            )
        elif param is not None and param.name in seen:
            fields.wrong("name", f"duplicate name {json_text(param.name)}; {seen[param.name]} has it too")
        elif param is not None:
            seen[param.name] = path
            params[param.name] = param
            spellings[f"space.{shown(param.name)}"] = _spellings(fields, param)
    try:
        space = SearchSpace(tuple(params.values()))
    except SpecError as error:
        for problem in error.problems:
            prefix = next((p for p in _prefixes(problem.path) if p in spellings), "")
            spelling = spellings.get(prefix, {})
            problems.add(spelling.get(problem.path[len(prefix) :], spelling.get("", "hyperParams")), problem.text)
        return None
    return space if len(problems) == count else None


def _entries(entries: Sequence[Any], fixed: Sequence[Any]) -> Iterator[tuple[str, Any, bool]]:
    """(path, entry, whether it is one of fixedHyperParams)."""
    yield from ((f"hyperParams[{i}]", entry, False) for i, entry in enumerate(entries))
    yield from ((f"fixedHyperParams[{i}]", entry, True) for i, entry in enumerate(fixed))


def _prefixes(path: str) -> list[str]:
    """The path and what stands before each of its dots, the longest first."""
    return [path] + [path[:i] for i in range(len(path) - 1, 0, -1) if path[i] == "."]


def _spellings(fields: Fields, param: Param) -> Mapping[str, str]:
    """Field of the space's messages -> path in the request."""
    low, high = _ENDS["int" if isinstance(param, Int) else "double"]
    ours = {"": "name", ".low": low, ".high": high, ".step": "step", ".power": "power", ".value": "fixedVal"}
    return {name: fields.path(spelled) for name, spelled in ours.items()}


def _param(fields: Fields, is_fixed: bool = False) -> Param | None:
    name = fields.text("name", "the parameter's name")
    kind = "Fix" if is_fixed else fields.word("type", "Range", "Discrete", "Fix")
    if is_fixed and fields.raw("dataType") is None:
        data_type: str | None = _type_of([fields.value("fixedVal")])
    else:
        data_type = _data_type(fields)
    if name is None or kind is None or data_type is None:
        return None
    if kind == "Fix":
        value = _fixed(fields, data_type)
        return None if value is None else Constant(name, value)
    return _range(fields, name, data_type) if kind == "Range" else _discrete(fields, name, data_type)


def _data_type(fields: Fields) -> str | None:
    word = fields.word("dataType", "int", "double", "str", "string")
    return "str" if word == "string" else word


def _typed(value: Any, data_type: str) -> int | float | str | None:
    """The value in its data type; None if it does not fit."""
    if data_type == "str":
        return as_text(value)
    number = as_number(value)
    if number is None:
        return None
    if data_type == "double":
        return float(number)
    return int(number) if number == int(number) else None


_MOST_STEPS = 10**15  # of which a decimal still counts each one

_WHAT = {"int": "a whole number", "double": "a number", "str": "text"}


def _fixed(fields: Fields, data_type: str) -> int | float | str | None:
    # An empty text is a value; `raw` would take it for a blank.
    value = fields.value("fixedVal")
    typed = _typed(value, data_type)
    if typed is None:
        fields.wrong(
            "fixedVal", "is missing" if value is None else f"must be {_WHAT[data_type]}, not {json_text(value)}"
        )
    return typed


def _range(fields: Fields, name: str, data_type: str) -> Param | None:
    if data_type == "str":
        fields.wrong("dataType", "a Range has dataType int or double; use type Discrete for text")
        return None
    ends = []
    for field in _ENDS[data_type]:
        end = fields.whole(field) if data_type == "int" else fields.number(field)
        if fields.raw(field) is None:
            fields.wrong(field, f"is missing: a Range of dataType {data_type} needs {' and '.join(_ENDS[data_type])}")
        ends.append(end)
    low, high = ends
    step, power = fields.number("step") or None, fields.number("power") or None  # 0: not used
    if low is None or high is None:
        return None
    if power == 1 and low <= high:
        fields.note("power", "with power 1 the value is always 1")
        return Constant(name, 1 if data_type == "int" else 1.0)
    _note_step(fields, low, high, step)
    if data_type == "double":
        return Float(name, low, high, step=step, power=power)
    # Whatever is not a whole number is for the space to refuse.
    return Int(name, int(low), int(high), step=step, power=power)  # type: ignore[arg-type]


def _note_step(fields: Fields, low: float, high: float, step: float | None) -> None:
    if step is None or step <= 0 or low >= high:
        return
    if step > high - low:
        fields.note("step", f"{json_text(step)} is larger than the range, so the value is always the lowest")
    elif (last := _last(low, high, step)) < high:
        first, end, top, by = map(json_text, (low, last, high, step))
        fields.note("step", f"in steps of {by} from {first} it ends at {end}, below {top}")


def _last(low: float, high: float, step: float) -> int | float:
    """The last value of a grid, which decimals give exactly."""
    first, last, by = (Decimal(repr(number)) for number in (low, high, step))
    end = first + (last - first) // by * by if (last - first) / by < _MOST_STEPS else last
    return int(end) if end == end.to_integral_value() else float(end)


def _discrete(fields: Fields, name: str, data_type: str) -> Param | None:
    spellings = _LISTS[data_type]
    spelling = next((s for s in spellings if fields.raw(s)), spellings[0])
    entries = fields.list(spelling)
    values = {}
    for entry in entries:
        value = _typed(entry, data_type)
        if value is None:
            fields.wrong(spelling, f"{json_text(entry)} is not {_WHAT[data_type]}")
            return None
        values[key(value)] = value  # repeated values count once
    if not values:
        if isinstance(fields.raw(spelling), (list, type(None))):
            fields.wrong(spelling, f"is empty: a Discrete of dataType {data_type} needs its values there")
        return None
    choices = tuple(values.values())
    return Choice(name, choices, ordered=data_type != "str" and list(choices) == sorted(choices, key=float))


def take_experiments(
    entries: Sequence[Any], fixed: Sequence[Any], problems: Problems
) -> tuple[tuple[Mapping[str, Any], ...], SearchSpace | None]:
    """The parameter sets of a grid search, each as it is, and the smallest space with all their values (None:
    something is wrong). `fixed`: fixedHyperParams, for all of them."""
    constants, sound = take_space((), fixed, None, problems), True
    same = {p.name: p.value for p in constants.params if isinstance(p, Constant)} if constants else {}
    experiments = []
    for i, entry in enumerate(entries):
        params = _experiment(Fields(entry, f"experiments[{i}]", problems, _EXPERIMENT_FIELDS), problems)
        sound = sound and params is not None
        experiments.append({**same, **(params or {})})
    if not sound or constants is None or not experiments:
        return (), None
    if note := ragged(experiments):
        problems.note("experiments", note)
    try:
        return tuple(experiments), space_of(experiments)
    except SpecError as error:
        for problem in error.problems:
            problems.add("experiments[0].hyperParams", str(problem).removeprefix("space."))
        return (), None


def _experiment(experiment: Fields, problems: Problems) -> dict[str, Any] | None:
    out: dict[str, Any] = {}
    entries = experiment.list("hyperParams")
    if not entries:
        experiment.wrong("hyperParams", "is empty; an experiment sets every parameter")
        return None
    for j, entry in enumerate(entries):
        fields = Fields(entry, f"{experiment.path('hyperParams')}[{j}]", problems, _FIELDS)
        name, data_type = fields.text("name", "the parameter's name"), _data_type(fields)
        value = None if data_type is None else _fixed(fields, data_type)
        if name is not None and name in out:
            fields.wrong("name", f"duplicate name {json_text(name)}")
        if name is not None and value is not None:
            out[name] = value
    return out if len(out) == len(entries) else None


# -- parameters -> objects -----------------------------------------------------------------------------------------


def hyper_param(name: str, value: Any) -> dict[str, Any]:
    """A parameter with its value, as answers show it."""
    return {"name": name, "dataType": _type_of([value]), "fixedVal": _as_string(value), "userDefined": False}


def search_params(space: SearchSpace) -> list[dict[str, Any]]:
    """The parameters that are searched, as plugins get them: every field there, those that do not apply empty."""
    return [_search_param(p) for p in space.dimensions]


def _search_param(param: Float | Int | Choice) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": param.name, "type": "Range", "dataType": "DOUBLE", "minDbVal": 0.0, "maxDbVal": 0.0, "minIntVal": 0,
        "maxIntVal": 0, "discreteDbVal": [], "discreteIntVal": [], "discreateStrVal": [], "step": None, "power": None,
        "fixedVal": None, "userDefined": False,
    }  # fmt: skip
    if isinstance(param, Choice):
        data_type = _type_of(param.choices)
        convert: Callable[[Any], Any] = {"int": int, "double": float}.get(data_type, _as_string)
        values = [convert(v) for v in param.choices]
        return out | {"type": "Discrete", "dataType": data_type.upper(), _LISTS[data_type][0]: values}
    data_type = param.kind if param.kind == "int" else "double"
    low, high = _ENDS[data_type]
    ends = {low: param.low, high: param.high}
    return out | {"dataType": data_type.upper(), **ends, "step": param.step, "power": param.power}


def _as_string(value: Any) -> str:
    text = as_text(value)
    return json.dumps(value, ensure_ascii=False) if text is None else text


def _type_of(values: Sequence[Any]) -> str:
    types = {type(v) for v in values}
    return "int" if types == {int} else "double" if types <= {int, float} else "str"
