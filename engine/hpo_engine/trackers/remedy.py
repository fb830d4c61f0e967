"""What to do about a study without any value, if the last failure suggests something.

Reads the trial's folder, the script's folder and the study file; changes nothing there.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from hpo_engine.contract import binding
from hpo_engine.contract.paths import CONFIG, RESULT, StudyPaths, is_below
from hpo_engine.contract.placing import filled_command
from hpo_engine.contract.sources.nearby import nearest_metric
from hpo_engine.errors import SpecError
from hpo_engine.reports.ranking import whole
from hpo_engine.stoppers.misnamed import metrics_of
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import FailureKind, Trial, TrialState
from hpo_engine.text.quoting import listed, quoted, shortened

_FAILED = (TrialState.FAILED, TrialState.TIMED_OUT)
_SHOWN = 6  # names in one line
_COMMAND = 1000  # characters of a command in a line
_QUOTED = re.compile(r"'([^'\n]{1,500})'|\"([^\"\n]{1,500})\"")
_BEFORE_COLON = re.compile(r"([^\s:'\"]{1,500})['\"]?: (?:No such|Read-only|Permission)")
_NO_MODULE = re.compile(r"No module named '([\w.]{1,200})'")
_NO_KEY = re.compile(r"KeyError: '([^']{1,200})'")
_LACKING = re.compile(r": error: (?:the following arguments are required|unrecognized arguments)")
_ARGUMENTS = re.compile(_LACKING.pattern + "|: error: argument ")
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


@dataclass(frozen=True)
class _Case:
    """A study without a value. `failed`: its failed trials, oldest first. `folder`: the study's ("": unknown)."""

    history: History
    failed: tuple[Trial, ...]
    folder: str

    @property
    def spec(self) -> StudySpec:
        return self.history.spec

    @property
    def last(self) -> Trial:
        return self.failed[-1]


def remedy(history: History, folder: str) -> str:
    """One line; "" if a trial has a value, or if there is no advice. `folder`: the study's ("": unknown)."""
    failed = tuple(t for t in history.trials if t.state in _FAILED)
    if not failed or TrialState.COMPLETED in history.counts:
        return ""
    case = _Case(history, failed, folder)
    return next(filter(None, (rule(case) for rule in _RULES)), "")


def wrong_metric(history: History, folder: str) -> bool:
    """Whether the remedy is another name of the objective: then it says all that the trials' reasons say."""
    failed = tuple(t for t in history.trials if t.state in _FAILED)
    if not failed or TrialState.COMPLETED in history.counts:
        return False
    case = _Case(history, failed, folder)
    return bool(_other_metric(case)) and remedy(history, folder) == _other_metric(case)


def _more_time(case: _Case) -> str:
    if any(t.state is not TrialState.TIMED_OUT for t in case.failed):
        return ""
    keep = case.spec.trial.on_time_limit != "keep" and any(t.rows for t in case.failed)
    also = ", or on_time_limit: keep, so that the rows reported until then count" if keep else ""
    return f"no trial ended within its time limit; in the study file, give trial a larger time_limit{also}"


def _reporting(case: _Case) -> str:
    if f"wrote no {RESULT}" not in case.last.reason and f"{RESULT} is not JSON" not in case.last.reason:
        return ""
    metric = case.spec.objectives[0].metric
    call = f"report(step=1, {metric}=...)" if metric.isidentifier() else f"report(step=1, **{{{quoted(metric)}: ...}})"
    printed = f"print them, as in {metric}=0.31; or " if "stdout" in case.last.reason else ""  # it was looked at
    return (
        f"the script has to report its metrics: {printed}{call} of hpo_trainees.report, ReportCallback of "
        f"hpo_trainees.lightning, or a {RESULT} that it writes itself; or the study file says where its metrics are, "
        "as in results: stdout; see docs/contract.md"
    )


def _other_metric(case: _Case) -> str:
    """For an objective that no trial reports: the line that names it, and what the trials report instead."""
    reported = metrics_of(row for trial in case.history.trials for row in trial.rows)
    lacking = [o for o in case.spec.objectives if o.metric not in reported]
    if not reported or not lacking or not any(map(whole, case.history.trials)):
        return ""
    metric = lacking[0].metric
    near = nearest_metric(metric, reported)
    others = [name for name in reported if name != near]
    has = listed([quoted(name) for name in ([near, *others] if near else others)], 3 if near else _SHOWN)
    return (
        f"{_place(case, lacking[0])} names {quoted(metric)}, but the script reports {has}: change the name there, or "
        "report that metric in the script"
    )


def _place(case: _Case, objective: Objective) -> str:
    """`line 2 of the study file`; without a number if the file cannot be read again."""
    if not case.folder:
        return "the study file"
    from hpo_engine.studyfile.document import read_document  # a YAML parser: only on the way to an error

    with suppress(OSError, ValueError, SpecError):
        with open(StudyPaths(case.folder).source, encoding="utf-8") as file:
            document = read_document(file.read(), file.name)
        candidates = ("algoDef", "algoDef.objectiveMetric"), ("objective", "objective")
        fields = [field for key, field in candidates if key in document.data]
        field = fields[0] if fields else f"objectives[{case.spec.objectives.index(objective)}].metric"
        if line := document.line(field):
            return f"line {line} of the study file"
    return "the study file"


def _not_finite(case: _Case) -> str:
    if " is not finite in " not in case.last.reason:
        return ""
    return "narrower ranges in space may help, or a script that reports a finite value when training diverges"


def _read_only(case: _Case) -> str:
    """For a file that is a read-only link into the study's copy."""
    if not case.folder or not re.search("Read-only file system|Permission denied", case.last.reason):
        return ""
    paths = StudyPaths(case.folder)
    copies = [os.path.realpath(folder) for folder in (paths.model, case.spec.model_dir)]
    for name in _names(case.last.reason):
        path = os.path.join(paths.trial(case.last.id).result_dir, name)
        target = os.path.realpath(path)
        if os.path.islink(path) and any(is_below(target, copy) for copy in copies):
            return (
                f"{name} is a read-only link to the study's copy, as files above 1 MiB are: let the script copy it "
                "and change that copy, or write to another file"
            )
    return ""


def _outside(case: _Case) -> str:
    """For a file that is missing from the trial's working directory, but exists where the script used to run."""
    if "No such file" not in case.last.reason:
        return ""
    return _found_outside(case, [name for name in _names(case.last.reason) if not os.path.isabs(name)])


def _found_outside(case: _Case, names: Iterable[str]) -> str:
    """For the first of these relative paths that is beside the model folder, or where the command was typed."""
    if not case.folder:
        return ""
    model_dir = case.spec.model_dir
    for name in names:
        for start in (os.path.dirname(model_dir), os.getcwd()):
            there = os.path.normpath(os.path.join(start, name))
            if is_below(there, model_dir) or is_below(there, case.folder) or not os.path.exists(there):
                continue
            above = start != model_dir and is_below(model_dir, start)
            up = f"model_dir: {start} (with the script's path from there in command), " if above else ""
            return (
                f"trials run in their own copy of model_dir ({model_dir}), and {name} is outside it, in {start}: "
                f"use {up}an absolute path, or data_dir and $DATA_DIR"
            )
    return ""


def _no_module(case: _Case) -> str:
    if (found := _NO_MODULE.search(case.last.reason)) is None:
        return ""
    top = found[1].partition(".")[0]
    if outside := _found_outside(case, (f"{top}.py", top)):
        return outside
    python = binding.command(case.spec, sys.executable)[0]
    return f"trials run with {python}: install the package there, or name another interpreter in the study file"


def _no_parameter(case: _Case) -> str:
    """For a key that the script may have expected in its config.json."""
    found, has = _NO_KEY.search(case.last.reason), list(case.history.config(case.last))
    if found is None or found[1] in has:
        return ""
    return (
        f"{CONFIG} has {_listed(has)}, but not {found[1]}: if the script looks for it there, add it to space in the "
        "study file, or to a base_config"
    )


def _too_long(case: _Case) -> str:
    if "Argument list too long" not in case.last.reason:
        return ""
    return (
        "the system limits a word of a command or a variable to 128 KiB, and all of them together: let the script "
        f"read long values from {CONFIG}, which has all parameters"
    )


def _arguments(case: _Case) -> str:
    if not _ARGUMENTS.search(case.last.reason):
        return ""
    spec, last = case.spec, case.last
    if filled := filled_command(spec, StudyPaths(case.folder).trial(last.id), case.history.config(last)):
        remedy = (
            "add what it lacks to space or, with a fixed value, to command"
            if "are required" in last.reason
            else "{params:-} writes dashes for underscores, {amp?--amp} is an option without a value, arg in space "
            "gives a parameter's option another name; see docs/contract.md"
        )
        return f"the command of trial {last.id} was {quoted(shlex.join(filled), _COMMAND)}: {remedy}"
    if not _LACKING.search(case.last.reason):
        return ""
    return (
        f"the script runs as {quoted(' '.join(spec.command))}: write fixed arguments into command, and "
        f"{{params}} for those that are searched, or let the script read these from {CONFIG}"
    )


def _memory(case: _Case) -> str:
    if case.last.failure is FailureKind.OUT_OF_MEMORY:
        why = "the trials ran out of memory"
    elif _signal(case.last) == signal.SIGKILL:
        why = "signal 9 (SIGKILL) often means that the machine or its container ran out of memory"
    else:
        return ""
    parallel = case.spec.resources.parallel
    what = f"a smaller parallel (now {parallel}) leaves more for each trial" if parallel > 1 else ""
    return f"{why}; {what or 'a smaller model or batch, or narrower ranges in space, need less'}"


def _crash(case: _Case) -> str:
    number = _signal(case.last)
    if number not in _CRASHES or "Fatal Python error" in case.last.reason:
        return ""
    return (
        f"signal {number} ({signal.Signals(number).name}) is a crash in compiled code; env: {{PYTHONFAULTHANDLER: 1}} "
        "in the study file makes Python print the line of the script at which it happens"
    )


def _signal(trial: Trial) -> int | None:
    end = trial.attempt.exit if trial.attempt is not None else None
    return None if end is None else end.signal


def _names(reason: str) -> list[str]:
    """The parts of a reason that may be file names."""
    return [a or b for a, b in _QUOTED.findall(reason)] + _BEFORE_COLON.findall(reason)


def _listed(names: list[str]) -> str:
    return listed([shortened(name) for name in names], _SHOWN)


_RULES = (
    _more_time, _reporting, _other_metric, _not_finite, _read_only, _outside, _no_module, _no_parameter, _too_long,
    _arguments, _memory, _crash,
)  # fmt: skip
