"""The native study file -> StudySpec: the form's findings in plain words, then what only the disk can tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from hpo_engine.contract.paths import absolute
from hpo_engine.errors import SpecError, nearest
from hpo_engine.plugins.card import Card
from hpo_engine.plugins.registry import Registry
from hpo_engine.space.axes import Steps
from hpo_engine.space.constraints import read_rule
from hpo_engine.space.params import Choice, Constant, Param, json_text, shown
from hpo_engine.space.partial import point_problems, refuse_empty
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.stoppers import AlikeStopper, RankStopper
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import (
    ALIKE,
    DIVERGED,
    MISNAMED,
    RANK,
    Budget,
    Named,
    Resource,
    Resources,
    StudySpec,
    TrialPolicy,
)
from hpo_engine.studyfile import foreign
from hpo_engine.studyfile.common import (
    MOST_PROBLEMS,
    Problems,
    algorithm_problem,
    base_config_problem,
    default_name,
    env_problem,
    folder_problem,
    ragged,
    read_base_config,
    script_problem,
    space_of,
    study_name_problem,
    under,
)
from hpo_engine.studyfile.document import Document, read_document, read_text
from hpo_engine.studyfile.native import slips, values
from hpo_engine.studyfile.native.form import ENTRIES, PARTS, NamedForm, StudyForm, TrialForm, names
from hpo_engine.text.tables import number

DEFAULT_TRIALS = 20
_ANY: tuple[Any, ...] = (0.5, "", True, None, [])  # a value of each type that a rule knows
# What people write who come from elsewhere, and where it goes here.
_ELSEWHERE = {
    "seed": "write options: {seed: ...}",
    "params": "parameters go under space",
    "parameters": "parameters go under space",
    "search_space": "parameters go under space",
    "hyperparameters": "parameters go under space",
    "metric": "write objective: {metric: ..., goal: minimize}",
    "goal": "write objective: {metric: ..., goal: ...}",
    "direction": "write objective: {metric: ..., goal: ...}",
    "max_trials": "write trials",
    "n_trials": "write trials",
    "timeout": "write time_limit",
    "cpus": "write trial: {cpus: ...}",
    "gpus": "write trial: {gpus: ...}",
    "retries": "write trial: {retries: ...}",
    "constraints": "write require: a rule such as hidden2 <= hidden1",
    "constraint": "write require: a rule such as hidden2 <= hidden1",
    "initial_points": "write points: [{...}, ...]",
    "initial": "write points: [{...}, ...]",
    "prior": "write warm_start: [names of earlier studies]",
    "transfer": "write warm_start: [names of earlier studies]",
    "enqueue": "write points: [{...}, ...]",
    "max_failures": "write failures: {in_a_row: ...}",
    "max_failed_trials": "write failures: {in_a_row: ...}",
    "script": 'write command: "python train.py"',
    "labels": "they had no effect; leave them out",
    "preload": "write trial: {preload: ...}",
}
_ELSEWHERE_IN: dict[type[BaseModel], dict[str, str]] = {
    StudyForm: _ELSEWHERE,
    TrialForm: {"warm_start": "write preload: auto, off or a list of modules"},
}
_FORMER_OPTIONS = {"warm_up": "write min_rivals"}


def load(path: str, *, algorithms: Iterable[str] | None = None) -> tuple[StudySpec, str]:
    """The study that a file describes, and the file's text. Raises SpecError with every problem found."""
    text = read_text(path)
    return parse(text, file=path, base_dir=os.path.dirname(absolute(path)), algorithms=algorithms), text


def parse(
    text: str,
    *,
    file: str,
    base_dir: str,
    algorithms: Iterable[str] | None = None,
    name: str | None = None,
) -> StudySpec:
    """The study that a text describes.

    Args:
        file: what messages call the text; names the study where nothing else does.
        base_dir: what relative paths are relative to.
        algorithms: the names there are (None: not checked here).
        name: for a study that gives none.

    Raises:
        SpecError: with every problem found.
    """
    return parse_document(read_document(text, file), base_dir=base_dir, algorithms=algorithms, name=name)


def parse_document(
    document: Document,
    *,
    base_dir: str,
    algorithms: Iterable[str] | None = None,
    stoppers: Registry | None = None,
    trackers: Registry | None = None,
    name: str | None = None,
) -> StudySpec:
    """As `parse`, of a document that was read already; `stoppers`, `trackers`: what there is (None: not checked)."""
    problems = Problems(document)
    data = document.data
    if not isinstance(data, dict):
        problems.add("", f"must be a mapping of fields (command, objective, space, ...), not {json_text(data)}")
        problems.check()
    form, failed = _form(data, problems)
    space, params = _space(form.space or {}, problems) if "space" in form.model_fields_set else (None, [])
    space = _with_rules(space, params, form, problems)
    experiments = _experiments(form, space, problems)
    points = _points(form, space, problems)
    if "space" not in data and not failed & {"experiments"}:
        space = _space_of(experiments, problems)
    paths = _paths(form, failed, base_dir, problems)
    algorithm = _algorithm(form, base_dir, algorithms, problems)
    if form.resource and form.resource.min > form.resource.max:
        problems.add("resource.min", f"must be at most the max, which is {form.resource.max}, not {form.resource.min}")
    options = dict(form.options)
    seed = _seed(options.pop("seed", None), problems)
    for variable in data["env"] if isinstance(data.get("env"), dict) else ():
        if wrong := env_problem(variable):
            problems.add(f"env.{variable}", wrong)
    if not form.name and name and (wrong := study_name_problem(name)):
        problems.add("name", wrong)
    objectives = _objectives(form, data, problems)
    notes = _foreign(form, data, failed, paths["model_dir"], problems)
    for chosen in (*form.stop, *form.trackers):
        chosen.name = _absolute(chosen.name, base_dir)
    stop = _stoppers(form, paths["model_dir"], stoppers, problems)
    listeners = tuple(_chosen(form.trackers, "trackers", (), paths["model_dir"], trackers, problems))
    problems.check()
    assert space is not None  # its absence is a problem
    trials = form.trials if "trials" in form.model_fields_set or algorithm == "grid" else DEFAULT_TRIALS
    spec = StudySpec(
        name=form.name or name or default_name(document.file, base_dir),
        space=space,
        objectives=objectives,
        command=tuple(form.command),
        exclude=tuple(form.exclude),
        algorithm=Named(algorithm, options),
        resource=Resource(form.resource.name, form.resource.max, form.resource.min) if form.resource else None,
        budget=Budget(trials, form.time_limit),
        resources=Resources(form.parallel, form.trial.cpus, form.trial.gpus),
        trial=TrialPolicy(
            form.trial.time_limit,
            form.trial.retries,
            form.trial.grace,
            form.trial.log_limit,
            form.trial.preload if isinstance(form.trial.preload, str) else tuple(form.trial.preload),
            form.trial.on_time_limit,
        ),
        stop=stop,
        trackers=listeners,
        env=form.env,
        experiments=experiments,
        points=points,
        warm_start=tuple(under(base_dir, name) if os.sep in name else name for name in form.warm_start),
        extra_metrics=form.metrics,
        dialect=form.dialect,
        submitted_code=form.submitted_code,
        seed=seed,
        **paths,
    )
    doubts = filter(None, map(slips.doubtful_exponents, space.params))
    return spec.noted(*problems.notes, *notes, *_short_steps(space), *doubts)


def _short_steps(space: SearchSpace) -> Iterator[str]:
    """A note for each range that its steps do not fill: the upper end is never tried, which its author may not know."""
    for param in space.dimensions:
        if isinstance(param, Choice) or param.step is None:
            continue
        axis = space.axis(param.name)
        if isinstance(axis, Steps) and (end := axis.end) != param.high:
            by, low, last, high = map(number, (param.step, param.low, end, param.high))
            yield f"space.{shown(param.name)}: steps of {by} from {low} end at {last}, not at {high}"


# -- fields ----------------------------------------------------------------------------------------------------------


def _form(data: dict[str, Any], problems: Problems) -> tuple[StudyForm, set[str]]:
    """The fields that are sound, and the names of those that are not (which hold a stand-in)."""
    try:
        return StudyForm.model_validate(data), set()
    except ValidationError as error:
        failed = {str(e["loc"][0]) for e in error.errors(include_url=False, include_context=False) if e["loc"]}
        _report(error, "", StudyForm, problems)
    stand_ins = {"command": "-"}
    sound = {k: v for k, v in data.items() if k not in failed}
    return StudyForm.model_validate({**stand_ins, **sound}), failed


def _report(error: ValidationError, prefix: str, model: type[BaseModel], problems: Problems) -> None:
    for e in error.errors(include_url=False)[:MOST_PROBLEMS]:
        path = prefix
        for part in e["loc"]:
            path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}" if path else part
        part_name = str(e["loc"][0]) if len(e["loc"]) > 1 else None
        where = PARTS.get(part_name, model) if part_name else model
        problems.add(path, _words(e, where))


def _words(e: Any, model: type[BaseModel]) -> str:
    """pydantic's finding, as a person would say it."""
    kind, found = e["type"], json_text(e["input"])
    if kind == "extra_forbidden":
        key = str(e["loc"][-1])
        advice = _ELSEWHERE_IN.get(model, {}).get(key)
        return f'unknown key "{shown(key)}"' + (f"; {advice}" if advice else nearest(key, names(model)))
    if kind == "missing":
        name = str(e["loc"][-1])
        about = next((f.description for n, f in model.model_fields.items() if name in (n, f.alias)), None)
        return f"is missing: {about}" if about else "is missing"
    if kind == "value_error":
        return str(e["ctx"]["error"])
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"must be a mapping, not {found}"
    if kind == "list_type":
        return f"must be a list, not {found}"
    return f"{e['msg'][:1].lower()}{e['msg'][1:]}, not {found}"


def _paths(form: StudyForm, failed: set[str], base_dir: str, problems: Problems) -> dict[str, Any]:
    """The fields of a StudySpec that are paths, absolute; checked against the disk."""
    model_dir = under(base_dir, form.model_dir)
    if wrong := folder_problem(model_dir):
        problems.add("model_dir", wrong)
    elif (
        "command" not in failed
        and not foreign.sets_variable(form.command[0])
        and not form.command[0].startswith("~")
        and (wrong := script_problem(form.command, model_dir))
    ):
        problems.add("command", wrong)
    data_dir = None if form.data_dir is None else under(base_dir, form.data_dir)
    if data_dir and (wrong := folder_problem(data_dir)):
        problems.add("data_dir", wrong)
    data_root = None if form.data_root is None else under(base_dir, form.data_root)
    interpreter = form.interpreter
    if interpreter and os.sep in interpreter:
        interpreter = under(base_dir, interpreter)
        if not os.access(interpreter, os.X_OK) or os.path.isdir(interpreter):
            problems.add("interpreter", f"there is no program {json_text(interpreter)}")
    base_config = None if form.base_config is None else under(model_dir, form.base_config)
    if base_config and (wrong := base_config_problem(base_config, model_dir)):
        problems.add("base_config", wrong)
    elif base_config:
        _told(lambda: read_base_config(base_config), problems)
    if form.exclude:
        from hpo_engine.contract.snapshot.ignore import Patterns

        _told(lambda: Patterns(form.exclude), problems)
    return {
        "model_dir": model_dir,
        "base_config": base_config and os.path.relpath(base_config, model_dir),
        "data_dir": data_dir,
        "data_root": data_root,
        "interpreter": interpreter,
    }


def _told(check: Callable[[], object], problems: Problems) -> None:
    """Takes over what a check elsewhere finds wrong."""
    try:
        check()
    except SpecError as error:
        for problem in error.problems:
            problems.add(problem.path, problem.text)


def _foreign(
    form: StudyForm, data: Mapping[str, Any], failed: set[str], folder: str, problems: Problems
) -> tuple[str, ...]:
    """Notes on words that are meant for a shell or for another tool; those that nobody could mean here are problems."""
    names = {name for params in (form.space or {}, *form.experiments) for name in params}
    names |= {form.resource.name} if form.resource else set()
    notes = foreign.in_environment(form.env, names)
    if failed & {"command", "space", "experiments"}:
        return notes
    found = foreign.in_command(data["command"] if isinstance(data["command"], str) else form.command, names, folder)
    for text in found.problems:
        problems.add("command", text)
    return (*found.notes, *notes)


def _algorithm(form: StudyForm, base_dir: str, known: Iterable[str] | None, problems: Problems) -> str:
    name = form.algorithm or ("grid" if form.experiments else "auto")
    known = None if known is None else list(known)
    if known is not None and name not in known and name.lower() in known:
        name = name.lower()
    wrong = algorithm_problem(name, known)
    if wrong is None:
        name = _absolute(name, base_dir)
        path = name.rpartition(":")[0]
        if path.endswith(".py") and not os.path.isfile(path):
            wrong = f"there is no file {json_text(path)}"
    if wrong:
        problems.add("algorithm", wrong)
    return name


def _stoppers(form: StudyForm, folder: str, known: Registry | None, problems: Problems) -> tuple[Named, ...]:
    """What `failures`, `early_stopping` and `stop` come to; options at their default are left out."""
    failures = _options(AlikeStopper.card, ALIKE, form.failures, "failures", problems)
    out = [] if set(failures.values()) == {None} and len(failures) == 2 else [Named(MISNAMED), Named(ALIKE, failures)]
    early = form.early_stopping
    if early is None or early.diverged:
        out.append(Named(DIVERGED))
    if early is not None:
        options = _options(RankStopper.card, RANK, early, "early_stopping", problems)
        if early.rule is not None and (options or early.model_fields_set != {"diverged"}):
            out.append(Named(RANK, options))
    return (*out, *_chosen(form.stop, "stop", [stopper.name for stopper in out], folder, known, problems))


def _options(card: Card, name: str, form: BaseModel, path: str, problems: Problems) -> dict[str, Any]:
    """The options among a form's keys that do not hold their default."""
    given = dict(form.model_extra or {})
    for word, advice in _FORMER_OPTIONS.items():
        if word in given:
            del given[word]
            problems.add(f"{path}.{word}", f'unknown key "{word}"; {advice}')
    taken: dict[str, Any] = {}
    _told(lambda: taken.update(card.take(name, given, path, ())), problems)
    return {option: value for option, value in taken.items() if value != card.options[option].default}


def _chosen(
    forms: Sequence[NamedForm],
    field: str,
    before: Iterable[str],
    folder: str,
    known: Registry | None,
    problems: Problems,
) -> Iterator[Named]:
    """Those of a list, whose paths are absolute by now. `before`: names that are there already. `folder`: where users'
    modules are. `known`: which there are (None: not checked)."""
    names = [*before, *(form.name for form in forms)]
    for i, chosen in enumerate(form.named() for form in forms):
        path = f"{field}[{i}]"
        if chosen.name in names[: len(names) - len(forms) + i]:
            problems.add(path, f"{json_text(chosen.name)} is there already")
        elif known is not None:
            _told(partial(known.check, chosen.name, chosen.options, folder, path), problems)
        yield chosen


def _absolute(name: str, base_dir: str) -> str:
    """A name whose path/file.py is absolute."""
    module, _, cls = name.rpartition(":")
    return f"{under(base_dir, module)}:{cls}" if module.endswith(".py") else name


def _objectives(form: StudyForm, data: Mapping[str, Any], problems: Problems) -> tuple[Objective, ...]:
    """The objective, or all of them; none where something is wrong with them."""
    given = [name for name in ("objective", "objectives") if data.get(name) is not None]
    if len(given) > 1:
        problems.add("objectives", "excludes objective; list all of them here")
    if not given:
        problems.add("objective", f"is missing: {StudyForm.model_fields['objective'].description}")
    if form.objective is not None:
        return (form.objective.objective("best"),)
    objectives = tuple(o.objective("last") for o in form.objectives or ())
    for i, one in enumerate(objectives):
        if one.metric in [a.metric for a in objectives[:i]]:
            problems.add(f"objectives[{i}]", f"{json_text(one.metric)} is there already")
    if len(best := [i for i, one in enumerate(objectives) if one.over == "best"]) > 1:
        why = "a trial counts by one report, and only one objective can say which"
        problems.add(f"objectives[{best[1]}].over", f"{why}; leave over: best to one of them")
    return objectives


def _seed(value: Any, problems: Problems) -> int | None:
    try:
        return None if value is None else values.whole(0)(value)
    except ValueError as error:
        problems.add("options.seed", str(error))
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
        problems.add("points", "go with a space that is searched; put them into experiments")
    if form.warm_start and form.experiments:
        problems.add("warm_start", "goes with a space that is searched, not with experiments")
    for i, study in enumerate(form.warm_start):
        if study in form.warm_start[:i]:
            problems.add(f"warm_start[{i}]", f"{json_text(study)} is there already")
    if space is not None and not problems:
        for problem in point_problems(space, form.points):
            problems.add(problem.path, problem.text)
    return tuple(form.points) if space is None or problems else tuple(space.tidied(point) for point in form.points)


# -- the space -------------------------------------------------------------------------------------------------------


def _space_of(experiments: tuple[dict[str, Any], ...], problems: Problems) -> SearchSpace | None:
    """The space of a study that gives none."""
    if not experiments:
        problems.add("space", "is missing: the parameters, as in {lr: {float: [1e-4, 0.1], log: true}}")
        return None
    if note := ragged(experiments):
        problems.note("experiments", note)
    try:
        return space_of(experiments)
    except SpecError as error:
        for problem in error.problems:
            problems.add("experiments", problem.text)
        return None


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


def _with_rules(
    space: SearchSpace | None, params: list[Param], form: StudyForm, problems: Problems
) -> SearchSpace | None:
    """The space with the rules of the file; None where it or they are wrong. If the space is wrong, the rules are read
    all the same, so that what is wrong in them is told with the rest."""
    texts = [form.require] if isinstance(form.require, str) else form.require
    if not texts:
        return space
    if "space" not in form.model_fields_set:
        problems.add("require", "goes with a space")
    if space is None:
        for i, text in enumerate(texts if params else ()):
            try:
                read_rule(text, params)
            except SpecError as error:
                path = "require" if isinstance(form.require, str) else f"require[{i}]"
                problems.add(path, error.problems[0].text)
        return None
    try:
        space = SearchSpace(space.params, tuple(texts))
        refuse_empty(space)
    except SpecError as error:
        for problem in error.problems:
            problems.add("require" if isinstance(form.require, str) else problem.path, problem.text)
        return None
    return space


def _param(name: str, entry: Any, problems: Problems) -> Param | None:
    path = f"space.{name}"
    if entry is None:
        problems.add(path, "is empty; give a range such as {float: [0, 1]}, a value, or {constant: null}")
        return None
    if isinstance(entry, list):
        range_ = f"{right} for a range, " if (right := slips.range_in_list(entry)) else ""
        text = f"a list is no parameter; use {range_}{{choice: {_cut(entry)}}} or {{constant: {_cut(entry)}}}"
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
        _report(error, path, model, problems)
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
