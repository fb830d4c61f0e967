"""The native study file -> StudySpec: the fields, then the checks that need the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from hpo_engine.contract.binding import reserved
from hpo_engine.contract.paths import absolute
from hpo_engine.plugins.registry import Registry
from hpo_engine.space.params import json_text
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Resource, Resources, StudySpec
from hpo_engine.studyfile import foreign
from hpo_engine.studyfile.common import (
    Problems,
    base_config_problem,
    default_name,
    env_problem,
    folder_problem,
    read_base_config,
    script_problem,
    study_name_problem,
    under,
)
from hpo_engine.studyfile.document import Document, read_document, read_text
from hpo_engine.studyfile.native import chosen, placed, slips
from hpo_engine.studyfile.native.files import script_files
from hpo_engine.studyfile.native.findings import sound_form
from hpo_engine.studyfile.native.form import StudyForm
from hpo_engine.studyfile.native.space import read_space, short_steps

DEFAULT_TRIALS = 20


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
    model_dir: str | None = None,
    algorithms: Iterable[str] | None = None,
    registries: Mapping[str, Registry] | None = None,
    name: str | None = None,
) -> StudySpec:
    """As `parse`, of a document that was read already; `registries`: see `chosen.by_name`; `model_dir`: in place of the
    document's."""
    problems, data = Problems(document), document.data
    if not isinstance(data, dict):
        problems.add("", f"must be a mapping of fields (command, objective, space, ...), not {json_text(data)}")
        problems.check()
    form, failed = sound_form(data, problems)
    searched = read_space(form, given="space" in data, sound="experiments" not in failed, problems=problems)
    paths = _paths(form, failed, base_dir, model_dir or under(base_dir, form.model_dir), problems)
    algorithm, seed = chosen.algorithm(form, base_dir, algorithms, problems)
    _check_fields(form, data, name, problems)
    objectives = _objectives(form, data, problems)
    notes = _foreign(form, data, failed, paths["model_dir"], problems)
    params = searched.space.params if searched.space is not None else ()
    files = script_files(form, placed.names(form), params, paths["model_dir"], problems)
    unplaced = placed.check(form, params, files, failed, problems)
    by_name = chosen.by_name(form, base_dir, paths["model_dir"], registries or {}, problems)
    problems.check()
    assert searched.space is not None  # its absence is a problem
    spec = StudySpec(
        name=form.name or name or default_name(document.file, base_dir),
        space=searched.space,
        experiments=searched.experiments,
        points=searched.points,
        spellings=searched.spellings,
        was=searched.was,
        files=files,
        objectives=objectives,
        algorithm=algorithm,
        isolation=chosen.isolation(form),
        seed=seed,
        warm_start=tuple(under(base_dir, name) if os.sep in name else name for name in form.warm_start),
        **_plain_fields(form, algorithm.name),
        **by_name,
        **paths,
    )
    doubts = filter(None, map(slips.doubtful_exponents, spec.space.params))
    return spec.noted(*problems.notes, *notes, *unplaced, *short_steps(spec.space), *doubts)


def _plain_fields(form: StudyForm, algorithm: str) -> dict[str, Any]:
    """The fields that are taken as they are."""
    trials = form.trials if {"trials", "runs"} & form.model_fields_set or algorithm == "grid" else DEFAULT_TRIALS
    return {
        "command": tuple(form.command),
        "exclude": tuple(form.exclude),
        "resource": Resource(**form.resource.model_dump()) if form.resource else None,
        "resume_key": form.resume_key,
        "checkpoints": form.checkpoints.checkpoints(),
        "budget": Budget(trials, form.time_limit, form.runs),
        "resources": Resources(form.parallel, form.trial.cpus, form.trial.gpus),
        "trial": form.trial.policy(),
        "env": form.env,
        "params_env": form.params_env,
        "extra_metrics": form.metrics,
        "dialect": form.dialect,
        "submitted_code": form.submitted_code,
    }


def _check_fields(form: StudyForm, data: Mapping[str, Any], name: str | None, problems: Problems) -> None:
    """Checks that concern several fields."""
    if form.resource and form.resource.min > form.resource.max:
        problems.add("resource.min", f"must be at most the max, which is {form.resource.max}, not {form.resource.min}")
    _check_checkpoints(form, problems)
    for variable in data["env"] if isinstance(data.get("env"), dict) else ():
        if wrong := env_problem(variable) or reserved(variable):
            problems.add(f"env.{variable}", wrong)
    if not form.name and name and (wrong := study_name_problem(name)):
        problems.add("name", wrong)


def _check_checkpoints(form: StudyForm, problems: Problems) -> None:
    key, found = form.resume_key, form.checkpoints
    if key is not None and key in placed.names(form):
        problems.add("resume_key", f"is the name of a parameter or of the resource: {json_text(key)}; choose another")
    if found.keep == "promotable" and found.disk is None:
        problems.add("checkpoints.keep", "deletes nothing without a limit; add one, as in disk: 20GB")
    if found.keep == "all" and found.disk is not None:
        problems.add("checkpoints.disk", "has no effect with keep: all; write keep: promotable, or leave disk out")


def _paths(form: StudyForm, failed: set[str], base_dir: str, model_dir: str, problems: Problems) -> dict[str, Any]:
    """The fields of a StudySpec that are paths, absolute; checked against the disk."""
    if wrong := folder_problem(model_dir):
        problems.add("model_dir", wrong)
    elif (
        "command" not in failed
        and "{" not in form.command[0]
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
        with problems.collected():
            read_base_config(base_config)
    if form.exclude:
        from hpo_engine.contract.snapshot.ignore import Patterns

        with problems.collected():
            Patterns(form.exclude)
    return {
        "model_dir": model_dir,
        "base_config": base_config and os.path.relpath(base_config, model_dir),
        "data_dir": data_dir,
        "data_root": data_root,
        "interpreter": interpreter,
    }


def _foreign(
    form: StudyForm, data: Mapping[str, Any], failed: set[str], folder: str, problems: Problems
) -> tuple[str, ...]:
    """Notes on words that are meant for a shell or for another tool; those that cannot be meant here are problems."""
    names = placed.names(form)
    notes = foreign.in_environment(form.env, names)
    if failed & {"command", "space", "experiments"}:
        return notes
    found = foreign.in_command(data["command"] if isinstance(data["command"], str) else form.command, names, folder)
    for text in found.problems:
        problems.add("command", text)
    return (*found.notes, *notes)


def _objectives(form: StudyForm, data: Mapping[str, Any], problems: Problems) -> tuple[Objective, ...]:
    """The objective, or all of them; empty if something is wrong with them."""
    given = [name for name in ("objective", "objectives") if data.get(name) is not None]
    if len(given) > 1:
        problems.add("objectives", "cannot be combined with objective; list all of them here")
    if not given:
        problems.add("objective", f"is missing: {StudyForm.model_fields['objective'].description}")
    if form.objective is not None:
        return (form.objective.objective("best"),)
    objectives = tuple(o.objective("last") for o in form.objectives or ())
    for i, one in enumerate(objectives):
        if one.metric in [a.metric for a in objectives[:i]]:
            problems.add(f"objectives[{i}]", f"{json_text(one.metric)} is already listed")
    if len(best := [i for i, one in enumerate(objectives) if one.over == "best"]) > 1:
        why = "a trial counts by one report, and only one objective can say which"
        problems.add(f"objectives[{best[1]}].over", f"{why}; leave over: best to one of them")
    return objectives
