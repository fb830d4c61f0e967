"""The page of one trial, and what is done to it."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Form, Request, Response

from hpo_engine.contract.placing import filled_command
from hpo_engine.control.explaining import explain
from hpo_engine.reports.explaining import explained
from hpo_engine.reports.objects import attempt_object
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import HEADERS, PageRoute, done, render, segment, wants_part
from hpo_engine.service.page.trials.files import MOST_FILES, listed
from hpo_engine.service.page.trials.finding import Found, found
from hpo_engine.service.page.trials.output import output
from hpo_engine.service.page.trials.rows import metrics
from hpo_engine.service.page.trials.table import changed
from hpo_engine.study.history import History
from hpo_engine.study.lineage import has_schedule, schedule
from hpo_engine.study.trial import Trial, TrialState

router = APIRouter(route_class=PageRoute)
_MOST_LINKS = 50


class Relative(NamedTuple):
    """Another trial that this one comes from, or that comes from it."""

    trial: int
    how: str


def relatives(history: History, trial: Trial) -> list[Relative]:
    """Trials whose files this one began with, that began with its files, that repeat its configuration ..."""
    own, out = trial.proposal, list[Relative]()
    if trial.origin is not None:
        out.append(Relative(trial.origin.trial, "this trial began with a copy of its files"))
    if own.repeats is not None:
        out.append(Relative(own.repeats, "this trial repeats its configuration with more of the resource"))
    if own.replaces is not None:
        out.append(Relative(own.replaces, "this trial took its place in the population"))
    for other in history.trials:
        theirs = other.proposal
        if other.origin is not None and other.origin.trial == trial.id:
            out.append(Relative(other.id, "began with a copy of this trial's files"))
        elif theirs.repeats == trial.id:
            out.append(Relative(other.id, "repeats this configuration with more of the resource"))
        elif theirs.replaces == trial.id:
            out.append(Relative(other.id, "took this trial's place in the population"))
        if len(out) >= _MOST_LINKS:
            break
    return out


def actions(trial: Trial) -> list[tuple[str, str]]:
    """What can be done to the trial now: the word for the form, and the one on the button."""
    if trial.state is TrialState.PAUSED:
        return [("resume", "Resume"), ("stop", "Stop")]
    if not trial.state.ended:
        return [("pause", "Pause"), ("stop", "Stop")]
    return [] if trial.state is TrialState.COMPLETED else [("retry", "Retry")]


def config_text(history: History, trial: Trial) -> str:
    """The trial's config.json: what the study decides, over what the script's own file had."""
    config = history.config if trial.state is TrialState.RUNNING else history.result_config
    return json.dumps({**history.spec.base, **config(trial)}, indent=2, ensure_ascii=False, default=str)


def _page(request: Request, study: Found, trial: Trial) -> dict[str, Any]:
    history, paths = study.history, study.paths.trial(trial.id)
    config = history.config if trial.state is TrialState.RUNNING else history.result_config
    values = history.values(trial)
    command = filled_command(history.spec, paths, config(trial))
    return {
        "view": study.view, "history": history, "spec": history.spec, "trial": trial, "params": config(trial),
        "values": [(aim.metric, value) for aim, value in zip(history.spec.objectives, values, strict=False)],
        "best": trial.id in history.front_ids, "metrics": metrics(history, trial),
        "config": config_text(history, trial),
        "command": shlex.join(command), "actions": actions(trial), "relatives": relatives(history, trial),
        "attempts": [attempt_object(each) for each in trial.attempts], "why": explained(history, trial),
        "schedule": schedule(history, trial) if has_schedule(history, trial) else (), "files": listed(paths),
        "most_files": MOST_FILES, "output": output(study, trial), "curves": len(trial.rows) > 1,
        "folder": paths.result_dir,
    }  # fmt: skip


@router.get("/studies/{name}/trials/{number:int}")
def trial_page(
    request: Request,
    name: str,
    number: int,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """The page; for htmx the part of it that changes while the trial runs."""
    study = found(desk, caller, name)
    template = "trials/one_part.html" if wants_part(request) else "trials/one.html"
    return render(request, template, **_page(request, study, study.trial(number)))


@router.get("/studies/{name}/trials/{number:int}/why")
def why(
    request: Request,
    name: str,
    number: int,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """The trial in words, for htmx. Its searcher is asked with the history as it was, which takes a while."""
    study = found(desk, caller, name)
    trial = study.trial(number)
    context = {"view": study.view, "trial": trial, "why": explain(study.paths, study.history, trial), "asked": True}
    return render(request, "trials/why.html", **context)


@router.get("/studies/{name}/trials/{number:int}/config.json")
def config_json(
    name: str,
    number: int,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """The configuration as a file."""
    study = found(desk, caller, name)
    text = config_text(study.history, study.trial(number)) + "\n"
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="config.json"'}
    return Response(text, headers=headers, media_type="application/json")


@router.post("/studies/{name}/trials/{number:int}")
def change_trial(
    request: Request,
    name: str,
    number: int,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    do: Annotated[str, Form()],
) -> Response:
    """Stops, pauses, resumes or retries the trial."""
    study = found(desk, caller, name)
    message = changed(study, do, [number])
    return done(request, message, f"/studies/{segment(name)}/trials/{number}")
