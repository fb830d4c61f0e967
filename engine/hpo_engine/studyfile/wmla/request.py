"""A task specification (hpo_input) -> StudySpec."""

from __future__ import annotations

import getpass
import os
import random
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract.paths import absolute
from hpo_engine.contract.placeholders import literal
from hpo_engine.contract.sources.candidates import EXIT_CODE
from hpo_engine.space.params import json_problem, json_text
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Named, Resource, Resources, StudySpec
from hpo_engine.studyfile import foreign
from hpo_engine.studyfile.common import Problems, folder_problem, is_wmla, study_name, study_name_problem, under
from hpo_engine.studyfile.document import Document
from hpo_engine.studyfile.wmla.algorithms import Algorithm, is_grid, take_algorithm
from hpo_engine.studyfile.wmla.arguments import Arguments, conda_python, inside, read_arguments
from hpo_engine.studyfile.wmla.fields import Fields
from hpo_engine.studyfile.wmla.parameters import take_experiments, take_space

_TOP = ("hpoName", "modelSpec", "algoDef", "hyperParams", "fixedHyperParams", "experiments")
_MODEL = ("sigName", "args")
_PARALLEL = ("maxParalleJobNum", "maxParalleJob", "maxParallelJobNum")
_ALGO = (
    "algorithm", "maxRunTime", "maxJobNum", *_PARALLEL, "objectiveMetric", "objective", "additionalMetrics",
    "hyperbandEta", "algoParams",
)  # fmt: skip


def is_request(document: Document) -> bool:
    """Whether a document is of this form."""
    return is_wmla(document.data)


def parse_request(
    document: Document,
    *,
    base_dir: str,
    model_dir: str | None = None,
    plugins: Iterable[str] | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    now: float | None = None,
    rng: random.Random | None = None,
) -> StudySpec:
    """The study that a request asks for.

    Args:
        base_dir: what --model-dir is relative to, and the data root where DLI_DATA_FS is not set.
        model_dir: where the model is, whatever --model-dir says (an upload).
        plugins: the names of installed search plugins (None: not checked here).
        env: where DLI_DATA_FS, CONDA_PREFIX and HOME are looked up (default: this process's environment).
        user: who asks (default: this process's user).
        now, rng: for the generated hpoName.

    Raises:
        SpecError: with every problem found.
    """
    problems = Problems(document)
    if not isinstance(document.data, dict):
        problems.add("", f"must be an object with modelSpec, algoDef and hyperParams, not {json_text(document.data)}")
        problems.check()
    env = os.environ if env is None else env
    user = user or _user()
    top = Fields(document.data, "", problems, _TOP)
    name = _name(top) or new_name(user, time.time() if now is None else now, rng or random.Random())
    model = _part(top, "modelSpec", "what to run", _MODEL, problems)
    algo, search = None, _TRAINING
    experiments: tuple[Mapping[str, Any], ...] = ({},)
    space: SearchSpace | None = SearchSpace(())
    if not is_training(document.data):
        algo = _part(top, "algoDef", "the algorithm, the objective and the limits", _ALGO, problems)
        search = _search(algo, plugins, problems) if algo else None
        experiments, space = _space(top, algo, search.resource if search else None, problems)
    arguments = _arguments(model, problems) if model else None
    places = _places(arguments, base_dir, model_dir, env, problems) if arguments else {}
    problems.check()
    assert model and search and search.objective and search.algorithm and arguments  # else there are problems
    assert space is not None  # it may have no parameters: all of them may be the resource
    for note in foreign.in_arguments(arguments.script, {p.name for p in space.params}):
        problems.note("modelSpec.args", note)
    return StudySpec(
        name=name,
        space=space,
        experiments=experiments,
        objectives=(search.objective,),
        algorithm=Named(search.algorithm.name, search.algorithm.options),
        seed=search.algorithm.seed,
        resource=search.resource,
        budget=search.budget,
        resources=Resources(search.parallel, gpus=arguments.gpus),
        env=arguments.env,
        extra_metrics=search.extra_metrics,
        metric_sources=StudySpec.metric_sources if algo else (Named(EXIT_CODE),),
        stop=StudySpec.stop if algo else (),  # no row has the objective before the end
        notes=tuple(problems.notes),
        dialect=_dialect(top, model, algo, arguments, user),
        submitted_code=_submitted_code(arguments, places["model_dir"]),
        **places,
    )


def training_request(args: str, sig_name: str | None = None) -> dict[str, Any]:
    """The request for one training without a search: what the dialect's clients ask for with the arguments alone."""
    model = {"args": args} if sig_name is None else {"args": args, "sigName": sig_name}
    return {"modelSpec": model, "training": True}


def is_training(data: Any) -> bool:
    """Whether a request, or what is kept of it (`StudySpec.dialect`), is for one training without a search."""
    return isinstance(data, Mapping) and data.get("training") is True


@dataclass(frozen=True)
class _Search:
    """What an algoDef comes to; None: wrong, which is a problem."""

    algorithm: Algorithm | None
    objective: Objective | None
    budget: Budget
    parallel: int
    extra_metrics: dict[str, str]

    @property
    def resource(self) -> Resource | None:
        return self.algorithm.resource if self.algorithm else None


_TRAINING: _Search | None = _Search(Algorithm("grid"), Objective(EXIT_CODE, "minimize"), Budget(1), 1, {})
"""One run, whatever it reports: it is good if its exit code is 0."""


def _search(algo: Fields, plugins: Iterable[str] | None, problems: Problems) -> _Search:
    jobs = algo.limit("maxJobNum", whole=True)
    trials = None if jobs is None else int(jobs)
    algorithm = take_algorithm(algo, trials, plugins, problems)
    minutes = algo.limit("maxRunTime")
    time_s = None if minutes is None else minutes * 60.0
    promotes = algorithm is not None and algorithm.resource is not None  # then a job is a run, see `counts_runs`
    budget = Budget(None, time_s, trials) if promotes else Budget(trials, time_s)
    return _Search(algorithm, _objective(algo), budget, _parallel(algo), _extra_metrics(algo))


def new_name(user: str, now: float, rng: random.Random, kind: str = "hpo") -> str:
    """`<user>-hpo-<digits>`; `now`: UTC seconds."""
    return f"{study_name(user, 'user')[:60]}-{kind}-{int(now * 1000)}{rng.randrange(1000):03d}"


def main_script(document: Document) -> str | None:
    """The script that a request wants to run (--model-main), as it names it; None: it names none."""
    model = document.data.get("modelSpec") if isinstance(document.data, dict) else None
    line = model.get("args") if isinstance(model, dict) else None
    try:
        return read_arguments(line).options.get("--model-main") if isinstance(line, str) else None
    except ValueError:
        return None


def without_secrets(document: Document) -> Any:
    """The data of a request with the passwords of its args hidden; None if there are none."""
    model = document.data.get("modelSpec") if isinstance(document.data, dict) else None
    line = model.get("args") if isinstance(model, dict) else None
    try:
        hidden = read_arguments(line).line if isinstance(line, str) else line
    except ValueError:  # then it is not a study, and nothing is kept
        return None
    return None if hidden == line else {**document.data, "modelSpec": {**(model or {}), "args": hidden}}


def _name(top: Fields) -> str | None:
    """The study's name, which becomes a folder: an hpoName that could not be one is brought into its alphabet."""
    given = top.text("hpoName")
    if not given or study_name_problem(given) is None:
        return given
    name = study_name(given)
    top.note("hpoName", f"{json_text(given)} cannot name a folder; the study is called {name}")
    return name


def _part(top: Fields, name: str, about: str, known: Collection[str], problems: Problems) -> Fields | None:
    """An object of the request, which must be there."""
    value = top.raw(name)
    if isinstance(value, dict):
        return Fields(value, name, problems, known)
    top.wrong(name, f"is missing: {about}" if value is None else f"must be an object, not {json_text(value)}")
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return "user"


def _objective(algo: Fields) -> Objective | None:
    metric = algo.text("objectiveMetric", "a key of val_dict_list.json")
    goal = algo.word("objective", "minimize", "maximize")
    return Objective(metric, goal) if metric and goal else None


def _parallel(algo: Fields) -> int:
    """Trials at a time: the dialect's own misspelling, or one of two others."""
    given = {name: value for name in _PARALLEL if (value := algo.whole(name)) is not None}
    parallel = next(iter(given.values()), 1)
    for name, value in given.items():
        if value != parallel:
            algo.note(name, f"{value} is ignored, since {next(iter(given))} is {parallel}")
    if parallel < 1:
        algo.note(next(iter(given)), f"{parallel} counts as 1")
    return max(1, parallel)


def _extra_metrics(algo: Fields) -> dict[str, str]:
    given = algo.raw("additionalMetrics") or {}
    if not isinstance(given, dict):
        algo.wrong("additionalMetrics", f"must map metrics to minimize, maximize or latest, not {json_text(given)}")
        return {}
    words = {name: str(word).strip().lower() for name, word in given.items()}
    return {name: word if word in ("minimize", "maximize") else "latest" for name, word in words.items()}


def _space(
    top: Fields, algo: Fields | None, resource: Resource | None, problems: Problems
) -> tuple[tuple[Mapping[str, Any], ...], SearchSpace | None]:
    """(fixed experiments, space): of hyperParams or of experiments, whichever the algorithm needs."""
    hyper_params, experiments, fixed = top.list("hyperParams"), top.list("experiments"), _fixed(top)
    grid = algo is not None and is_grid(str(algo.raw("algorithm") or ""))
    if hyper_params and experiments:
        unused = "hyperParams" if grid else "experiments"
        top.wrong(unused, "hyperParams and experiments exclude each other; ExperimentGridSearch takes experiments")
        return (), None
    if grid:
        if not experiments and top.raw("experiments") in (None, []):
            top.wrong("experiments", "is missing: ExperimentGridSearch runs the experiments listed there")
        return take_experiments(experiments, fixed, problems)
    if experiments:
        top.wrong("experiments", "only ExperimentGridSearch takes experiments; give hyperParams")
    elif top.raw("hyperParams") in (None, []) and not fixed:
        top.wrong("hyperParams", "is missing: the parameters to search")
    return (), take_space(hyper_params, fixed, resource.name if resource else None, problems)


def _fixed(top: Fields) -> list[Any]:
    """fixedHyperParams: a list of objects, or an object of names and values."""
    given = top.raw("fixedHyperParams")
    if isinstance(given, dict):
        return [{"name": name, "fixedVal": value} for name, value in given.items()]
    return top.list("fixedHyperParams")


# -- the model -----------------------------------------------------------------------------------------------------


def _arguments(model: Fields, problems: Problems) -> Arguments | None:
    line = model.text("args", 'what to run, as in "--exec-start PyTorch --model-main train.py"')
    try:
        arguments = None if line is None else read_arguments(line)
    except ValueError as error:
        model.wrong("args", str(error))
        return None
    for note in arguments.notes if arguments else ():
        model.note("args", note)
    return arguments


def _places(
    arguments: Arguments, base_dir: str, model_dir: str | None, env: Mapping[str, str], problems: Problems
) -> dict[str, Any]:
    """Command and folders of the study."""
    path = "modelSpec.args"
    main = arguments.options.get("--model-main", "")
    named = arguments.options.get("--model-dir") or "."
    folder = absolute(model_dir) if model_dir else under(base_dir, named)
    wrong = folder_problem(folder)
    if wrong and main and os.path.isfile(absolute(main, base_dir)):  # as it was called where the client ran
        folder, wrong = absolute(base_dir), None
        problems.note(path, f"--model-dir {json_text(named)} does not exist here; the folder of the request is used")
    if wrong:
        problems.add(path, f"--model-dir: {wrong}")
    if not main:
        problems.add(path, "--model-main is missing: the script, relative to --model-dir")
    elif not (script := inside(folder, main)):
        problems.add(path, f"--model-main {json_text(main)} is outside --model-dir")
    elif not wrong and not os.path.isfile(script):
        problems.add(path, f"--model-main: there is no {json_text(main)} in {folder}")
    data_root = under(base_dir, env.get("DLI_DATA_FS") or ".")
    data_dir = inside(data_root, arguments.data_path or ".")
    if data_dir is None:
        problems.add(path, f"data_path {json_text(arguments.data_path)} is outside the data root {data_root}")
    conda = arguments.options.get("--conda-env-name")
    python = conda_python(conda, env) if conda else None
    if conda and python is None:
        problems.note("", f"conda environment {json_text(conda)} was not found; the usual Python runs the script")
    return {
        "command": ("python", *map(literal, (main, *arguments.script))),
        "model_dir": folder,
        "data_root": data_root,
        "data_dir": data_dir,
        "interpreter": python,
    }


def _submitted_code(arguments: Arguments, folder: str) -> str:
    """The name of the model's folder, as scripts look for it."""
    given = os.path.basename(os.path.normpath(arguments.options.get("--model-dir") or "."))
    return given if given not in (".", "..", "/") else os.path.basename(folder) or "model"


def _dialect(top: Fields, model: Fields, algo: Fields | None, arguments: Arguments, user: str) -> dict[str, Any]:
    """What answers give back as it came."""
    options = {k: v for k, v in arguments.options.items() if k not in ("--model-main", "--model-dir")}
    given = {
        "creator": user,
        "args": arguments.line,
        "algorithm": algo.text("algorithm") if algo else None,
        "sigName": model.text("sigName"),
        "options": options,
        "elastic": arguments.elastic,
        "hpoName": top.text("hpoName"),
        "algoDef": algo.data if algo else None,
        "hyperParams": [*top.list("hyperParams"), *_fixed(top)] if algo else None,
        "training": algo is None,
    }
    return {name: value for name, value in given.items() if value and json_problem(value) is None}
