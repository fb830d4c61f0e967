"""Trials of a study: the list, one of them, and what they have reported."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hpo_engine.errors import NothingYet, Problem, SpecError
from hpo_engine.reports.objects import trial_object
from hpo_engine.service.v1 import models
from hpo_engine.service.v1.answers import answered, unchanged, view_tag
from hpo_engine.service.v1.asking import Ask, Known, Number, Study
from hpo_engine.service.v1.curves import curve, thinned
from hpo_engine.service.v1.objects import detail_object
from hpo_engine.service.v1.querying import MOST_CONDITIONS, chosen

router = APIRouter(tags=["trials"])
Points = Annotated[int, Query(ge=2, le=20_000, description="At most about this many; peaks are kept.")]


@router.get("/studies/{study}/trials", response_model=models.Trials, summary="List trials")
def list_trials(
    ask: Ask,
    study: Study,
    where: Annotated[
        list[str] | None,
        Query(
            max_length=MOST_CONDITIONS,
            description="Conditions that must all hold: NAME=VALUE,VALUE or !=, <, <=, >, >=, ~ (contains), with NAME "
            "params.X, metrics.X, value, state, trial, duration, attempts, started, ended or reason.",
            examples=["state=completed", "params.lr<0.01"],
        ),
    ] = None,
    q: Annotated[str, Query(max_length=255, description="Text in a value, the state or the reason.")] = "",
    sort: Annotated[
        str, Query(max_length=1000, description="As show --sort: a metric (the best first), a parameter; -NAME turns.")
    ] = "",
    columns: Annotated[
        list[str] | None,
        Query(max_length=100, description="Only these fields of each trial, such as trial, value, params."),
    ] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> Response:
    """A page of them. It may be polled: an unchanged answer is a 304."""
    known = ask.study(study)
    tag = view_tag(ask.request, known.view)
    if (same := unchanged(ask.request, tag)) is not None:
        return same
    history = known.history
    found = chosen(history, where or (), q, sort)
    objects = [trial_object(history, trial) for trial in found[offset : offset + limit]]
    if columns:
        objects = [{name: one[name] for name in columns if name in one} for one in objects]
    page = {"study": study, "events": history.events, "total": len(found), "offset": offset, "trials": objects}
    return answered(ask.request, page, tag=tag)


@router.get("/studies/{study}/best", response_model=models.TrialDetail, summary="Get the best trial")
def best_trial(ask: Ask, study: Study) -> Response:
    """With several objectives: of the front the trial that is best by the first one. 404: no trial has a result yet."""
    return get_trial(ask, study, _best(ask.study(study)))


def _best(known: Known) -> int:
    if known.history.best_id is None:
        raise NothingYet(f"{known.history.spec.name} has no finished trial with a valid result yet")
    return known.history.best_id


@router.get("/studies/{study}/trials/{trial}", response_model=models.TrialDetail, summary="Get a trial")
def get_trial(ask: Ask, study: Study, trial: Number) -> Response:
    """Its configuration, its metrics with the steps at which they were best, its attempts, where it comes from."""
    known = ask.study(study)
    found = known.trial(trial)
    tag = view_tag(ask.request, known.view)
    return unchanged(ask.request, tag) or answered(
        ask.request, {**detail_object(known.history, found), "study": study, "events": known.history.events}, tag=tag
    )


@router.get("/studies/{study}/explain", response_model=models.Explained, summary="Explain the best trial")
def explain_best(ask: Ask, study: Study) -> Response:
    """As of a trial, of the best one. 404: no trial has a result yet."""
    return explain_trial(ask, study, _best(ask.study(study)))


@router.get(
    "/studies/{study}/trials/{trial}/explain", response_model=models.Explained, summary="Explain a trial in words"
)
def explain_trial(ask: Ask, study: Study, trial: Number) -> Response:
    """Why it was proposed, how it ranks, why it ended, and what it would have needed. Its searcher is asked with the
    study as it was then, which takes a moment. It may be polled: an unchanged answer is a 304."""
    from hpo_engine.control.explaining import explain
    from hpo_engine.reports.explaining import explanation_object

    known = ask.study(study)
    found = known.trial(trial)
    tag = view_tag(ask.request, known.view)
    if (same := unchanged(ask.request, tag)) is not None:
        return same
    why = explain(known.paths, known.history, found)
    return answered(ask.request, explanation_object(known.history, found, why), tag=tag)


@router.get("/studies/{study}/trials/{trial}/rows", response_model=models.Rows, summary="Get what a trial reported")
def trial_rows(
    ask: Ask,
    study: Study,
    trial: Number,
    metric: Annotated[list[str] | None, Query(max_length=100, description="Only these; default: all.")] = None,
    after: Annotated[float | None, Query(allow_inf_nan=False, description="Only rows after this step.")] = None,
    points: Points = 10_000,
) -> Response:
    known = ask.study(study)
    rows = known.trial(trial).rows
    tag = view_tag(ask.request, known.view)
    if (same := unchanged(ask.request, tag)) is not None:
        return same
    rows = rows if after is None else [row for row in rows if row.step > after]
    names = metric or [aim.metric for aim in known.history.spec.objectives]
    objects = [
        {"step": row.step, **{k: v for k, v in row.values.items() if metric is None or k in metric}}
        for row in thinned(rows, names, points)
    ]
    return answered(ask.request, {"study": study, "trial": trial, "total": len(rows), "rows": objects}, tag=tag)


@router.get("/studies/{study}/curves", response_model=models.Curves, summary="Get learning curves of several trials")
def learning_curves(
    ask: Ask,
    study: Study,
    trials: Annotated[str, Query(max_length=10_000, description="Numbers and ranges.", examples=["0-9,17"])] = "",
    metric: Annotated[str | None, Query(max_length=1000, description="Default: the first objective.")] = None,
    points: Points = 300,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of curves; without trials the best ones.")] = 100,
) -> Response:
    """One metric as two arrays for each trial that has it, ready to be plotted."""
    from hpo_engine.reports.ranking import best_first

    known = ask.study(study)
    tag = view_tag(ask.request, known.view)
    if (same := unchanged(ask.request, tag)) is not None:
        return same
    history = known.history
    name = metric or history.spec.objectives[0].metric
    if trials:
        found = [history.trials[n] for n in _numbers(trials, history.next_id)]
    else:
        found = sorted([*best_first(history)[:limit], *history.running][:limit], key=lambda t: t.id)
    curves = [{"trial": t.id, "state": t.state.value, **curve(t.rows, name, points)} for t in found[:limit] if t.rows]
    curves = [one for one in curves if one["steps"]]
    return answered(ask.request, {"study": study, "events": history.events, "metric": name, "curves": curves}, tag=tag)


def _numbers(text: str, count: int) -> list[int]:
    """The trials that `0-9,17` names, each once."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and len(first) < 10) or (dash and not _number(last)):
            raise SpecError([Problem("trials", f'"{part}": write numbers and ranges, as in 0-9,17')])
        for number in range(int(first), min(int(last or first), count - 1) + 1):
            found[number] = None
    return [number for number in found if number < count]


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
