"""What to do about a study without any value, if the last failure suggests something.

Reads the trial's folder and the script's; changes nothing there.
"""

from __future__ import annotations

import os
import re

from hpo_engine.contract.paths import RESULT, StudyPaths, is_below
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.text.quoting import quoted

_FAILED = (TrialState.FAILED, TrialState.TIMED_OUT)
_QUOTED = re.compile(r"'([^'\n]{1,500})'|\"([^\"\n]{1,500})\"")
_BEFORE_COLON = re.compile(r"([^\s:'\"]{1,500})['\"]?: (?:No such|Read-only|Permission)")


def remedy(history: History, folder: str) -> str:
    """One line; "" if a trial has a value, or if there is no advice. `folder`: the study's ("": unknown)."""
    failed = [t for t in history.trials if t.state in _FAILED]
    if not failed or TrialState.COMPLETED in history.counts:
        return ""
    last, spec = failed[-1], history.spec
    if all(t.state is TrialState.TIMED_OUT for t in failed):
        return _more_time(spec, failed)
    if f"wrote no {RESULT}" in last.reason:
        return _reporting(spec)
    if not folder:
        return ""
    if "Read-only file system" in last.reason or "Permission denied" in last.reason:
        return _read_only(last, spec, StudyPaths(folder))
    return _relative(last, spec, folder) if "No such file" in last.reason else ""


def _more_time(spec: StudySpec, failed: list[Trial]) -> str:
    keep = spec.trial.on_time_limit != "keep" and any(t.rows for t in failed)
    also = ", or on_time_limit: keep, with which the rows that they had reported count" if keep else ""
    return f"no trial ended within its time limit; in the study file, trial takes a larger time_limit{also}"


def _reporting(spec: StudySpec) -> str:
    metric = spec.objectives[0].metric
    call = f"report(step=1, {metric}=...)" if metric.isidentifier() else f"report(step=1, **{{{quoted(metric)}: ...}})"
    return (
        f"the script has to report its metrics: {call} of hpo_trainees.report, ReportCallback of "
        f"hpo_trainees.lightning, "
        f"or a {RESULT} that it writes itself; see docs/contract.md"
    )


def _read_only(trial: Trial, spec: StudySpec, paths: StudyPaths) -> str:
    """For a file that is a read-only link into the study's copy."""
    for name in _names(trial.reason):
        path = os.path.join(paths.trial(trial.id).result_dir, name)
        target = os.path.realpath(path)
        if os.path.islink(path) and any(is_below(target, os.path.realpath(d)) for d in (paths.model, spec.model_dir)):
            return (
                f"{name} is a read-only link to the study's copy, as files above 1 MiB are: let the script copy it "
                "and change that copy, or write to another file"
            )
    return ""


def _relative(trial: Trial, spec: StudySpec, folder: str) -> str:
    """For a file that is missing from the trial's working directory, but exists where the script used to run."""
    where = f"trials run in their own copy of model_dir ({spec.model_dir})"
    for name in _names(trial.reason):
        if os.path.isabs(name):
            continue
        for start in (os.path.dirname(spec.model_dir), os.getcwd()):
            there = os.path.normpath(os.path.join(start, name))
            if is_below(there, spec.model_dir) or is_below(there, folder) or not os.path.exists(there):
                continue
            above = start != spec.model_dir and is_below(spec.model_dir, start)
            up = f"model_dir: {start} (with the script's path from there in command), " if above else ""
            return f"{where}, and {name} is outside it, in {start}: use {up}an absolute path, or data_dir and $DATA_DIR"
    return ""


def _names(reason: str) -> list[str]:
    """The parts of a reason that may be file names."""
    return [a or b for a, b in _QUOTED.findall(reason)] + _BEFORE_COLON.findall(reason)
