"""What the tools answer: studies, trials and figures of one root as plain values."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import SpecError, nearest

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Trial

_ROWS = 200  # reports of one trial in an answer
_MOST = 500  # trials in an answer
_LOG_LINES = 400


def studies(root: str) -> list[dict[str, Any]]:
    """Every study below the root, in short."""
    from hpo_engine.control.listing import listed_object, studies_in

    out: list[dict[str, Any]] = []
    for one in studies_in(root):
        found = one.summary
        more = {} if found is None else {"metrics": list(found.metrics), "done": found.done, "total": found.total}
        out.append({**listed_object(one), **more})
    return out


def study(paths: StudyPaths) -> dict[str, Any]:
    """How a study stands, and what it was asked to be."""
    from hpo_engine.reports import remarks
    from hpo_engine.reports.objects import provenance_object, summary
    from hpo_engine.store.lock import who_leads
    from hpo_engine.studyfile.native import to_native

    history = read(paths)
    holder = who_leads(paths.lock)
    found = summary(history, holder is not None, time.time())
    remark = remarks.identical(history)
    return {
        **found,
        "file": to_native(history.spec),
        "folder": paths.root,
        "engine": None if holder is None else str(holder),
        "notes": [*history.spec.notes, *([remark] if remark else [])],
        "provenance": provenance_object(history),
    }


def trials(paths: StudyPaths, state: str, sort: str, limit: int, offset: int) -> dict[str, Any]:
    """A page of a study's trials.

    Args:
        state: only those in this state; "": all. sort: "best" (by the objective; trials without a result last) or
            "newest".
    """
    from hpo_engine.reports.objects import trial_object
    from hpo_engine.reports.ranking import best_first
    from hpo_engine.study.trial import TrialState

    history = read(paths)
    known = [each.value for each in TrialState]
    if state and state not in known:
        raise SpecError(f"state: {state}{nearest(state, known)}")
    if sort not in ("best", "newest"):
        raise SpecError(f"sort: {sort}{nearest(sort, ('best', 'newest'))}")
    ranked = best_first(history) if sort == "best" else []
    seen = {trial.id for trial in ranked}
    found = [*ranked, *(trial for trial in reversed(list(history.trials)) if trial.id not in seen)]
    found = [trial for trial in found if not state or trial.state.value == state]
    page = found[max(0, offset) : max(0, offset) + min(max(1, limit), _MOST)]
    return {"study": history.spec.name, "trials_in_all": len(found), "trials": [trial_object(history, t) for t in page]}


def trial(paths: StudyPaths, number: int) -> dict[str, Any]:
    """One trial: its values, its attempts, and its reports (thinned to 200)."""
    from hpo_engine.reports.objects import attempt_object, trial_object

    history = read(paths)
    found = trial_of(history, number)
    step = max(1, -(-len(found.rows) // _ROWS))
    rows = [{"step": row.step, **row.values} for row in found.rows[::step]]
    if found.rows and step > 1:
        last = found.rows[-1]
        rows.append({"step": last.step, **last.values})
    return {
        **trial_object(history, found),
        "attempts": [attempt_object(attempt) for attempt in found.attempts],
        "reports": rows,
        "reports_in_all": len(found.rows),
        "folder": paths.trial(number).result_dir,
    }


def log(paths: StudyPaths, number: int, lines: int) -> list[str]:
    """The last lines that a trial has printed, as a terminal would show them."""
    from hpo_engine.contract.outputlog import logfiles

    attempt = trial_of(read(paths), number).attempt
    if attempt is None:
        raise SpecError(f"trial {number} has not started yet")
    found = logfiles.lines(paths.trial(number).attempt(attempt.number))
    return found[-min(max(1, lines), _LOG_LINES) :]


def best(paths: StudyPaths) -> dict[str, Any]:
    """The best trial with its configuration; of several objectives, the front."""
    from hpo_engine.reports.objects import best_object, front_object

    history = read(paths)
    if history.best is None:
        raise SpecError(f"{history.spec.name} has no finished trial with a valid result yet")
    several = front_object(history) if history.spec.multi_objective else {}
    return {"study": history.spec.name, "best": best_object(history), **several}


def explained(paths: StudyPaths, number: int) -> dict[str, Any]:
    """Why a trial is what it is, in words."""
    from hpo_engine.control.explaining import explain
    from hpo_engine.reports.explaining import explanation_object

    history = read(paths)
    found = trial_of(history, number)
    return explanation_object(history, found, explain(paths, history, found))


def figure(paths: StudyPaths, name: str) -> dict[str, Any]:
    """The data of a figure."""
    from hpo_engine.reports import charts

    history = read(paths)
    about = {"study": history.spec.name, "figure": name}
    if name == "importance":
        return {**about, **charts.importance_object(history)}
    if name not in charts.CHARTS:
        raise SpecError(f"figure: {name}{nearest(name, [*charts.CHARTS, 'importance'])}")
    return {**about, "charts": [charts.chart_object(chart) for chart in charts.CHARTS[name](history)]}


def queued(paths: StudyPaths, configurations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Puts configurations first in a study's line."""
    from hpo_engine.control.queueing import enqueue

    history = read(paths)
    _, numbers = enqueue(paths, history, [dict(each) for each in configurations])
    return {"study": history.spec.name, "queued": numbers}


def stopped(paths: StudyPaths) -> dict[str, Any]:
    """Stops a study, so that it can be resumed."""
    from hpo_engine.control.stopping import ask_to_stop, await_stop, stop_unled
    from hpo_engine.reports.objects import summary
    from hpo_engine.store.lock import who_leads

    history = read(paths)
    if who_leads(paths.lock) is not None:
        await_stop(paths, ask_to_stop(paths, kill=False, why="an assistant"), history.spec.trial.grace_s)
    elif history.running:
        stop_unled(paths, kill=False)
    return summary(read(paths), who_leads(paths.lock) is not None, time.time())


def ended(paths: StudyPaths, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Ends trials for good."""
    from hpo_engine.control.trials import stop_trials

    found = stop_trials(paths, [range(number, number + 1) for number in numbers])
    return [{"trial": answer.trial, "state": answer.state, "text": answer.text} for answer in found]


def read(paths: StudyPaths) -> History:
    from hpo_engine.store.journal import read_history

    return read_history(paths.db)


def trial_of(history: History, number: int) -> Trial:
    if number not in range(history.next_id):
        raise SpecError(f"{history.spec.name} has no trial {number}; it has {history.next_id} (from 0)")
    return history.trials[number]
