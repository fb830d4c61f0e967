"""What can be done to a study from its page. The same functions as behind the command line; the guard has checked that
the request comes from a page of ours."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from hpo_engine.control.changes import new_limits, refuse_fewer
from hpo_engine.errors import SpecError, StudyLocked
from hpo_engine.service.desk import Caller, Desk, View
from hpo_engine.service.page.rendering import PageRoute, done, segment
from hpo_engine.service.page.study import CallerOf, DeskOf
from hpo_engine.study.trial import BAD
from hpo_engine.text.tables import counted

router = APIRouter(route_class=PageRoute)
Text = Annotated[str, Form()]


@router.post("/studies/{name}/stop")
def stop(request: Request, name: str, desk: DeskOf, caller: CallerOf, kill: Text = "") -> Response:
    desk.stop(caller, name, kill=bool(kill))
    return done(request, f"{name} is being stopped.", _page(name))


@router.post("/studies/{name}/resume")
def resume(request: Request, name: str, desk: DeskOf, caller: CallerOf, trials: Text = "") -> Response:
    view = _readable(desk, caller, name)
    changes = new_limits({"trials": _whole(trials, "trials")}, None, "")
    refuse_fewer(view.history, changes, "{}: ")
    desk.restart(caller, name, changes)
    return done(request, f"{name} goes on.", _page(name))


@router.post("/studies/{name}/retry")
def retry(request: Request, name: str, desk: DeskOf, caller: CallerOf) -> Response:
    """Lets all trials that failed run again."""
    from hpo_engine.control.trials import retry_trials

    view = _readable(desk, caller, name)
    numbers = [trial.id for trial in view.history.trials if trial.state in BAD]
    if not numbers:
        raise SpecError(f"no trial of {name} has failed")
    _, led = retry_trials(view.paths, [range(number, number + 1) for number in numbers])
    if not led:
        desk.restart(caller, name)
    return done(request, f"{counted(len(numbers), 'trial')} of {name} will run again.", _page(name))


@router.post("/studies/{name}/limits")
def limits(
    request: Request, name: str, desk: DeskOf, caller: CallerOf, trials: Text = "", parallel: Text = "",
    time_limit: Text = "",
) -> Response:  # fmt: skip
    from hpo_engine.control.editing import StudyFile

    view = _readable(desk, caller, name)
    given = {
        "trials": _whole(trials, "trials"),
        "parallel": _whole(parallel, "parallel"),
        "time_limit": time_limit.strip(),
    }
    sets = [f"{key}={value}" for key, value in given.items() if value not in (None, "")]
    if not sets:
        raise SpecError("nothing is filled in, so nothing changes")
    new, source = StudyFile.of(view.paths, view.history).with_changes(sets, [])
    return done(request, _revised(view, new, source, caller), _page(name))


@router.post("/studies/{name}/edit")
def edit(request: Request, name: str, desk: DeskOf, caller: CallerOf, text: Text) -> Response:
    from hpo_engine.control.editing import StudyFile

    view = _readable(desk, caller, name)
    new, source = StudyFile.of(view.paths, view.history).with_text(text.replace("\r\n", "\n"), "algo.yaml")
    return done(request, _revised(view, new, source, caller), _page(name) + "?tab=configuration")


@router.post("/studies/{name}/remove")
def remove(request: Request, name: str, desk: DeskOf, caller: CallerOf, sure: Text = "", force: Text = "") -> Response:
    if sure.strip() != name:
        raise SpecError(f"to delete it, type its name: {name}")
    desk.remove(caller, name, force=bool(force))
    return done(request, f"{name} is deleted.", "/")


def _revised(view: View, new: Any, source: str | None, caller: Caller) -> str:
    """Changes the study; says what is different."""
    from hpo_engine.control import editing

    assert view.paths is not None and view.history is not None
    editing.refuse_unwritable(view.paths)
    revision = editing.revision_to(view.paths, view.history, new, source)
    if revision.empty:
        return "Nothing changes."
    editing.revise(view.paths, revision, caller.name)
    return "; ".join([*revision.lines, *revision.effects])


def _readable(desk: Desk, caller: Caller, name: str) -> Any:
    """The view of a study with a log and a folder. Raises StudyNotFound; StudyLocked: it has not begun, or is
    damaged."""
    view = desk.view(caller, name)
    if view.history is None or view.paths is None:
        raise StudyLocked(view.problem or f"{name} has not begun yet")
    return view


def _whole(text: str, name: str) -> int | None:
    """The number in a field; None if it is empty."""
    if not text.strip():
        return None
    try:
        found = int(text)
    except ValueError:
        found = 0
    if not 0 < found < 1 << 31:
        raise SpecError(f"{name}: must be a whole number from 1 on, not {text.strip()[:40]}")
    return found


def _page(name: str) -> str:
    return f"/studies/{segment(name)}"
