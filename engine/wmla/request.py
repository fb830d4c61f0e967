"""A task specification (hpo_input) -> StudySpec."""

from __future__ import annotations

import getpass
import os
import random
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from engine import foreign
from engine.document import Document
from engine.forms import Problems, folder_problem, is_wmla, study_name, study_name_problem, under
from engine.params import json_text
from engine.paths import absolute
from engine.space import SearchSpace
from engine.study import Budget, Objective, Resources, StudySpec
from engine.wmla.algorithms import is_grid, take_algorithm
from engine.wmla.arguments import Arguments, conda_python, inside, read_arguments
from engine.wmla.fields import Fields
from engine.wmla.parameters import take_experiments, take_space

_TOP = ("hpoName", "modelSpec", "algoDef", "hyperParams", "experiments")
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
    name = top.text("hpoName") or new_name(user, time.time() if now is None else now, rng or random.Random())
    if wrong := study_name_problem(name):
        top.wrong("hpoName", wrong)
    algo = _part(top, "algoDef", "the algorithm, the objective and the limits", _ALGO, problems)
    model = _part(top, "modelSpec", "what to run", _MODEL, problems)
    max_jobs = algo.limit("maxJobNum", whole=True) if algo else None
    trials = None if max_jobs is None else int(max_jobs)
    algorithm = take_algorithm(algo, trials, plugins, problems) if algo else None
    minutes = algo.limit("maxRunTime") if algo else None
    objective = _objective(algo) if algo else None
    parallel = _parallel(algo) if algo else 1
    extra_metrics = _extra_metrics(algo) if algo else {}
    experiments, space = _space(top, str(algo.raw("algorithm") or "") if algo else "", problems)
    arguments = _arguments(model) if model else None
    places = _places(arguments, base_dir, model_dir, env, problems) if arguments else {}
    problems.check()
    assert algo and model and algorithm and objective and space and arguments  # the absence of each is a problem
    return StudySpec(
        name=name,
        space=space,
        objective=objective,
        algorithm=algorithm.name,
        algorithm_options=algorithm.options,
        budget=Budget(trials, None if minutes is None else minutes * 60.0),
        resources=Resources(parallel, gpus=arguments.gpus),
        env=arguments.env,
        resource_name=algorithm.resource_name,
        resource_max=algorithm.resource_max,
        experiments=experiments,
        extra_metrics=extra_metrics,
        seed=algorithm.seed,
        labels=_with_notes(
            _labels(model, algo, arguments, user, env),
            foreign.in_arguments(arguments.script, {p.name for p in space.params}),
        ),
        **places,
    )


def new_name(user: str, now: float, rng: random.Random) -> str:
    """`<user>-hpo-<digits>`; `now`: UTC seconds."""
    return f"{study_name(user, 'user')[:60]}-hpo-{int(now * 1000)}{rng.randrange(1000):03d}"


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
    for name, value in given.items():
        if value < 1:
            algo.wrong(name, f"must be at least 1, not {value}")
    if len(set(given.values())) > 1:
        algo.wrong(list(given)[-1], f"contradicts {list(given)[0]}")
    return next(iter(given.values()), 1)


def _extra_metrics(algo: Fields) -> dict[str, str]:
    given = algo.raw("additionalMetrics") or {}
    if not isinstance(given, dict):
        algo.wrong("additionalMetrics", f"must map metrics to minimize, maximize or latest, not {json_text(given)}")
        return {}
    words = {name: str(word).strip().lower() for name, word in given.items()}
    return {name: word if word in ("minimize", "maximize") else "latest" for name, word in words.items()}


def _space(top: Fields, algorithm: str, problems: Problems) -> tuple[tuple[Mapping[str, Any], ...], SearchSpace | None]:
    """(fixed experiments, space): of hyperParams or of experiments, whichever the algorithm needs."""
    hyper_params, experiments = top.list("hyperParams"), top.list("experiments")
    grid = is_grid(algorithm)
    if hyper_params and experiments:
        unused = "hyperParams" if grid else "experiments"
        top.wrong(unused, "hyperParams and experiments exclude each other; ExperimentGridSearch takes experiments")
        return (), None
    if grid:
        if not experiments and top.raw("experiments") in (None, []):
            top.wrong("experiments", "is missing: ExperimentGridSearch runs the experiments listed there")
        return take_experiments(experiments, problems)
    if experiments:
        top.wrong("experiments", "only ExperimentGridSearch takes experiments; give hyperParams")
    elif top.raw("hyperParams") in (None, []):
        top.wrong("hyperParams", "is missing: the parameters to search")
    return (), take_space(hyper_params, problems)


# -- the model -----------------------------------------------------------------------------------------------------


def _arguments(model: Fields) -> Arguments | None:
    line = model.text("args", 'what to run, as in "--exec-start PyTorch --model-main train.py"')
    try:
        return None if line is None else read_arguments(line)
    except ValueError as error:
        model.wrong("args", str(error))
        return None


def _places(
    arguments: Arguments, base_dir: str, model_dir: str | None, env: Mapping[str, str], problems: Problems
) -> dict[str, Any]:
    """Command and folders of the study."""
    path = "modelSpec.args"
    folder = absolute(model_dir) if model_dir else under(base_dir, arguments.options.get("--model-dir") or ".")
    if wrong := folder_problem(folder):
        problems.add(path, f"--model-dir: {wrong}")
    main = arguments.options.get("--model-main", "")
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
    return {
        "command": ("python", main, *arguments.script),
        "model_dir": folder,
        "data_root": data_root,
        "data_dir": data_dir,
        "interpreter": conda_python(conda, env) if conda else None,
    }


def _with_notes(labels: dict[str, Any], notes: Iterable[str]) -> dict[str, Any]:
    notes = [*labels.get("notes", ()), *(f"modelSpec.args: {note}" for note in notes)]
    return {**labels, "notes": notes} if notes else labels


def _labels(model: Fields, algo: Fields, arguments: Arguments, user: str, env: Mapping[str, str]) -> dict[str, Any]:
    """What answers give back as it came, and notes on what was not followed."""
    labels: dict[str, Any] = {"creator": user, "args": model.text("args"), "algorithm": algo.text("algorithm")}
    if sig_name := model.text("sigName"):
        labels["sigName"] = sig_name
    kept = {name: value for name, value in arguments.options.items() if name not in ("--model-main", "--model-dir")}
    if kept:
        labels["options"] = kept
    conda = arguments.options.get("--conda-env-name")
    if conda and conda_python(conda, env) is None:
        labels["notes"] = [f"conda environment {json_text(conda)} was not found; the usual Python runs the script"]
    return labels
