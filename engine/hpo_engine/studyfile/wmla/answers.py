"""A study's history as the dialect's answers: task and trial objects, their states, times and names."""

from __future__ import annotations

import enum
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from hpo_engine.study.history import History, StudyState
from hpo_engine.study.trial import BAD, Trial, TrialState
from hpo_engine.studyfile.common import study_name
from hpo_engine.studyfile.wmla.parameters import hyper_param


class Generation(enum.Enum):
    """The clients of the dialect: those of WMLA 1.2, and those of the second generation, in Cloud Pak for Data."""

    V1 = "1.2"
    CPD = "CPD"


NAMESPACE = "hpo"  # of the application ids of the second generation
_MOST_TRIALS = 10**6  # of a study, in an application id of the second generation

_TASK_STATES = {
    StudyState.RUNNING: "RUNNING",
    StudyState.FINISHED: "FINISHED",
    StudyState.FAILED: "FAILED",
    StudyState.STOPPED: "STOPPED",
}
_TRIAL_STATES = {
    TrialState.PENDING: "SUBMITTED",
    TrialState.RUNNING: "RUNNING",
    TrialState.PAUSED: "WAITING",
    TrialState.COMPLETED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.TIMED_OUT: "KILLED",
    TrialState.STOPPED: "STOPPED",
    TrialState.PRUNED: "STOPPED",
    TrialState.LOST: "ERROR",
}


def task_object(
    history: History,
    *,
    now: float,
    state: str | None = None,
    generation: Generation | None = None,
    experiments: bool = True,
) -> dict[str, Any]:
    """The task as GET /hypersearch/{hpoName} answers it.

    Args:
        now: UTC seconds, for the durations of what still runs.
        state: in place of the history's, where the service knows more (RECOVERPEND, RECOVERFAILED).
        generation: who asks. The second one also gets algoDef and hyperParams, and ids of its own form; the first one
            gets the driverId of trials. None: what both get.
        experiments: False leaves the trials out, but for the best one.
    """
    counts = history.counts
    failed = sum(counts.get(s, 0) for s in BAD)
    out: dict[str, Any] = {
        "hpoName": history.spec.name,
        "state": state or task_state(history),
        "progress": progress(history),
        "running": counts.get(TrialState.RUNNING, 0),
        "complete": history.ended_count,
        "failed": failed,
        "duration": duration(history.elapsed_s(now)),
        "creator": creator(history),
        "createtime": timestamp(history.opened_at),
    }
    if experiments:
        out["experiments"] = [trial_object(history, trial, now=now, generation=generation) for trial in history.trials]
    if history.best is not None:
        best = trial_object(history, history.best, now=now, generation=generation)
        out["best"] = {**best, **_result(history, history.best)}
    return {**out, **_asked(history)} if generation is Generation.CPD else out


def _asked(history: History) -> dict[str, Any]:
    """The request, as clients of the second generation get it: types in lower case."""
    asked = history.spec.dialect
    out: dict[str, Any] = {"algoDef": asked["algoDef"]} if "algoDef" in asked else {}
    if isinstance(params := asked.get("hyperParams"), list):
        out["hyperParams"] = [_in_lower_case(param) for param in params]
    return out


def _in_lower_case(param: Any) -> Any:
    if not isinstance(param, dict):
        return param
    return {k: v.lower() if k in ("type", "dataType") and isinstance(v, str) else v for k, v in param.items()}


def task_state(history: History) -> str:
    """SUBMITTED until an engine has begun."""
    begun = history.engine_at is not None or history.closed_at is not None or history.next_id > 0
    return _TASK_STATES[history.state] if begun else "SUBMITTED"


def progress(history: History) -> str:
    """`done/total`, failed trials included; `8/-` when unlimited."""
    spec = history.spec
    total = len(spec.experiments) if spec.experiments else None
    if (limit := spec.budget.most) is not None:
        total = min(total or limit, limit)
    return f"{history.ended_count}/{'-' if total is None else total}"


def trial_object(history: History, trial: Trial, *, now: float, generation: Generation | None = None) -> dict[str, Any]:
    """A trial ("experiment") as answers hold it; `now`: UTC seconds. `generation`: see `task_object`.

    One that was carried on keeps its id. It is RUNNING again, with the best value so far; if that fails or is stopped,
    it has the value and the resource of its latest result.
    """
    end = trial.ended_at if trial.ended_at is not None else now
    return {
        "id": trial.id,
        "appId": app_id(history, trial.id, generation),
        **({"driverId": driver_id(history, trial.id)} if generation is Generation.V1 else {}),
        "state": trial_state(trial),
        "hyperParams": _hyper_params(history, history.config(trial)),
        "metricVal": metric_value(history, trial),
        "metrics": metrics(history, trial),
        "maxiteration": trial.proposal.resource or 0,
        "startTime": None if trial.started_at is None else timestamp(trial.started_at),
        "endTime": None if trial.ended_at is None else timestamp(trial.ended_at),
        "duration": duration(0.0 if trial.started_at is None else end - trial.started_at),
        **(_result(history, trial) if trial.state.ended and trial.results else {}),
    }


def _result(history: History, trial: Trial) -> dict[str, Any]:
    """What differs in the answer of a trial that counts by its latest result, though it is trained further."""
    resource, config = trial.results[-1].resource, history.result_config(trial)
    value = history.spec.objectives[0].value(trial.results[-1].losses[0])
    return {"hyperParams": _hyper_params(history, config), "metricVal": value, "maxiteration": resource or 0}


def _hyper_params(history: History, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters as config.json has them; Hyperband's resource, if it is rationed, as text."""
    text = history.spec.resource.name if history.spec.resource else None
    return [
        {**hyper_param(name, value), "dataType": "str"} if name == text else hyper_param(name, value)
        for name, value in config.items()
    ]


def plugin_result(history: History, trial: Trial) -> dict[str, Any]:
    """A trial as search plugins get it: the object of the answers, with score and plain parameters."""
    out = trial_object(history, trial, now=trial.ended_at or history.last_at)
    return {**out, "score": out["metricVal"], "params": dict(trial.params)}


def trial_state(trial: Trial) -> str:
    if trial.state is TrialState.PENDING and trial.attempts:
        return "WAITING"  # to be run again
    return _TRIAL_STATES[trial.state]


def metric_value(history: History, trial: Trial) -> float | None:
    """The objective: the best so far of a trial that has not ended, else the verdict; None if there is none."""
    objective = history.spec.objectives[0]
    if not trial.state.ended:
        return objective.pick(trial.rows)
    return None if trial.loss is None else objective.value(trial.loss)


def metrics(history: History, trial: Trial) -> list[dict[str, Any]]:
    """The trial's metrics, the objective first, then the additional ones; values that are not finite are None."""
    spec = history.spec
    seen: dict[str, list[float]] = {}
    for row in trial.rows:
        for name, value in row.values.items():
            seen.setdefault(name, []).append(value)
    wanted = [*(o.metric for o in spec.objectives), *spec.extra_metrics]
    names = [n for n in dict.fromkeys(wanted) if n in seen] + [n for n in seen if n not in wanted]
    return [{"name": name, **_summary(seen[name])} for name in names]


def _summary(values: list[float]) -> Mapping[str, float | None]:
    finite = [v for v in values if math.isfinite(v)]
    latest = values[-1] if math.isfinite(values[-1]) else None
    return {"min": min(finite, default=None), "max": max(finite, default=None), "latest": latest}


def creator(history: History) -> str:
    return str(history.spec.dialect.get("creator") or "user")


def app_id(history: History, trial_id: int, generation: Generation | None = None) -> str:
    """`<user>-<digits>-<digits>`: the study's start in microseconds, and the trial; in the second generation
    `<namespace>-<n>`, a number of both."""
    micros = opened_us(history.opened_at)
    if generation is Generation.CPD:
        return f"{NAMESPACE}-{micros * _MOST_TRIALS + trial_id}"
    return f"{study_name(creator(history), 'user')}-{micros}-{trial_id}"


_APP_ID = re.compile(rf".*-(\d{{1,20}})-(\d{{1,6}})|{NAMESPACE}-(\d{{1,26}})", re.ASCII)


def read_app_id(text: str) -> tuple[int, int] | None:
    """The inverse of `app_id` for both forms: (start of the study, see `opened_us`; trial); None if it is neither."""
    found = _APP_ID.fullmatch(text)
    if found is None:
        return None
    return divmod(int(found[3]), _MOST_TRIALS) if found[3] else (int(found[1]), int(found[2]))


def opened_us(opened_at: float) -> int:
    """A study's start (UTC seconds) in microseconds, by which application ids name it."""
    return int(opened_at * 1e6)


def driver_id(history: History, trial_id: int) -> str:
    """As Spark names the driver of a job: `driver-<time>-<number>`."""
    at = time.strftime("%Y%m%d%H%M%S", time.gmtime(history.opened_at))
    return f"driver-{at}-{trial_id:04d}"


def timestamp(seconds: float) -> str:
    """UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
