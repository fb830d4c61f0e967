"""Commands worth typing after a study has ended or stopped, each with what it does."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Sequence
from importlib.util import find_spec

from hpo_engine.contract.paths import runs_root
from hpo_engine.reports.ranking import row_metrics, whole
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.lineage import has_schedule
from hpo_engine.study.trial import BAD
from hpo_engine.text.commands import advised
from hpo_engine.text.tables import safe_text

Steps = Sequence[tuple[str, str]]
_SHOWN = 10


def next_steps(history: History, folder: str) -> Steps:
    """Commands worth typing now, each with what it does."""
    return [(advised(command), what) for command, what in _steps(history, folder)]


def _steps(history: History, folder: str) -> Steps:
    name = shlex.quote(safe_text(called(history, folder)))
    if history.state is StudyState.STOPPED and history.halted:
        return [*_mending(history, name), *_results(history, name)]
    steps = []
    if history.state is StudyState.RUNNING:
        steps.append((f"hpo-engine watch {name}", "watch it"))
        steps.append((f"hpo-engine resume {name}", "continue, once no engine runs it"))
    elif more := _more_time(history):
        steps.append(
            (f"hpo-engine resume {name} --time-limit {more}", "continue: the limit counts all runs of the study")
        )
    elif history.by_rule:
        steps.append((f"hpo-engine edit {name} --unset stop", "then resume: it goes on without the rules of stop"))
    elif history.state is StudyState.STOPPED and history.paused:
        numbers = " ".join([str(trial.id) for trial in history.paused[:_SHOWN]])
        are = "the paused trial" if len(history.paused) == 1 else "the paused trials"
        steps.append((f"hpo-engine resume {name} {numbers}", f"let {are} run on (or end them: cancel)"))
    elif history.state is StudyState.STOPPED:
        steps.append((f"hpo-engine resume {name}", "continue where it stopped"))
    steps += _results(history, name)
    bad = [t.id for t in history.trials if t.state in BAD]
    if bad:
        steps.append((f"hpo-engine logs {name} {bad[-1]}", "output of the failed trial"))
        if history.state is StudyState.FAILED:  # a retry would run the same script
            steps.append(_anew(name))
            steps.append((f"hpo-engine retry {name} --failed", "if the cause was outside the script"))
        else:
            steps.append((f"hpo-engine retry {name} --failed", "run the failed trials again"))
    if (
        not _at_a_server(folder)
        and find_spec("tensorboard")
        and (history.best_id is not None or any(t.rows for t in history.trials))
    ):
        steps.append((f"hpo-engine tensorboard {name}", "curves and parameters"))
    return steps


def _more_time(history: History) -> str:
    """A time limit that lets a study go on whose own is used up; "" for others, and where no trial is left to run."""
    limit = history.spec.budget.time_s
    if limit is None or history.spent_s < limit or 0 in (history.trials_left, history.runs_left):
        return ""
    seconds = math.ceil(max(2 * limit, history.spent_s + limit))
    return f"{math.ceil(seconds / 60)}m" if seconds >= 600 else f"{seconds}s"


def _results(history: History, name: str) -> Steps:
    """Commands that show what was found."""
    if history.best_id is not None and history.spec.multi_objective:
        return [
            (f"hpo-engine best {name}", "the whole front"),
            (f"hpo-engine best {name} {history.best_id} --config", "one trial's parameters as JSON"),
        ]
    if (best := history.best) is not None:
        steps = [(f"hpo-engine best {name} --config", "the best parameters as JSON")]
        if has_schedule(history, best) and history.spec.algorithm.name != "schedule":
            steps.append((f"hpo-engine replay {name} {best.id}", "train the best one's schedule from the beginning"))
        return steps
    if not (other := _other_metric(history)):
        return []
    goal = history.spec.objectives[0].goal
    return [
        (f"hpo-engine best {name} --metric {shlex.quote(other)} --goal {goal}", "judge the trials by another metric")
    ]


def _other_metric(history: History) -> str:
    """What trials that ended well have in place of the objective, which was misspelt perhaps."""
    if not any(whole(t) for t in history.trials):
        return ""
    import difflib  # only on the way to an error

    own = {objective.metric for objective in history.spec.objectives}
    others = [name for name in row_metrics(history) if name.isprintable() and name not in own]
    close = difflib.get_close_matches(history.spec.objectives[0].metric, others, n=1, cutoff=0.4)
    return close[0] if close else ""


def _mending(history: History, name: str) -> Steps:
    """What to do after a rule has stopped the study: the script's copy in it stays as it is."""
    anew = _anew(name)
    if history.halted == "objective":
        insist = (f"hpo-engine resume {name}", "continue, if the script reports it later")
        return [anew, insist]
    bad = [t.id for t in history.trials if t.state in BAD]
    return [
        *((f"hpo-engine logs {name} {number}", "its whole output") for number in bad[-1:]),
        anew,
        (f"hpo-engine retry {name} --failed", "if the cause was outside the script"),
        (f"hpo-engine resume {name}", "continue without them"),
    ]


def _anew(name: str) -> tuple[str, str]:
    return f"hpo-engine remove {name}", "then fix the script or the file, and submit again"


def called(history: History, folder: str) -> str:
    """What a command line must call the study: its name where that is found (as at a server, whose folders begin with
    the host), else its folder."""
    name = os.path.basename(folder) or history.spec.name
    there = os.path.dirname(folder) in ("", runs_root(None, os.environ)) or _at_a_server(folder)
    return name if there else folder


def _at_a_server(folder: str) -> bool:
    """Whether it is `host:/folder`."""
    return folder.partition("/")[0].endswith(":")
