"""A study that is submitted: its limits from outside the file, its folder, and whether anything is left to run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import SpecError, StudyExists

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.studies import Script
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

Say = Callable[[str], None]
"""Called with one-line notices for the user."""


def overridden(
    spec: StudySpec, name: str | None, given: Mapping[str, int | None], seed: int | None, *, option: str = "--name"
) -> StudySpec:
    """The study with what was given beside its file.

    Args:
        given: trials, runs, parallel (None: not given). option: what messages call the name.

    Raises:
        SpecError: the name cannot name a study.
    """
    from hpo_engine.studyfile.common import study_name_problem

    if name is not None:
        if problem := study_name_problem(name):
            raise SpecError(f"{option}: {problem}")
        spec = replace(spec, name=name)
    limits = {k: v for k, v in given.items() if k != "parallel" and v is not None}
    if spec.counts_runs and "trials" in limits:
        limits = {"runs": limits.pop("trials"), **limits}
    spec = replace(spec, budget=replace(spec.budget, **limits))
    if (parallel := given["parallel"]) is not None:
        spec = replace(spec, resources=replace(spec.resources, parallel=parallel))
    return spec if seed is None else replace(spec, seed=seed)


def created(
    spec: StudySpec,
    source: str,
    paths: StudyPaths,
    say: Say,
    *,
    script: Script | None = None,
    passing: bool = False,
    now: float | None = None,
) -> bool:
    """Makes the study's folder, with notes on it; False: something with its name exists already.

    Args:
        script, passing: as `studies.create` takes them. now: when the study was submitted (UTC seconds; None: now).
    """
    from hpo_engine import assembly, studies

    if os.path.lexists(paths.root):
        return False
    folder = os.path.dirname(paths.root)
    try:
        if spec.warm_start:  # read now and kept, so that the same file finds its study again
            spec, notes = studies.with_prior(spec, folder)
            for text in notes:
                say(text)
        files = assembly.metric_files(spec)
        now = time.time() if now is None else now
        studies.create(spec, source, folder, now, say, metric_files=files, script=script, passing=passing)
    except StudyExists:  # another submit was quicker
        return False
    for text in assembly.warnings(spec):
        say(text)
    return True


def continued(
    spec: StudySpec, paths: StudyPaths, given: Mapping[str, int | None], edited: Sequence[str] = ()
) -> tuple[History, dict[str, Any]]:
    """The study that exists under the name of one that is submitted, and the new limits that this brings.

    Args:
        given: as `overridden` takes them. edited: what has changed besides files of the script's folder.

    Raises:
        StudyExists: it is another study, or not a study; or its script was changed, and has failed so far.
        SpecError: a new limit is below what the study has had. JournalError.
    """
    from hpo_engine import studies
    from hpo_engine.contract.paths import is_study
    from hpo_engine.control.changes import changed_limits, refuse_old_failures
    from hpo_engine.store.lock import who_leads

    if not is_study(paths):
        raise StudyExists(f"{paths.root} exists and is not a study; choose another --name")
    history = studies.read(paths)
    changes = changed_limits(history, spec, given, paths)
    if who_leads(paths.lock) is None and not complete(history, changes):
        refuse_old_failures(paths, history, edited)
    return history, changes


def complete(history: History, changes: Mapping[str, Any]) -> bool:
    """Whether there is nothing left to run, as far as the log says."""
    return history.state.value in ("finished", "failed") and not changes and not history.revised


def over(paths: StudyPaths, history: History, changes: Mapping[str, Any]) -> bool:
    """Whether an engine would have nothing to do: none runs the study, it is complete, and trackers have sent all."""
    from hpo_engine.store.lock import who_leads

    done = complete(history, changes) and not os.path.exists(paths.unsent)
    return done and who_leads(paths.lock) is None and _whole(paths, history)


def _whole(paths: StudyPaths, history: History) -> bool:
    """False if this study is a copy, and a trial has ended only in the original."""
    from hpo_engine.contract.paths import identity

    if history.folder in ((), identity(paths.root)):
        return True
    from hpo_engine.executors.local import origin

    return origin.whole(paths)
