"""The space of a study file, and what refers to it: rules, experiments, points to try first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hpo_engine.errors import SpecError
from hpo_engine.space.axes import Steps
from hpo_engine.space.constraints import read_rule
from hpo_engine.space.params import Choice, Constant, Param, json_problem, json_text
from hpo_engine.space.partial import point_problems, refuse_empty
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.studyfile.common import Problems, ragged, space_of
from hpo_engine.studyfile.document import Document
from hpo_engine.studyfile.native import slips
from hpo_engine.studyfile.native.findings import report, sound_form
from hpo_engine.studyfile.native.form import ENTRIES, StudyForm
from hpo_engine.text.quoting import shown
from hpo_engine.text.tables import number

OUTSIDE = "outside"
"""What `was` says of a value that is not in the range of its parameter."""
_ANY: tuple[Any, ...] = (0.5, "", True, None, [])  # a value of each type that a rule knows


@dataclass(frozen=True)
class Searched:
    """`space` is None if it, or a rule, is wrong."""

    space: SearchSpace | None
    experiments: tuple[dict[str, Any], ...]
    points: tuple[dict[str, Any], ...]
    spellings: dict[str, str]
    was: dict[str, Any]


def read_space(form: StudyForm, *, given: bool, sound: bool, problems: Problems) -> Searched:
    """The space with all that refers to it.

    Args:
        given: whether the file has a space; if not, it follows from the experiments. sound: whether these are.
    """
    space, params = _space(form.space or {}, problems) if "space" in form.model_fields_set else (None, [])
    space = _with_rules(space, params, form, problems)
    experiments = _experiments(form, space, problems)
    points = _points(form, space, problems)
    if not given and sound:
        space = _space_of(experiments, problems)
    entries: Mapping[str, Any] = form.space or {}
    spellings = {name: entry["arg"] for name, entry in entries.items() if isinstance(entry, dict) and entry.get("arg")}
    return Searched(space, experiments, points, spellings, _was(entries, space, problems))


def _was(entries: Mapping[str, Any], space: SearchSpace | None, problems: Problems) -> dict[str, Any]:
    """The values that parameters had before they were added."""
    found: dict[str, Any] = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict) or "was" not in entry:
            continue
        value = entry["was"]
        outside = isinstance(value, dict) and list(value) == [OUTSIDE]
        found[name] = value = value[OUTSIDE] if outside else value
        path = f"space.{name}.was"
        if wrong := json_problem(value):
            problems.add(path, wrong)
        elif space is not None and not outside and (wrong := space.axis(name).problem(value)):
            meant = f"{{{OUTSIDE}: {json_text(value)}}}"
            problems.add(path, f"{wrong}; widen the range, or write {meant}: then trials so far are no evidence")
    return found


def _space(entries: Mapping[str, Any], problems: Problems) -> tuple[SearchSpace | None, list[Param]]:
    """The search space, None if it is wrong; and its parameters, with a stand-in for each that is wrong itself."""
    params, wrong, stand_ins = list[Param](), set[str](), list[Param]()
    for name, entry in entries.items():
        param = _param(name, entry, problems)
        if param is None:
            wrong.add(shown(name))
            stand_ins.append(Choice(name, _ANY))
        else:
            params.append(param)
    if not entries:
        problems.add("space", "is empty; name at least one parameter")
    try:
        space = SearchSpace(tuple(params))
    except SpecError as error:
        fields = {shown(p.name): _spelling(p, entries[p.name]) for p in params}
        for problem in error.problems:
            # A condition on a parameter that is wrong itself would be reported a second time.
            if problem.path.partition(".when.")[2] not in wrong:
                text = problem.text
                if problem.path.endswith(".power") and (why := _exponents_meant(problem.path, params)):
                    text += f"; {why}"
                problems.add(_field_path(problem.path, fields), text)
        return None, [*params, *stand_ins]
    return None if wrong or not entries else space, [*params, *stand_ins]


def _exponents_meant(path: str, params: Iterable[Param]) -> str | None:
    param = next((p for p in params if path == f"space.{shown(p.name)}.power"), None)
    return None if param is None else slips.exponents_meant(param)


def _param(name: str, entry: Any, problems: Problems) -> Param | None:
    path = f"space.{name}"
    if entry is None:
        problems.add(path, "is empty; give a range such as {float: [0, 1]}, a value, or {constant: null}")
        return None
    if isinstance(entry, list):
        range_ = f"{right} for a range, " if (right := slips.range_in_list(entry)) else ""
        text = f"a list is not a parameter; use {range_}{{choice: {_cut(entry)}}} or {{constant: {_cut(entry)}}}"
        problems.add(path, text)
        return None
    if isinstance(entry, str) and (found := slips.range_in_text(entry)):
        right, sure = found
        if sure:
            text = f"{json_text(entry)} looks like a range, which is written {right}"
            problems.add(path, f"{text}; as a fixed text it is {{constant: {json_text(entry)}}}")
            return None
        problems.note(path, f"{json_text(entry)} is a fixed text, the same in every trial; a range is written {right}")
    if not isinstance(entry, dict):
        return Constant(name, entry)
    kinds = [kind for kind in ENTRIES if kind in entry]
    if len(kinds) != 1:
        what = "has none of float, int, choice, constant"
        if kinds:
            what = f"has both {' and '.join(kinds)}; keep one of them"
        elif hint := slips.unknown_kind(entry, ENTRIES, problems.nearest):
            problems.add(path, what + hint)
            return None
        problems.add(path, f"{what}, as in {{float: [1e-4, 0.1], log: true}}")
        return None
    model = ENTRIES[kinds[0]]
    try:
        form = model.model_validate(entry)
    except ValidationError as error:
        report(error, path, model, problems)
        return None
    return form.param(name)


def _cut(value: list[Any]) -> str:
    return json_text(value).replace('"', "")


def _spelling(param: Param, entry: Any) -> tuple[str, dict[str, str]]:
    """A parameter's path, and how the file spells the fields whose names differ there."""
    value = ".constant" if isinstance(entry, dict) else ""
    fields = {"low": f".{param.kind}", "high": f".{param.kind}", "choices": ".choice", "value": value}
    return f"space.{param.name}", fields


def _field_path(path: str, spellings: Mapping[str, tuple[str, dict[str, str]]]) -> str:
    """The path in the file of a problem that the space found; `spellings` by the name that its messages show."""
    rest = path.removeprefix("space.")
    ends = [i for i, c in enumerate(rest) if c == "."] + [len(rest)]
    end = next((i for i in reversed(ends) if rest[:i] in spellings), None)
    if end is None:
        return path
    prefix, fields = spellings[rest[:end]]
    return prefix + fields.get(rest[end + 1 :], rest[end:])


def _with_rules(
    space: SearchSpace | None, params: list[Param], form: StudyForm, problems: Problems
) -> SearchSpace | None:
    """The space with the rules of the file; None if it or they are wrong. If the space is wrong, the rules are read
    all the same, so that what is wrong in them is reported with the rest."""
    texts, path = ([form.require], "require") if isinstance(form.require, str) else (form.require, "")
    if not texts:
        return space
    if "space" not in form.model_fields_set:
        problems.add("require", "needs a space")
    if space is None:
        for i, text in enumerate(texts if params else ()):
            with problems.collected(path or f"require[{i}]"):
                read_rule(text, params)
        return None
    with problems.collected(path):
        space = SearchSpace(space.params, tuple(texts))
        refuse_empty(space)
        return space
    return None


def _experiments(form: StudyForm, space: SearchSpace | None, problems: Problems) -> tuple[dict[str, Any], ...]:
    experiments = tuple(form.experiments)
    if space is None:
        return experiments
    for i, params in enumerate(experiments):
        if wrong := space.problem_with(params):
            problems.add(f"experiments[{i}]", wrong)
    return experiments if problems else tuple(space.tidied(params) for params in experiments)


def _points(form: StudyForm, space: SearchSpace | None, problems: Problems) -> tuple[dict[str, Any], ...]:
    if form.points and form.experiments:
        problems.add("points", "need a space to search; list them under experiments instead")
    if form.warm_start and form.experiments:
        problems.add("warm_start", "needs a space to search; it cannot be combined with experiments")
    for i, study in enumerate(form.warm_start):
        if study in form.warm_start[:i]:
            problems.add(f"warm_start[{i}]", f"{json_text(study)} is already listed")
    if space is not None and not problems:
        for problem in point_problems(space, form.points):
            problems.add(problem.path, problem.text)
    return tuple(form.points) if space is None or problems else tuple(space.tidied(point) for point in form.points)


def _space_of(experiments: tuple[dict[str, Any], ...], problems: Problems) -> SearchSpace | None:
    """The space of a study that gives none."""
    if not experiments:
        problems.add("space", "is missing: the parameters, as in {lr: {float: [1e-4, 0.1], log: true}}")
        return None
    if note := ragged(experiments):
        problems.note("experiments", note)
    with problems.collected("experiments"):
        return space_of(experiments)
    return None


def short_steps(space: SearchSpace) -> Iterator[str]:
    """A note for each range that its steps do not fill: the upper end is never tried, which its author may not know."""
    for param in space.dimensions:
        if isinstance(param, Choice) or param.step is None:
            continue
        axis = space.axis(param.name)
        if isinstance(axis, Steps) and (end := axis.end) != param.high:
            by, low, last, high = map(number, (param.step, param.low, end, param.high))
            yield f"space.{shown(param.name)}: steps of {by} from {low} end at {last}, not at {high}"


def space_from(entries: Mapping[str, Any], require: Any = ()) -> SearchSpace:
    """The space of these entries and rules, which are those of a study file. Raises SpecError with every problem."""
    data = {"command": "-", "space": entries, "require": require}
    problems = Problems(Document(data, ""))
    form, _ = sound_form(data, problems)
    space = read_space(form, given=True, sound=True, problems=problems).space
    problems.check()
    assert space is not None  # its absence is a problem
    return space
