"""`replay`: trains the schedule of a trial anew, as a study of its own."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hpo_engine.cli.common import find, json_option, note, read_history, root_option, study_argument, trial_of
from hpo_engine.errors import SpecError, StudyExists

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec
    from hpo_engine.study.trial import Trial


@click.command()
@study_argument
@click.argument("trial", type=int)
@root_option
@click.option("--name", metavar="N", help="Name of the new study [STUDY-replay-TRIAL].")
@click.option("--detach", is_flag=True, help="Run in the background; see `watch`, `stop`.")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="Only the result.")
def replay(study: str, trial: int, root: str | None, name: str | None, detach: bool, as_json: bool, quiet: bool) -> int:
    """Train the schedule of a TRIAL of STUDY anew, from the beginning.

    The runs that led to the trial, in this trial and in those it started from, are done again one after the other, each
    with its values, as one trial of a new study. STUDY is left as it is. Called again, it continues.
    """
    from hpo_engine.cli.start import run_study
    from hpo_engine.contract.paths import StudyPaths, is_study

    paths = find(study, root)
    history = read_history(paths)
    found = trial_of(history, trial)
    spec = _spec(history, found, paths, name)
    target = StudyPaths(os.path.join(os.path.dirname(paths.root), spec.name))
    if not is_study(target):
        _make(spec, target, as_json=as_json, quiet=quiet)
    elif read_history(target).spec.algorithm != spec.algorithm:
        raise StudyExists(f"{target.root} is another study; choose another --name")
    code = run_study(target, detach=detach, as_json=as_json, quiet=quiet)
    if not (detach or as_json):
        _compare(history, found, target)
    return code


VERBS = (replay,)


def _spec(history: History, trial: Trial, paths: StudyPaths, name: str | None) -> StudySpec:
    """The study that replays a trial. Raises SpecError."""
    from hpo_engine.study.lineage import schedule
    from hpo_engine.study.spec import GUARDS, Budget, Named
    from hpo_engine.studyfile.common import study_name_problem

    old = history.spec
    name = name or f"{old.name}-replay-{trial.id}"
    if problem := study_name_problem(name):
        raise SpecError(f"--name: {problem}")
    if old.resource is None:
        raise SpecError(f"{old.name} has no resource, so its trials have no schedule")
    runs = [run for run in schedule(history, trial) if run.losses]
    if not runs:
        raise SpecError(f"trial {trial.id} of {old.name} has no result yet: there is no schedule to replay")
    segments = [{"to": run.end, "params": dict(run.params)} for run in runs]
    return replace(
        old, name=name, model_dir=paths.model, algorithm=Named("schedule", {"segments": segments}),
        budget=Budget(trials=1), resources=replace(old.resources, parallel=1), stop=GUARDS, points=(), warm_start=(),
        prior=(), notes=(), linked=(),
    )  # fmt: skip


def _make(spec: StudySpec, paths: StudyPaths, *, as_json: bool, quiet: bool) -> None:
    from hpo_engine import assembly, studies
    from hpo_engine.studyfile.document.yamltext import dump
    from hpo_engine.studyfile.native import to_native

    if os.path.lexists(paths.root):
        raise StudyExists(f"{paths.root} exists and is not a study; choose another --name")
    files = assembly.metric_files(spec)
    studies.create(spec, dump(to_native(spec)), os.path.dirname(paths.root), time.time(), note, metric_files=files)
    if not quiet and (plan := assembly.plan(spec)):
        click.echo(f"plan: {plan}", err=as_json)


def _compare(history: History, trial: Trial, paths: StudyPaths) -> None:
    """One line that sets the result of the replay beside that of the trial."""
    from hpo_engine.text.tables import number, safe_text

    again = read_history(paths)
    if again.best is None:
        return
    aims, of = history.spec.objectives, again.best
    pairs = zip(aims, history.values(trial), again.values(of), strict=True)
    text = ", ".join(
        f"{safe_text(aim.metric)} {number(new)} (trial {trial.id}: {number(old)})" for aim, old, new in pairs
    )
    name = history.spec.resource.name if history.spec.resource else ""
    click.echo(f"replayed with {safe_text(name)} {of.trained}: {text}")
