"""Shared by several verbs: common options, finding a study, and the JSON objects that `--json` prints."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Attempt, Trial

Function = TypeVar("Function", bound=Callable[..., Any])


def root_option(function: Function) -> Function:
    return click.option(
        "--root", metavar="DIR", help="Folder of the studies [./hpo-runs, or $HPO_ENGINE_ROOT if set]."
    )(function)


def json_option(function: Function) -> Function:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


class Goal(click.Choice):  # type: ignore[type-arg,unused-ignore]
    """minimize or maximize, in any spelling that a study file accepts."""

    _SAME: ClassVar = {"min": "minimize", "max": "maximize", "minimise": "minimize", "maximise": "maximize"}

    def __init__(self) -> None:
        super().__init__(["minimize", "maximize"], case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(self._SAME.get(str(value).lower(), value), param, ctx)


def judging_options(function: Function) -> Function:
    """--metric, --goal, --over: see `judged`."""
    for option in (
        click.option("--over", type=click.Choice(["best", "last"]), help="Which row counts for a trial."),
        click.option("--goal", type=Goal(), help="Direction of the metric [as in the study file]."),
        click.option("--metric", metavar="NAME", help="Rank the trials by this metric, without training."),
    ):
        function = option(function)
    return function


def judged(history: History, metric: str | None, goal: str | None, over: str | None) -> History:
    """The history; with any of these options, its trials are judged again accordingly."""
    if metric is None and goal is None and over is None:
        return history
    from hpo_engine.report.ranking import judged_again, objective_for

    return judged_again(history, objective_for(history, metric, goal, over))


study_argument = click.argument("study", metavar="STUDY")


def find(study: str, root: str | None) -> StudyPaths:
    """The folder of the study that the user named."""
    from hpo_engine.contract.paths import locate, runs_root

    return locate(study, runs_root(root, os.environ))


def trial_of(history: History, number: int) -> Trial:
    """The trial that the user named."""
    from hpo_engine.errors import SpecError

    if number not in range(history.next_id):
        raise SpecError(f"{history.spec.name} has no trial {number}; it has {history.next_id} (from 0)")
    return history.trials[number]


def terminal_size() -> tuple[int, int]:
    """Columns and lines of the terminal on stdout; 80 and 24 if it is unknown."""
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return columns or 80, lines or 24


def output_width() -> int | None:
    """The terminal's width; None (no limit) if the output is not a terminal."""
    return terminal_size()[0] if sys.stdout.isatty() else None


def to_stderr(text: str) -> None:
    """One line on stderr; on a terminal it is broken between words."""
    from hpo_engine.text.tables import safe_text

    line = safe_text(text)
    if sys.stderr.isatty():
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        line = textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)
    click.echo(line, err=True)


def read_history(paths: StudyPaths) -> History:
    """For a verb that prints something and exits: the garbage collector need not look at the history."""
    import gc

    from hpo_engine.store import journal

    history = journal.read_history(paths.db)
    gc.freeze()
    return history


def state_word(state: str, led: bool) -> str:
    """The state from the log; "interrupted" if the log says running, but no engine runs the study."""
    return "interrupted" if state == "running" and not led else state


def best_object(history: History) -> dict[str, Any] | None:
    """The best trial; with several objectives, the trial of the front that is best by the first one."""
    return None if history.best is None else member_object(history, history.best)


def front_object(history: History) -> dict[str, Any]:
    """For several objectives: the front, ordered by the first one, its hypervolume, and the reference point."""
    aims = history.spec.objectives
    reference = [aim.value(loss) for aim, loss in zip(aims, history.reference, strict=False)]
    return {
        "front": [member_object(history, history.trials[number]) for _, number in history.front],
        "hypervolume": history.hypervolume,
        "reference": dict(zip([aim.metric for aim in aims], reference, strict=False)) or None,
    }


def member_object(history: History, trial: Trial) -> dict[str, Any]:
    values = history.values(trial)
    several: dict[str, Any] = {"values": values_object(history, trial)} if history.spec.multi_objective else {}
    several |= metrics_object(history, trial)
    return {"trial": trial.id, "value": values[0], **several, "params": history.result_config(trial)}


def metrics_object(history: History, trial: Trial) -> dict[str, Any]:
    """The values of the extra metrics, if the study file names any."""
    from hpo_engine.report.ranking import beside, beside_names

    names = beside_names(history.spec)
    return {"metrics": {**dict.fromkeys(names), **beside(history, trial)}} if names else {}


def values_object(history: History, trial: Trial) -> dict[str, float] | None:
    """Objective -> value; None if the trial has no result."""
    names = [aim.metric for aim in history.spec.objectives]
    return dict(zip(names, history.values(trial), strict=False)) or None


def summary(history: History, led: bool, now: float) -> dict[str, Any]:
    """The last line of `submit --json`, and the first fields of `show --json`."""
    return {
        "study": history.spec.name,
        "state": state_word(history.state.value, led),
        "best": best_object(history),
        **(front_object(history) if history.spec.multi_objective else {}),
        **({"reason": history.reason} if history.halted else {}),
        "counts": {state.value: count for state, count in sorted(history.counts.items())},
        "seconds": round(history.elapsed_s(now), 3),
    }


def trial_object(history: History, trial: Trial) -> dict[str, Any]:
    last = trial.rows[-1] if trial.rows else None
    values, several = values_object(history, trial), {}
    if history.spec.multi_objective:
        several = {"values": values, "front": trial.id in history.front_ids}
    return {
        "trial": trial.id,
        "state": trial.state.value,
        "value": None if values is None else values[history.spec.objectives[0].metric],
        **several,
        **metrics_object(history, trial),
        "params": history.config(trial),
        "attempts": len(trial.attempts),
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "failure": None if trial.failure is None else trial.failure.value,
        "reason": trial.reason,
        "cpu_s": trial.cpu_s,
        "memory_peak_mb": trial.memory_peak_mb,
        **({"results": results_object(history, trial)} if history.spec.resource else {}),
        "last_row": None if last is None else {"step": last.step, **last.values},
    }


def results_object(history: History, trial: Trial) -> list[dict[str, Any]]:
    """The trial's result for each amount of the resource that it was trained with."""
    objectives, out = history.spec.objectives, []
    for result in trial.results:
        values = [o.value(loss) for o, loss in zip(objectives, result.losses, strict=True)]
        several = {"values": {o.metric: v for o, v in zip(objectives, values, strict=True)}}
        out.append({
            "resource": result.resource, "attempt": result.attempt, "value": values[0],
            **(several if history.spec.multi_objective else {}),
        })  # fmt: skip
    return out


def attempt_object(attempt: Attempt) -> dict[str, Any]:
    end = attempt.exit
    return {
        "attempt": attempt.number,
        "resource": attempt.resource,
        "resume_from": attempt.resume,
        "devices": attempt.devices,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "exit": None if end is None else str(end),
        "stop_cause": None if end is None or end.stop_cause is None else end.stop_cause.value,
        "failure": None if attempt.failure is None else attempt.failure.value,
        "seconds": None if end is None else end.seconds,
        "cpu_s": None if end is None else end.cpu_s,
        "memory_peak_mb": None if end is None else end.memory_peak_mb,
    }


def dump(value: Any) -> str:
    """Strict JSON, in ASCII so that it is read alike in every locale; numbers that are not finite become null."""
    return _json(value)


_encode = json.JSONEncoder(allow_nan=False, default=str).encode


def _json(value: Any) -> str:
    try:
        return _encode(value)
    except ValueError:  # some number in it is not finite
        if isinstance(value, dict):
            return f"{{{', '.join([f'{_encode(str(k))}: {_json(v)}' for k, v in value.items()])}}}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(_json, value))}]"
        if isinstance(value, float):
            return "null"
        raise
