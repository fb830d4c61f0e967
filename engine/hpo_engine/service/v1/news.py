"""What is new: in one study, by its event log; in the list of studies, by comparing it with what it was.

Read in worker threads; each object is used by one at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import StudyGone
from hpo_engine.reports.objects import dump
from hpo_engine.service.v1.feeds import Message
from hpo_engine.service.v1.objects import brief_object, update_object

if TYPE_CHECKING:
    from hpo_engine.service.desk import Caller, Desk, View
    from hpo_engine.study.events import Event

MOST_EVENTS = 5_000
"""A listener that lacks more is told to begin anew."""
_MOST_ROWS = 2_000  # of a trial in one message; of more only the newest
MOST_STUDIES = 1_000


class StudyNews:
    """What is new in one study. Messages: `update` (see `update`), `reset`: begin anew, it is another study."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk, self._name = desk, name
        view = self._view()
        self._opened, self._events, self._version = view.created, _events(view), view.version

    def position(self) -> int:
        return self._events

    def news(self) -> Sequence[Message]:
        view = self._view()
        if view.created != self._opened:
            self._opened, self._events, self._version = view.created, _events(view), view.version
            return [reset(view)]
        if view.version == self._version:
            return []
        since, self._events, self._version = self._events, _events(view), view.version
        return [update(view, since)]

    def _view(self) -> View:
        return self._desk.view(_anybody(), self._name)


def _anybody() -> Caller:
    """Who may see all: each listener was let in before it joined."""
    from hpo_engine.service.desk import Caller

    return Caller("", admin=True)


def missed(desk: Desk, name: str, after: int, until: int) -> Sequence[Message]:
    """What a listener who knows the events up to `after` lacks up to `until`. Raises StudyNotFound, JournalError."""
    view = desk.view(_anybody(), name)
    if after > until or until - after > MOST_EVENTS:
        return [reset(view)]
    return [update(view, after, until)]


def message_id(view: View, events: int) -> str:
    return f"{view.created:.6f}-{events}"


def events_of(text: str, view: View) -> int | None:
    """The number of events in a `message_id` of this study; None if it is of another one."""
    created, _, number = text.rpartition("-")
    known = created == f"{view.created:.6f}" and number.isascii() and number.isdigit() and len(number) < 12
    return int(number) if known else None


def reset(view: View) -> Message:
    return Message("reset", dump(brief_object(view)), message_id(view, _events(view)))


def update(view: View, after: int, until: int | None = None) -> Message:
    """The study in short, with `trials` that are new or have another state (whole, small), and new `rows`: for each
    trial {trial, replace, rows: [[step, {metric: value}], ...]}, where `replace` means that they replace those of its
    latest attempt. `after`, `events`: the first is known, the last is in it; `revised`: the study itself was changed.
    """
    history = view.history
    brief: dict[str, Any] = {**brief_object(view), "after": after}
    if history is None or view.paths is None:
        nothing = {"events": 0, "trials": [], "rows": [], "revised": False}
        return Message("update", dump({**brief, **nothing}), message_id(view, 0))
    last = history.events if until is None else until
    found = _read(view, after, last)
    touched = dict.fromkeys(number for event in found if (number := _trial_of(event)) is not None)
    brief |= {
        "events": last,
        "reason": history.reason,
        "front": list(history.front_ids),
        "trials": [update_object(history, history.trials[n]) for n in sorted(touched) if n < history.next_id],
        "rows": _rows(found),
        "revised": any(event.kind == "spec_changed" for event in found),
    }
    return Message("update", dump(brief), message_id(view, last))


def _read(view: View, after: int, last: int) -> list[Event]:
    from hpo_engine.store.journal import Journal

    assert view.paths is not None
    if last <= after:
        return []
    with contextlib.closing(Journal(view.paths.db)) as journal:
        return journal.read(after)[: last - after]


def _trial_of(event: Event) -> int | None:
    """The trial whose state, value or times may have changed."""
    return None if event.kind in ("metrics_seen", "source_used") else getattr(event, "trial", None)


def _rows(events: Iterable[Event]) -> list[dict[str, Any]]:
    from hpo_engine.study.events import MetricsSeen

    found: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, MetricsSeen):
            rows = [[row.step, dict(row.values)] for row in event.rows]
            one = found.setdefault(event.trial, {"trial": event.trial, "replace": False, "rows": []})
            if event.replace:
                one["replace"], one["rows"] = True, []
            one["rows"] = [*one["rows"], *rows][-_MOST_ROWS:]
    return list(found.values())


def _events(view: View) -> int:
    return 0 if view.history is None else view.history.events


class ListNews:
    """What is new in the studies that one user may see: `studies` {studies: [...], removed: [names]}."""

    def __init__(self, desk: Desk, caller: Caller) -> None:
        self._desk, self._caller = desk, caller
        self._known: dict[str, tuple[Any, ...]] = {}
        self.news()

    def position(self) -> int:
        return 0

    def news(self) -> Sequence[Message]:
        views = {view.name: view for view in self._desk.views(self._caller)[:MOST_STUDIES]}
        stamps = {name: (view.created, view.version, view.owner) for name, view in views.items()}
        before, self._known = self._known, stamps
        changed = [brief_object(views[name]) for name, stamp in stamps.items() if before.get(name) != stamp]
        removed = [name for name in before if name not in stamps]
        return [Message("studies", dump({"studies": changed, "removed": removed}))] if changed or removed else []


def all_studies(desk: Desk, caller: Caller) -> Message:
    """The list as it stands."""
    briefs = [brief_object(view) for view in desk.views(caller)[:MOST_STUDIES]]
    return Message("studies", dump({"studies": briefs, "removed": [], "all": True}))


class OutputNews:
    """What a trial prints: `output` {attempt, text}; `attempt` when another one has begun; `end` when it has ended."""

    def __init__(self, desk: Desk, name: str, trial: int) -> None:
        self._desk, self._name, self._trial = desk, name, trial
        self._attempt = 0
        self._tail: Any = None

    def position(self) -> int:
        return 0

    def news(self) -> Sequence[Message]:
        from hpo_engine.contract.outputlog import logfiles

        view = self._desk.view(_anybody(), self._name)
        if view.history is None or view.paths is None or self._trial >= view.history.next_id:
            raise StudyGone(f"{self._name} has no trial {self._trial} any more")
        trial = view.history.trials[self._trial]
        out = []
        if trial.attempts and trial.attempts[-1].number != self._attempt:
            self._attempt = trial.attempts[-1].number
            self._tail = logfiles.Follower(view.paths.trial(self._trial).attempt(self._attempt))
            out.append(Message("attempt", dump({"attempt": self._attempt})))
        if self._tail is not None:
            for chunk in self._tail.fresh():
                text = chunk.decode("utf-8", "replace")
                out.append(Message("output", dump({"attempt": self._attempt, "text": text})))
        if trial.state.ended:
            out.append(Message("end", dump({"state": trial.state.value, "reason": trial.reason}), last=True))
        return out
