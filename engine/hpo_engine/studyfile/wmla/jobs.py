"""Trials as the dialect's jobs ("execs"): what a client that polls one of them gets."""

from __future__ import annotations

import shlex
import time
from typing import Any

from hpo_engine.study.history import History
from hpo_engine.study.trial import TrialState
from hpo_engine.studyfile.wmla.answers import NAMESPACE, Generation, app_id, creator, trial_state
from hpo_engine.studyfile.wmla.arguments import Arguments
from hpo_engine.studyfile.wmla.fields import as_number
from hpo_engine.studyfile.wmla.request import is_training
from hpo_engine.text.secrets import words_without_secrets

_WAITING = (TrialState.PENDING, TrialState.PAUSED)


def job_object(
    history: History, number: int, *, generation: Generation, work_dir: str, url: str = "", over: bool = False
) -> dict[str, Any]:
    """A job, in flat scalars only: clients make a table with one row of it.

    Args:
        number: of the trial, which may not have been proposed yet. work_dir: where its script runs.
        url: of the service. over: the study has ended, so that a trial which has not does not go on.
    """
    asked = history.spec.dialect
    options = asked.get("options") or {}
    arguments = Arguments(options)
    job, user = app_id(history, number, generation), creator(history)
    framework = str(options.get("--exec-start") or "")
    return {
        "id": job,
        "appId": job,
        "submissionId": job,
        "state": job_state(history, number, generation, over=over),
        "args": str(asked.get("args") or shlex.join(words_without_secrets(history.spec.command))),
        "appName": str(options.get("--appName") or history.spec.name),
        "framework": framework,
        "numWorker": int(as_number(options.get("--numWorker", 1)) or 1),
        "elastic": arguments.elastic is not None or framework.lower().startswith("edt"),
        "creator": user,
        "userName": user,
        "executionUserName": user,
        "modelFileOwnerName": user,
        "sigName": str(asked.get("sigName") or ""),
        "sigId": str(asked.get("sigName") or ""),
        "nameSpace": NAMESPACE,
        "schedulerUrl": url,
        "masterUrl": url,
        "workDir": work_dir,
        "createTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_made(history, number))),
        "hpoName": history.spec.name,
    }


def job_state(history: History, number: int, generation: Generation, *, over: bool = False) -> str:
    """The trial's state. One that waits is SUBMITTED, or waits for its place in the words of the second generation:
    clients poll while it is one of these, or RUNNING."""
    trial = history.trials[number] if number < len(history.trials) else None
    if over and (trial is None or not trial.state.ended):
        return "STOPPED"
    if trial is None:
        return "SUBMITTED"
    if trial.state in _WAITING:
        return "PENDING_CRD_SCHEDULER" if generation is Generation.CPD else "SUBMITTED"
    return trial_state(trial)


def _made(history: History, number: int) -> float:
    """When the job was made (UTC seconds): a training when it was submitted, an experiment when it first started."""
    if is_training(history.spec.dialect) or number >= len(history.trials):
        return history.opened_at
    started = history.trials[number].started_at
    return history.opened_at if started is None else started
