"""`run`: a study from Python, checked as `submit` checks it, by an engine in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hpo_engine.api.any_study import AnyStudy, show
from hpo_engine.api.engine import started
from hpo_engine.api.study import Study
from hpo_engine.errors import Problem, SpecError
from hpo_engine.study.spec import StudySpec

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.studies import Script


def run(
    study: str | os.PathLike[str] | Mapping[str, Any] | StudySpec,
    *,
    root: str | os.PathLike[str] | None = None,
    server: str | None = None,
    wait: bool = True,
    quiet: bool = False,
    name: str | None = None,
    trials: int | None = None,
    runs: int | None = None,
    parallel: int | None = None,
    seed: int | None = None,
) -> AnyStudy:
    """Runs a study, or continues it if it exists, as `hpo-engine submit`.

        study = hpo.run("algo.yaml")
        study = hpo.run({"command": "python train.py", "objective": "minimize loss", "space": hpo.Space(...)})

    The engine is a process of its own: the study goes on if this process ends. Ctrl-C while it waits stops the study,
    so that it can be resumed; pressed again, it kills the trials.

    Args:
        study: the path of a study file (native or of WMLA), a mapping with the fields of one, whose paths are relative
            to the current folder, or a StudySpec.
        root: the folder of the studies; None: $HPO_ENGINE_ROOT, else ./hpo-runs.
        server: runs it there: the address of a server, or the host of one that `hpo-engine login` knows. The script's
            folder is sent with it.
        wait: return when the study has ended; False: when its engine runs (at a server: when it is taken in).
        quiet: show no progress.
        name, trials, runs, parallel, seed: in place of what the study file says, as the options of `submit`.

    Raises:
        SpecError: with every problem of the study file. StudyExists: another study has its name. StudyLocked: it runs
        already, and its limits cannot be changed. EngineError: its engine could not run it to its end.
    """
    from hpo_engine.control.submitting import overridden

    refuse_in_trial()
    spec, source = read_study(study)
    given = {"trials": _limit("trials", trials), "runs": _limit("runs", runs), "parallel": _limit("parallel", parallel)}
    seed = _limit("seed", seed, least=0)
    spec = overridden(spec, name, given, seed, option="name")
    if server is not None:
        return _at_server(server, root, study, spec, source, given, seed, wait=wait, quiet=quiet)
    return submitted(spec, source, studies_folder(root), given, wait=wait, quiet=quiet)


def _at_server(
    server: str, root: Any, study: Any, spec: StudySpec, source: str, given: Mapping[str, int | None],
    seed: int | None, *, wait: bool, quiet: bool,
) -> AnyStudy:  # fmt: skip
    """Submits the study there; one that exists goes on."""
    from hpo_engine.api.remote import RemoteStudy, sent
    from hpo_engine.errors import StudyNotFound
    from hpo_engine.studyfile.document import read_text

    if root is not None:
        raise SpecError("name a root or a server, not both")
    try:
        found = RemoteStudy.at(server, spec.name)
    except StudyNotFound:
        is_file = isinstance(study, str | os.PathLike)
        text, file = (read_text(os.fspath(study)), os.fspath(study)) if is_file else (source, "")
        for line in spec.notes:
            show(line)
        found = sent(server, spec, text, file, given, seed)
        return found.follow(quiet=quiet) if wait else found
    return found.continued(spec, given, wait=wait, quiet=quiet)


def submitted(
    spec: StudySpec,
    source: str,
    folder: str,
    given: Mapping[str, int | None],
    *,
    wait: bool,
    quiet: bool,
    script: Script | None = None,
    edited: Callable[[StudyPaths], list[str]] = lambda paths: [],
) -> Study:
    """Makes the study in `folder`, or finds it there, and runs it.

    Args:
        given: as `overridden` takes them. script: of a study that brings its own.
        edited: what of that is not as the study that exists has it, in words.
    """
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.control.changes import note_changed_files
    from hpo_engine.control.submitting import continued, created, over
    from hpo_engine.executors.local.processes import need_proc

    need_proc()
    for text in spec.notes:
        show(text)
    paths = StudyPaths(os.path.join(folder, spec.name))
    if created(spec, source, paths, show, script=script):
        made = Study(paths)
        started(made, paths, made.history, {}, wait=wait, quiet=quiet)
        return made
    changed = edited(paths)
    history, changes = continued(spec, paths, given, changed)
    note_changed_files(paths, history, show, changed)
    found = Study(paths)
    if not over(paths, history, changes):
        started(found, paths, history, changes, wait=wait, quiet=quiet)
    return found


def read_study(study: Any) -> tuple[StudySpec, str]:
    """The study, and the text that is kept with it."""
    from hpo_engine import assembly

    if isinstance(study, (str, os.PathLike)):
        return assembly.load_spec(os.fspath(study), os.environ)
    if isinstance(study, StudySpec):
        from hpo_engine.studyfile.native import to_native

        return _of_mapping(to_native(study))
    if isinstance(study, Mapping):
        return _of_mapping(study)
    raise SpecError(f"a study is a path, a mapping or a StudySpec, not {type(study).__name__}")


def _of_mapping(fields: Mapping[str, Any]) -> tuple[StudySpec, str]:
    from hpo_engine import assembly
    from hpo_engine.space.params import json_problem
    from hpo_engine.studyfile import document
    from hpo_engine.studyfile.common import default_name, is_wmla

    data = _as_document(fields)
    if not is_wmla(data) and data.get("name") is None:
        data = {"name": default_name("algo.yaml", os.getcwd()), **data}
    if wrong := [Problem(str(name), text) for name, value in data.items() if (text := json_problem(value))]:
        raise SpecError(wrong)
    text = document.dump(data)
    try:
        return assembly.spec_of(document.read_document(text, ""), text, os.getcwd(), os.environ)
    except SpecError as error:
        raise SpecError([Problem(p.path, p.text) for p in error.problems]) from None


def _as_document(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as a study file has them."""
    from hpo_engine.api.space import Entry, Space
    from hpo_engine.space.params import plain

    data = dict(fields)
    space = data.get("space")
    if isinstance(space, Space):
        data["space"] = space.to_dict()
        if space.require:
            data["require"] = [*space.require, *_listed(data.get("require"))]
    elif isinstance(space, Mapping):
        data["space"] = {name: value.document if isinstance(value, Entry) else value for name, value in space.items()}
    return {name: plain(os.fspath(value) if isinstance(value, os.PathLike) else value) for name, value in data.items()}


def _listed(rules: Any) -> list[Any]:
    return [] if rules is None else [rules] if isinstance(rules, str) else list(rules)


def studies_folder(root: str | os.PathLike[str] | None) -> str:
    """The folder of the studies, as `run` takes it."""
    from hpo_engine.contract.paths import runs_root

    return runs_root(None if root is None else os.fspath(root), os.environ)


def _limit(name: str, value: Any, least: int = 1) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        return value
    raise SpecError([Problem(name, f"must be a whole number of at least {least}, not {value!r}")])


def refuse_in_trial() -> None:
    """A script that submits a study when it is run would do so in each of its own trials."""
    if os.environ.get("HPO_ATTEMPT"):
        trial = os.environ.get("TRAINING_ID", "")
        raise SpecError(
            f"this process is a trial of a study itself ({trial}); a trial cannot run studies. If the study's command "
            'runs the script that calls run, put that call under if __name__ == "__main__" in a file of its own'
        )
