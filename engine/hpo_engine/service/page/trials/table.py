"""The data of the table of trials, and what is done to several of them at once."""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.control.trials import Answer, pause_trials, resume_trials, retry_trials, stop_trials
from hpo_engine.errors import SpecError
from hpo_engine.reports.columns import Columns
from hpo_engine.reports.objects import dump
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import HEADERS, PageRoute, done, segment
from hpo_engine.service.page.trials.finding import Found, found, numbers
from hpo_engine.study.history import History
from hpo_engine.text.tables import counted

router = APIRouter(route_class=PageRoute)
_KEPT = 50  # studies
_WORTH_PACKING = 20_000  # bytes
MOST_CHANGED = 1_000
_SHOWN = 3


class _Whole(NamedTuple):
    """The whole table as it is sent, at an event."""

    events: int
    plain: bytes
    packed: bytes


class Tables:
    """The columns of studies that somebody has looked at lately. The whole table of a study is written once, however
    many pages ask for it."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[threading.Lock, Columns]] = OrderedDict()
        self._wholes: dict[str, _Whole] = {}
        self._lock = threading.Lock()

    def text(self, root: str, history: History, since: int) -> tuple[bytes, bytes | None]:
        """The JSON of `Columns.to_json`, and the same packed (None: not worth it)."""
        with self._lock:
            lock, columns = self._known.setdefault(root, (threading.Lock(), Columns()))
            self._known.move_to_end(root)
            while len(self._known) > _KEPT:
                self._wholes.pop(self._known.popitem(last=False)[0], None)
        with lock:
            columns.read(history)
            if since >= 0:
                return dump(columns.to_json(since)).encode(), None
            whole = self._wholes.get(root)
            if whole is None or whole.events != columns.events:
                plain = dump(columns.to_json()).encode()
                whole = _Whole(columns.events, plain, gzip.compress(plain, 1, mtime=0))
                self._wholes[root] = whole
            return whole.plain, whole.packed if len(whole.plain) > _WORTH_PACKING else None


_tables = Tables()


@router.get("/studies/{name}/trials")
def trials_page(name: str) -> Response:
    """The tab of the study's page."""
    return RedirectResponse(f"/studies/{segment(name)}?tab=trials", 307, HEADERS)


@router.get("/studies/{name}/trials.json")
def trials_json(
    request: Request,
    name: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    since: int = -1,
) -> Response:
    """The trials as columns; `since`: those that have changed since the answer with that number of `events`."""
    study = found(desk, caller, name)
    if since >= study.history.events:
        return Response(status_code=204, headers=HEADERS)
    plain, packed = _tables.text(study.paths.root, study.history, since)
    if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers = {**HEADERS, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(packed, headers=headers, media_type="application/json")
    return Response(plain, headers=HEADERS, media_type="application/json")


def _stop(paths: StudyPaths, trials: Sequence[range]) -> list[Answer]:
    return stop_trials(paths, trials, wait=False)


def _pause(paths: StudyPaths, trials: Sequence[range]) -> list[Answer]:
    return pause_trials(paths, trials, wait=False)


def _resume(paths: StudyPaths, trials: Sequence[range]) -> list[Answer]:
    return resume_trials(paths, trials)[0]


def _retry(paths: StudyPaths, trials: Sequence[range]) -> list[Answer]:
    return retry_trials(paths, trials)[0]


ACTIONS: dict[str, Callable[[StudyPaths, Sequence[range]], list[Answer]]] = {
    "stop": _stop, "pause": _pause, "resume": _resume, "retry": _retry,
}  # fmt: skip


def changed(study: Found, do: str, chosen: Sequence[int]) -> str:
    """Does it; returns what has become of the trials, in a sentence. Raises SpecError, EngineError."""
    if do not in ACTIONS:
        raise SpecError(f'"{do[:40]}" is not something to do with trials; there are {", ".join(ACTIONS)}')
    for number in chosen:
        study.trial(number)
    answers = ACTIONS[do](study.paths, [range(number, number + 1) for number in chosen])
    texts = [answer.text or f"trial {answer.trial} is {answer.state}" for answer in answers]
    more = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {counted(more, 'more trial')}" if more > 0 else "")


@router.post("/studies/{name}/trials")
def change_trials(
    request: Request,
    name: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    do: Annotated[str, Form()],
    trials: Annotated[str, Form()],
) -> Response:
    """Stops, pauses, resumes or retries trials."""
    study = found(desk, caller, name)
    chosen = numbers(trials, MOST_CHANGED)
    if not chosen:
        raise SpecError("no trial is selected")
    return done(request, changed(study, do, chosen), f"/studies/{segment(name)}?tab=trials")
