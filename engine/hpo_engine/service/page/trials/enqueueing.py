"""A form for a configuration to be tried next, made from the search space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request, Response

from hpo_engine.control.queueing import enqueue
from hpo_engine.errors import Problem, SpecError
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import PageRoute, done, render, segment, wants_json
from hpo_engine.service.page.trials.finding import Found, found
from hpo_engine.space.params import Choice, Constant, Float, Int, Param
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.text.tables import assignments, number

router = APIRouter(route_class=PageRoute)
_PREFIX = "p."
_AHEAD = 20


class Field(NamedTuple):
    """A parameter as a field. `choices`: (its JSON, text), none for a number. `text`: what the field holds."""

    name: str
    hint: str
    text: str
    choices: tuple[tuple[str, str], ...] = ()
    whole: bool = False
    problem: str = ""


def fields(space: SearchSpace, texts: Mapping[str, str], problems: Mapping[str, str]) -> list[Field]:
    """One field for each parameter but the constants."""
    return [
        Field(
            p.name, _hint(p), texts.get(p.name, ""), _choices(p), isinstance(p, Int) and p.power is None,
            problems.get(p.name, ""),
        )
        for p in space.params if not isinstance(p, Constant)
    ]  # fmt: skip


def _hint(param: Param) -> str:
    if isinstance(param, Float | Int):
        base = param.power
        low, high = (param.low, param.high) if base is None else (base**param.low, base**param.high)
        text = f"{number(low)} to {number(high)}"
        text += "" if param.step is None else f", in steps of {number(param.step)}"
        text += ", log scale" if param.log or param.power is not None else ""
    else:
        text = ""
    if param.when:
        only = " and ".join(f"{parent} = {_values(wanted)}" for parent, wanted in param.when.items())
        text += f"{', ' if text else ''}only if {only}"
    return text


def _values(wanted: Any) -> str:
    return " or ".join(_text(each) for each in wanted) if isinstance(wanted, list | tuple) else _text(wanted)


def _text(value: Any) -> str:
    """As `read` reads it back."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _choices(param: Param) -> tuple[tuple[str, str], ...]:
    if not isinstance(param, Choice):
        return ()
    return tuple([(json.dumps(each, ensure_ascii=False), _text(each)) for each in param.choices])


def read(space: SearchSpace, form: Mapping[str, str]) -> dict[str, Any]:
    """The configuration in a form; empty fields are left out. Raises SpecError with the parameters' names as paths."""
    config, problems = dict[str, Any](), list[Problem]()
    for name, text in form.items():
        name, text = name.removeprefix(_PREFIX), text.strip()
        if not text:
            continue
        if name not in space:
            problems.append(Problem(name, "is not a parameter of the space"))
            continue
        param = space[name]
        try:
            config[name] = json.loads(text) if isinstance(param, Choice) else _number(text)
        except ValueError:
            kind = "one of its values" if isinstance(param, Choice) else "a number"
            problems.append(Problem(name, f'"{text[:40]}" is not {kind}'))
            continue
        if wrong := space.axis(name).problem(config[name]):
            problems.append(Problem(name, wrong))
    if problems:
        raise SpecError(problems)
    return config


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _show(
    request: Request, study: Found, texts: Mapping[str, str], like: int | None, error: SpecError | None = None
) -> Response:
    space = study.history.spec.space
    problems, other = dict[str, str](), list[str]()
    for problem in () if error is None else error.problems:
        name = problem.path.rpartition(".")[2] if problem.path not in space else problem.path
        if name in space:
            problems[name] = problem.text
        else:
            other.append(str(problem))
    queue = study.history.queue
    return render(
        request, "trials/enqueue.html", 200 if error is None else 400, view=study.view, like=like,
        fields=fields(space, texts, problems), other=other, waiting=len(queue), rules=space.require,
        queue=[assignments(q.params) for q in queue[:_AHEAD]], algorithm=study.history.spec.algorithm.name,
    )  # fmt: skip


@router.get("/studies/{name}/enqueue")
def form(
    request: Request,
    name: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    like: int | None = None,
) -> Response:
    """The form, empty or with the values of a trial."""
    study = found(desk, caller, name)
    texts: dict[str, str] = {}
    if like is not None:
        space = study.history.spec.space
        params = study.trial(like).params
        texts = {n: json.dumps(v, ensure_ascii=False) for n, v in params.items() if n in space}
    return _show(request, study, texts, like)


@router.post("/studies/{name}/enqueue")
async def enqueued(
    request: Request,
    name: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """Puts the configuration first in line; with problems, the form comes back with them beside its fields."""
    from anyio import to_thread

    sent = await request.form()
    texts = {key.removeprefix(_PREFIX): text for key, text in sent.items() if isinstance(text, str)}
    return await to_thread.run_sync(_queued, request, desk, caller, name, texts)


def _queued(request: Request, desk: Desk, caller: Caller, name: str, texts: dict[str, str]) -> Response:
    study = found(desk, caller, name)
    try:
        config = read(study.history.spec.space, texts)
        if not config:
            raise SpecError("give at least one value; the searcher fills in the rest")
        enqueue(study.paths, study.history, [config])
    except SpecError as error:
        if wants_json(request):
            raise
        return _show(request, study, texts, None, error)
    running = study.view.state == "running"
    message = "It is first in line" + ("." if running else f"; it is tried when {name} runs again.")
    return done(request, message, f"/studies/{segment(name)}")
