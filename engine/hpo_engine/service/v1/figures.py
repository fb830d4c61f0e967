"""Figures of a study: as Plotly has them, and as plain numbers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from hpo_engine.service.v1 import models
from hpo_engine.service.v1.answers import answered, encoded, tag_of, unchanged, view_tag
from hpo_engine.service.v1.asking import Ask, Study

router = APIRouter(tags=["figures"])
Name = Annotated[str, Path(max_length=50, description="One of /figures.", examples=["history"])]


@router.get("/figures", response_model=models.Figures, summary="List figures")
def list_figures(ask: Ask) -> Response:
    from hpo_engine.reports.figures import FIGURES

    tag = tag_of(ask.request)
    found = [{"name": name, "title": entry.title, "reading": entry.reading} for name, entry in FIGURES.items()]
    return unchanged(ask.request, tag) or answered(ask.request, {"figures": found}, tag=tag)


@router.get("/studies/{study}/figures/{figure}", summary="Draw a figure")
def draw_figure(
    ask: Ask,
    study: Study,
    figure: Name,
    dark: Annotated[bool, Query(description="In colours for a dark page.")] = False,
) -> dict[str, Any]:
    """A Plotly figure as JSON: `data` and `layout`. 404: the study has nothing yet that it could show, or there is no
    such figure."""
    from hpo_engine.reports.figures import draw

    known = ask.study(study)
    tag = view_tag(ask.request, known.view)
    if (same := unchanged(ask.request, tag)) is not None:
        return same  # type: ignore[return-value]
    text = draw(known.history, figure, dark=dark, titled=False).to_json()
    return encoded(ask.request, text.encode(), "application/json", tag=tag)  # type: ignore[return-value]


@router.get("/studies/{study}/history", summary="Get the optimisation history as arrays")
def history_arrays(ask: Ask, study: Study) -> dict[str, Any]:
    """Per ended trial with a value, in the order in which they ended: `trials`, `ended_at`, `values` of the first
    objective, and `best`, the best value so far. For a light plot."""
    known = ask.study(study)
    tag = view_tag(ask.request, known.view)
    if (same := unchanged(ask.request, tag)) is not None:
        return same  # type: ignore[return-value]
    history = known.history
    aim = history.spec.objectives[0]
    found = sorted((t for t in history.trials if t.losses), key=lambda t: (t.ended_at or history.last_at, t.id))
    best, lowest = [], float("inf")
    for trial in found:
        lowest = min(lowest, trial.losses[0])
        best.append(aim.value(lowest))
    value: dict[str, Any] = {
        "study": study,
        "events": history.events,
        "metric": aim.metric,
        "goal": aim.goal,
        "trials": [t.id for t in found],
        "ended_at": [t.ended_at for t in found],
        "values": [aim.value(t.losses[0]) for t in found],
        "best": best,
    }
    return answered(ask.request, value, tag=tag)  # type: ignore[return-value]


@router.get("/studies/{study}/importance", summary="Get what mattered")
def importance(ask: Ask, study: Study) -> dict[str, Any]:
    """How much each hyperparameter mattered, by PED-ANOVA and by functional ANOVA. 404: the trials are too few to
    tell."""
    from hpo_engine.reports.importance import importances

    known = ask.study(study)
    tag = view_tag(ask.request, known.view)
    if (same := unchanged(ask.request, tag)) is not None:
        return same  # type: ignore[return-value]
    sample, found = importances(known.history)
    methods = [
        {
            "method": one.method,
            "target": one.target,
            "effects": [
                {"names": list(e.names), "share": e.share, "low": e.low, "high": e.high, "chance": e.chance}
                for e in one.effects
            ],
            "doubts": list(one.doubts),
        }
        for one in found
    ]
    value = {"study": study, "events": known.history.events, "trials": len(sample), "methods": methods}
    return answered(ask.request, value, tag=tag)  # type: ignore[return-value]
