"""Trials side by side: what differs first, what is the same folded away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from hpo_engine.errors import SpecError
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import PageRoute, render
from hpo_engine.service.page.trials.files import listed
from hpo_engine.service.page.trials.finding import found, numbers
from hpo_engine.service.page.trials.output import output
from hpo_engine.service.page.trials.rows import MOST_CURVES, metrics
from hpo_engine.space.params import Float, Int, key
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.text.tables import duration, number, value

router = APIRouter(route_class=PageRoute)
MOST = MOST_CURVES
_TAIL, _MOST_FILES = 30, 40
_ABSENT = "–"


class Line(NamedTuple):
    """One line of the comparison. `marks`: the best cells; `note`: a word on what is compared."""

    name: str
    cells: Sequence[str]
    marks: frozenset[int] = frozenset()
    note: str = ""
    differs: bool = True


def params(history: History, chosen: Sequence[Trial]) -> tuple[list[Line], list[Line]]:
    """The parameters in which the trials differ, in the order of the space, and the others."""
    configs = [(history.config if t.state is TrialState.RUNNING else history.result_config)(t) for t in chosen]
    names = dict.fromkeys([*history.spec.config_names, *(name for config in configs for name in config)])
    different, same = list[Line](), list[Line]()
    scales = {p.name: "log" for p in history.spec.space.params if isinstance(p, Float | Int) and (p.log or p.power)}
    for name in names:
        cells = [value(config[name]) if name in config else _ABSENT for config in configs]
        differs = len({key(config[name]) if name in config else None for config in configs}) > 1
        (different if differs else same).append(Line(name, cells, note=scales.get(name, ""), differs=differs))
    return different, same


def outcomes(history: History, chosen: Sequence[Trial]) -> list[Line]:
    """How the trials ended, what they took, and what the machine gave them."""
    lines = [Line("state", [t.state.value.replace("_", " ") for t in chosen])]
    if any(t.reason for t in chosen):
        lines.append(Line("why it ended", [t.reason or _ABSENT for t in chosen]))
    if history.spec.resource is not None:
        lines.append(Line(history.spec.resource.name, [str(t.trained or _ABSENT) for t in chosen]))
    lines.append(Line("took", [duration(t.took_s) or _ABSENT for t in chosen], _least([t.took_s for t in chosen])))
    lines.append(Line("processor", [duration(t.cpu_s) or _ABSENT for t in chosen]))
    peaks = [t.memory_peak_mb for t in chosen]
    lines.append(Line("peak memory", [_ABSENT if peak is None else f"{peak:.0f} MiB" for peak in peaks]))
    lines.append(Line("attempts", [str(len(t.attempts)) for t in chosen]))
    origins = [None if t.origin is None else t.origin.trial for t in chosen]
    if any(origin is not None for origin in origins):
        lines.append(Line("began with files of", [_ABSENT if o is None else f"trial {o}" for o in origins]))
    return [line._replace(differs=len(set(line.cells)) > 1) for line in lines]


def values(history: History, chosen: Sequence[Trial]) -> list[Line]:
    """The objectives' values that count, then every metric: its best value if it has a goal, else its latest."""
    out = list[Line]()
    for k, aim in enumerate(history.spec.objectives):
        losses = [t.losses[k] if t.losses else None for t in chosen]
        cells = [_ABSENT if loss is None else number(aim.value(loss)) for loss in losses]
        out.append(Line(aim.metric, cells, _least(losses), f"{aim.goal}, what counts"))
    reported = [{metric.name: metric for metric in metrics(history, t)} for t in chosen]
    for name in dict.fromkeys(name for each in reported for name in each):
        own = [each.get(name) for each in reported]
        goal = next((metric.goal for metric in own if metric is not None), "")
        found = [None if m is None else m.best if goal else m.latest for m in own]
        steps = [None if m is None else m.best_step if goal else m.latest_step for m in own]
        cells = [
            _ABSENT if v is None else f"{number(v)}" + ("" if s is None else f" at {number(s)}")
            for v, s in zip(found, steps, strict=True)
        ]
        turned = [None if v is None else -v if goal == "maximize" else v for v in found]
        note = f"{goal}, best and its step" if goal else "latest and its step"
        out.append(Line(name, cells, _least(turned) if goal else frozenset(), note))
    return out


def _least(numbers: Sequence[float | None]) -> frozenset[int]:
    """The places of the lowest number, if not all are the same."""
    known = [each for each in numbers if each is not None and each == each]
    if len(known) < 2 or len(set(known)) < 2:
        return frozenset()
    return frozenset(i for i, each in enumerate(numbers) if each == min(known))


def files(names: Sequence[frozenset[str]]) -> list[Line]:
    """The files that not all of the trials have."""
    every = sorted(frozenset[str]().union(*names) - frozenset.intersection(*names))
    return [Line(name, ["yes" if name in own else _ABSENT for own in names]) for name in every[:_MOST_FILES]]


@router.get("/studies/{name}/compare")
def compare(
    request: Request,
    name: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    trials: str = "",
) -> Response:
    """`trials=1,2,7`: the trials in this order."""
    study = found(desk, caller, name)
    chosen = [study.trial(each) for each in numbers(trials, MOST)]
    if not chosen:
        raise SpecError("name the trials to compare, as in ?trials=1,2; or select them in the table of trials")
    different, same = params(study.history, chosen)
    context: dict[str, Any] = {
        "view": study.view, "history": study.history, "chosen": chosen, "different": different, "same": same,
        "values": values(study.history, chosen), "outcomes": outcomes(study.history, chosen), "most": MOST,
        "files": files([frozenset(one.path for one in listed(study.paths.trial(t.id))) for t in chosen]),
        "outputs": [output(study, t, most=_TAIL).lines for t in chosen], "numbers": [t.id for t in chosen],
    }  # fmt: skip
    return render(request, "trials/compare.html", **context)
