"""`tune`: a study of a Python function, by processes and folders as any other study."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine import studies
from hpo_engine.api.packing.calling import RESUME_PARAMETER, calling
from hpo_engine.api.packing.script import SCRIPT, is_same, write_script
from hpo_engine.api.running import read_study, refuse_in_trial, studies_folder, submitted
from hpo_engine.api.study import Study
from hpo_engine.contract.paths import StudyPaths, is_below
from hpo_engine.errors import SpecError

if TYPE_CHECKING:
    from hpo_engine.api.space import Space
    from hpo_engine.study.spec import StudySpec

_OWN = ("command", "model_dir", "interpreter", "base_config", "files", "params_env")  # of a study file


def tune(
    function: Callable[..., Any],
    space: Space | Mapping[str, Any] | None = None,
    *,
    objective: str | Mapping[str, Any] | Sequence[Any] = "minimize loss",
    trials: int | None = None,
    parallel: int | None = None,
    algorithm: str | None = None,
    seed: int | None = None,
    stop: str | Mapping[str, Any] | Sequence[Any] | None = None,
    resource: Mapping[str, Any] | None = None,
    trial: Mapping[str, Any] | None = None,
    name: str | None = None,
    folder: str | os.PathLike[str] | None = ".",
    root: str | os.PathLike[str] | None = None,
    restart: bool = False,
    wait: bool = True,
    quiet: bool = False,
    **fields: Any,
) -> Study:
    """Finds good parameters of a training function, or continues the study of it that exists.

        def train(lr, layers):
            for epoch in range(10):
                loss = ...
                hpo.report(step=epoch, loss=loss)

        study = hpo.tune(train, {"lr": hpo.float(1e-4, 0.1, log=True), "layers": hpo.int(1, 5)}, trials=30)

    Each trial is a process of its own with a folder of its own, as for a script: reports are seen while it trains,
    rules may end it early, what it prints is in its output.log, and an exception is the failure of the trial alone. The
    study's folder has all that is needed, so `Study.resume` continues it when this process has gone.

    Args:
        function: anything that can be called. It gets parameters by their names if its signature has them, and all of
            them as one mapping if it has a single parameter with another name; one called `resume_from` gets the path
            of the checkpoint from which a trial goes on, or None. It reports by `hpo.report`, or returns a number (the
            objective), a mapping of metrics, or as many numbers as there are objectives; a generator may yield these.
            What it uses of a notebook or of `__main__` goes along by value, modules are imported in the trial.
        space: a Space, or entries by name; None: `experiments` says what to run.
        objective: as in a study file; several are a list.
        trials, parallel, algorithm, seed, stop, resource, trial: as in a study file; None: its default.
        name: of the study; None: the function's.
        folder: what a trial sees in its working directory, as with a script's folder; None: nothing.
        root: the folder of the studies; None: $HPO_ENGINE_ROOT, else ./hpo-runs.
        restart: remove an earlier study of this name, with its trials, and begin anew.
        wait, quiet: as for `run`.
        **fields: other fields of a study file, such as metrics, early_stopping, options, points, require, time_limit.

    Raises:
        SpecError: with every problem of the study; what keeps the function from being pickled; parameters that it does
            not take. StudyExists: another study has its name. Else as `run`.
    """
    _refuse(function, fields)
    title = _title(function)
    document: dict[str, Any] = {"objectives" if _are_several(objective) else "objective": objective}
    given: dict[str, Any] = {
        "trials": trials,
        "parallel": parallel,
        "algorithm": algorithm,
        "stop": stop,
        "resource": resource,
    }
    given |= {"trial": trial, "space": space, **fields}
    document |= {key: value for key, value in given.items() if value is not None}
    document |= {"name": name or _study_name(title), "command": f"python {SCRIPT}"}
    if seed is not None:
        document["options"] = {**document.get("options", {}), "seed": seed}
    document["model_dir"] = model_dir = _model_dir(folder)
    spec, source = read_study(document)
    called = calling(function, _keys(spec), title)
    if called.resumes and "resume_key" not in document:
        spec, source = read_study({**document, "resume_key": RESUME_PARAMETER})
    where = studies_folder(root)
    if restart:
        _remove(where, spec.name)
    with studies.scratch(where) as scratch:
        write_script(scratch, function, title, called, [aim.metric for aim in spec.objectives], model_dir)

        def edited(paths: StudyPaths) -> list[str]:
            return [] if is_same(scratch, paths.model) else [title]

        limits = {"trials": trials, "runs": document.get("runs"), "parallel": parallel}
        script = studies.Script(scratch, _not_for_trials(model_dir))
        return submitted(spec, source, where, limits, wait=wait, quiet=quiet, script=script, edited=edited)


def _refuse(function: Any, fields: Mapping[str, Any]) -> None:
    from hpo_trainees.function import is_loading

    refuse_in_trial()
    if is_loading():
        raise SpecError("tune was called while a trial loads its function")
    if not callable(function):
        raise SpecError(f"tune takes a function, not {type(function).__name__}; a script is run by hpo.run")
    if own := [key for key in _OWN if key in fields]:
        raise SpecError(f"{own[0]} is for scripts, and tune takes a function; see hpo.run")


def _title(function: Any) -> str:
    """What people call it."""
    while not hasattr(function, "__name__") and hasattr(function, "func"):  # a partial
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _study_name(title: str) -> str:
    from hpo_engine.studyfile.common import study_name_problem

    return title if study_name_problem(title) is None else "function"


def _are_several(objective: Any) -> bool:
    return isinstance(objective, Sequence) and not isinstance(objective, str)


def _keys(spec: StudySpec) -> list[str]:
    """Of config.json."""
    resource = [spec.resource.name] if spec.resource is not None else []
    return [*spec.space.names, *resource]


def _model_dir(folder: str | os.PathLike[str] | None) -> str:
    """`folder` as an absolute path; an empty folder for None, and for one that is nobody's project."""
    if folder is not None:
        path = os.path.abspath(os.fspath(folder))
        nobodys = (os.sep, os.path.expanduser("~"), tempfile.gettempdir())
        if os.path.realpath(path) not in map(os.path.realpath, nobodys):
            return path
    empty = os.path.join(tempfile.gettempdir(), f"hpo-engine-empty-{os.getuid()}")  # the same for the same study
    os.makedirs(empty, exist_ok=True)
    return empty


def _not_for_trials(folder: str) -> list[str]:
    """Patterns of what is edited while a study runs, and travels by value: notebooks, and the program that runs."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    own = [f"/{os.path.relpath(main, folder)}"] if main and is_below(os.path.abspath(main), folder) else []
    return ["*.ipynb", *own]


def _remove(where: str, name: str) -> None:
    paths = StudyPaths(os.path.join(where, name))
    if os.path.lexists(paths.root):
        studies.remove(paths)
