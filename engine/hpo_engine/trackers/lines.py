"""What a study says in plain lines: when it begins, when a trial ends, and the summary at its end.

Text from a History (and what `remedy` finds in the study's folder); knows no terminal and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_engine.contract.sources.candidates import OWN
from hpo_engine.reports import remarks
from hpo_engine.reports.ranking import beside, beside_names, best_first, tied
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.lineage import LAST_VALUES, has_schedule
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import BAD, MetricsFrom, Trial, TrialState
from hpo_engine.text.quoting import listed, quoted
from hpo_engine.text.tables import (
    ELLIPSIS,
    assignments,
    columns,
    counted,
    cut,
    cut_name,
    duration,
    next_lines,
    number,
    room_beside,
    safe_text,
    table,
    value,
)
from hpo_engine.trackers.next_steps import Steps
from hpo_engine.trackers.remedy import remedy, wrong_metric

PARAMS_WIDTH, REASON_WIDTH, VALUE_WIDTH, TABLE_WIDTH = 100, 500, 200, 120
MAX_PARAMS, MAX_FRONT, MAX_BEST, MAX_COLUMN, MAX_OTHERS = 50, 20, 5, 16, 4

STATE_WORDS = {
    TrialState.RUNNING: "running",
    TrialState.PENDING: "pending",
    TrialState.PAUSED: "paused",
    TrialState.COMPLETED: "completed",
    TrialState.FAILED: "failed",
    TrialState.TIMED_OUT: "timed out",
    TrialState.LOST: "lost",
    TrialState.STOPPED: "stopped",
    TrialState.PRUNED: "pruned",
}
"""In the order in which counts are shown."""


def begin(history: History) -> str:
    """The first line: what is going to happen, or where a study resumes."""
    spec = history.spec
    name = safe_text(spec.name)
    if history.progress[0]:
        return f"{name}: continues after {progress(history)}{_best_so_far(history)}"
    limits = [counted(spec.budget.trials, "trial")] if spec.budget.trials is not None else []
    runs = spec.budget.runs
    limits += [counted(runs, "trial" if history.counts_runs else "run")] if runs is not None else []
    limits += [duration(spec.budget.time_s)] if spec.budget.time_s is not None else []
    seed = f", seed {spec.seed}" if spec.seed is not None else ""
    return (
        f"{name}: {objective_text(spec)}; {' or '.join(limits) or 'no limit'}, "
        f"{spec.resources.parallel} at a time, {safe_text(spec.algorithm.name)} search{seed}"
    )


def objective_text(spec: StudySpec) -> str:
    """`minimize loss`, or `minimize loss, maximize accuracy`."""
    return ", ".join(f"{o.goal} {safe_text(o.metric)}" for o in spec.objectives)


def progress(history: History) -> str:
    """`12/30 trials`, or `12/? trials` without a limit; `12/30 trials, 17 runs` if configurations are promoted, and
    `17/60 runs` if only runs are limited."""
    done, total = history.progress
    text = f"{done}/{'?' if total is None else total} {history.progress_unit}s"
    return text + (f", {counted(history.runs_ended, 'run')}" if _tells_runs(history) else "")


def _tells_runs(history: History) -> bool:
    """Whether there are more runs than trials, and `History.progress` does not count them."""
    return history.runs > history.begun and history.progress_unit == "trial" and not history.counts_runs


def progress_label(history: History) -> str:
    """`12/30` beside a bar, `12/30, 17 runs` if configurations are promoted; `12 done` without a limit."""
    done, total = history.progress
    label = f"{done}/{total}" if total is not None else f"{done} done"
    return label + (f", {counted(history.runs_ended, 'run')}" if _tells_runs(history) else "")


class Said:
    """What has been said while a study runs, so that the next line does not say it again."""

    def __init__(self) -> None:
        self._reasons: dict[str, int] = {}  # why trials failed, and the first that did
        self._lists = set[str]()  # of metrics

    def takes(self, text: str) -> None:
        self._lists.update(_LIST.findall(text))

    def once(self, text: str) -> str:
        """The text without a list of metrics that was there before, and without a reason that a trial has had."""
        for reason in self._reasons:
            text = text.removesuffix(f": {reason}")
        return _LIST.sub(lambda found: "" if found[0] in self._lists else found[0], text)

    def reason(self, trial: Trial) -> str:
        """Why the trial ended; for a long reason of a trial before it, which one that was."""
        why = reason(trial)
        first = self._reasons.setdefault(why, trial.id)
        if first != trial.id and len(why) > _SHORT:
            return f"same as trial {first}"
        shown = self.once(why) if first == trial.id else why
        self.takes(why)
        return shown


_LIST = re.compile(r'; it has "[^;()]*(?=;|$| \()')
_SHORT = 40  # characters of a reason that may be said again


def ended(trial: Trial, history: History, said: Said | None = None) -> str:
    """`[ 3/30] trial 2 completed  loss=0.12 (best 0.12, trial 2)  1.2 s  lr=0.01 ...` right after it has ended.

    If configurations are promoted, the number of the run as well: `[12/30, run 17]`.
    With metrics of interest and a resource: `loss=0.12 acc=0.9 (best 0.12 with epochs 9, trial 2)  epochs 9`.
    With several objectives: `loss=0.12 size=3 (front of 2, hypervolume 0.4)`, or `(in the front of 2, ...)`.
    """
    count, total = history.progress
    digits = len(str(count if total is None else total))
    of = f"{count:{digits}d}/{'?' if total is None else total}"
    of += f", run {history.runs_ended}" if _tells_runs(history) else ""
    parts = [f"[{of}] trial {trial.id} {STATE_WORDS[trial.state]}"]
    if trial.state is TrialState.COMPLETED:
        inside = "in the " if history.spec.multi_objective and trial.id in history.front_ids else ""
        more = _why_worse(history, trial)
        parts.append(f"{_values(history, trial)}{_best_so_far(history, inside, more)}")
        parts.append(reason(trial))  # of a trial that was ended early and still counts
    elif trial.reason:
        parts.append(reason(trial) if said is None else said.reason(trial))
    parts.append(_amount(history, trial.proposal.resource))
    if trial.ran_s is not None:
        parts.append(duration(trial.ran_s))
    parts.append(assignments(remarks.searched(history.spec, trial.params), PARAMS_WIDTH))
    return "  ".join(filter(None, parts))


def _amount(history: History, resource: int | None) -> str:
    """`epochs 9`; "" if nothing is rationed."""
    rationed = history.spec.resource
    return f"{safe_text(rationed.name)} {resource}" if rationed and resource is not None else ""


def _why_worse(history: History, trial: Trial) -> str:
    """Why the best value may have got worse: this trial is the first with so much of the resource."""
    amount, rationed = trial.proposal.resource, history.spec.resource
    if rationed is None or amount is None or trial.id != history.best_id or history.spec.multi_objective:
        return ""
    others = [t for t in best_first(history) if t.id != trial.id]
    if not others or others[0].trained >= amount or trial.losses <= others[0].losses:
        return ""
    before = number(history.values(others[0])[0])
    name = safe_text(rationed.name)
    return f"; before: {before} with {name} {others[0].trained}, but results with the most {name} count"


def failure(trial: Trial, said: Said) -> str:
    """`trial 3 failed after 1.2 s: exit code 1`"""
    took = f" after {duration(trial.ran_s)}" if trial.ran_s is not None else ""
    return f"trial {trial.id} {STATE_WORDS[trial.state]}{took}" + (f": {said.reason(trial)}" if trial.reason else "")


def again(trial_id: int, run: int, why: str) -> str:
    """A run ended and the trial will have another."""
    return f"trial {trial_id} runs again, after run {run} ended: {_brief(trial_id, why) or 'no reason given'}"


def paused(trial: Trial) -> str:
    """The user has paused a trial, before it began or while it ran."""
    from_files = "; what it has left stays for its next run to go on from" if trial.suspended else ""
    return f"trial {trial.id} is paused{from_files}"


def reason(trial: Trial) -> str:
    """Why the trial ended."""
    return _brief(trial.id, trial.reason)


def _brief(trial_id: int, why: str) -> str:
    """Without the trial's name, which stands before it anyway."""
    return cut(safe_text(why.removeprefix(f"trial {trial_id}: ")), REASON_WIDTH)


def metrics_from(history: History, found: MetricsFrom) -> str:
    """Where the metrics are read from: said once for each source. "" for a file that scripts write for the engine, if
    nothing else could have been meant.

    `metrics are read from metrics.csv (csv); a step is an epoch; output.log (stdout) has "loss", too`
    """
    if found == history.metrics_from[0]:
        return "" if found.key in OWN and not found.others else metrics_are(found, history.spec)
    usual = history.metrics_from[0]
    return (
        f"trial {found.trial}: its {metrics_are(found, history.spec)}; {safe_text(usual.key)}, which the trials before "
        f"had, lacks {_objectives(history.spec)} here"
    )


def metrics_are(found: MetricsFrom, spec: StudySpec) -> str:
    """The same as a statement of facts, for whichever source."""
    parts = [f"metrics are read from {safe_text(found.source)} ({safe_text(found.key)})"]
    parts += [safe_text(found.steps)] if found.steps else []
    if found.others:
        also = listed([safe_text(other) for other in found.others], MAX_OTHERS)
        has = "has" if len(found.others) == 1 else "have"
        parts.append(f"{also} {has} {_objectives(spec)}, too")
    return "; ".join(parts)


def _objectives(spec: StudySpec) -> str:
    return " and ".join(quoted(aim.metric) for aim in spec.objectives)


def revised(changed_lines: Sequence[str]) -> str:
    """The user has changed the study."""
    return f"the study was changed: {'; '.join(map(safe_text, changed_lines))}"


def changed(changes: Mapping[str, Any]) -> str:
    words = {"time_s": "time limit", "parallel": "trials at a time"}
    shown = [
        f"{words.get(name, name)} {'unlimited' if v is None else duration(v) if name == 'time_s' else v}"
        for name, v in changes.items()
    ]
    return f"new limits: {', '.join(shown)}"


def counts(history: History) -> list[tuple[TrialState, str]]:
    """`[(RUNNING, "3 running"), (FAILED, "1 failed")]`, those that are not zero."""
    return [(s, f"{history.counts[s]} {word}") for s, word in STATE_WORDS.items() if history.counts.get(s)]


def summary(
    history: History, now: float, folder: str = "", steps: Steps = (), width: int = 1000, *, before: bool = False
) -> list[str]:
    """The block that stays on the screen at the end: verdict, best trial, where things are, what to type next.

    A command's purpose gets a line of its own if it does not fit into `width`; nothing is cut.
    `before`: it was complete before the command that shows this.
    """
    tally = ", ".join(text for _, text in counts(history))
    it = f"{safe_text(history.spec.name)}{' is complete already; it' if before else ''}"
    first = f"{it} {verdict(history)} after {duration(history.elapsed_s(now))}"
    out = [f"{first}: {tally or 'no trials'}"]
    named = wrong_metric(history, folder)  # the remedy says it all
    if history.reason and (history.state is not StudyState.STOPPED or history.halted) and not named:
        out.append(safe_text(history.reason))
    out += _best_block(history, width)
    failures = [t for t in history.trials if t.state in BAD and t.reason]
    if not named and failures and _brief(failures[-1].id, failures[-1].reason) not in safe_text(history.reason):
        last = failures[-1]
        out += ["", f"last failure, trial {last.id}: {reason(last)}"]
    for remark in filter(None, (remarks.identical(history), remedy(history, folder))):
        out += ["", safe_text(remark)]
    ends = [("folder", safe_text(folder))] if folder else []
    lines = [f"{label:8}{text}" for label, text in ends] + next_lines(steps, width)
    return out + ([""] if lines else []) + lines


def verdict(history: History) -> str:
    if history.state is StudyState.RUNNING:
        return "is left running"
    shown = history.state is StudyState.STOPPED and history.reason and not history.halted  # else on a line of its own
    return f"{history.state.value}{f' ({safe_text(history.reason)})' if shown else ''}"


def front_line(history: History) -> str:
    """`front of 7 trials, hypervolume 0.43`"""
    count, volume = len(history.front), history.hypervolume
    shown = "" if volume is None else f", hypervolume {number(volume)}"
    return f"front of {count} trial{'s' if count != 1 else ''}{shown}"


def front(history: History, width: int | None = None, most: int | None = None) -> list[str]:
    """The trials that no other one dominates, the best by the first objective first; at most so many of them."""
    members = [history.trials[number] for _, number in history.front]
    extra = beside_names(history.spec)
    shown = members[:most]
    rows = [[str(t.id), *map(number, history.values(t)), *_shown(beside(history, t), extra)] for t in shown]
    headers = [
        "TRIAL",
        *(safe_text(o.metric.upper()) for o in history.spec.objectives),
        *(safe_text(n.upper()) for n in extra),
    ]
    room = room_beside(headers, rows, width)
    for row, trial in zip(rows, shown, strict=True):
        row.append(assignments(remarks.searched(history.spec, history.result_config(trial)), room))
    headers.append("PARAMETERS")
    more = [f"... and {len(members) - len(rows)} more"] if len(members) > len(rows) else []
    return [
        f"{front_line(history)}; {objective_text(history.spec)}",
        *table(headers, rows, width=width).split("\n"),
        *more,
    ]


def _values(history: History, trial: Trial) -> str:
    """`loss=0.12`, or `loss=0.12 size=3`."""
    pairs = zip(history.spec.objectives, history.values(trial), strict=True)
    shown = {**{o.metric: v for o, v in pairs}, **beside(history, trial)}
    return " ".join(f"{safe_text(name)}={number(v)}" for name, v in shown.items())


def _best_so_far(history: History, inside: str = "", more: str = "") -> str:
    if history.best_id is None or history.best_value is None:
        return ""
    if history.spec.multi_objective:
        return f" ({inside}{front_line(history)})"
    amount = _amount(history, history.trials[history.best_id].results[-1].resource)
    return f" (best {number(history.best_value)}{' with ' if amount else ''}{amount}, trial {history.best_id}{more})"


def _best_block(history: History, width: int) -> list[str]:
    best, best_value = history.best, history.best_value
    if best is None or best_value is None:
        return []
    if history.spec.multi_objective:
        head, *rows = front(history, width - 2, MAX_FRONT)
        return ["", head, *(f"  {row}" for row in rows)]
    config = history.result_config(best)
    params = [(safe_text(name), cut(value(v), VALUE_WIDTH)) for name, v in list(config.items())[:MAX_PARAMS]]
    widest = min(max((columns(name) for name, _ in params), default=0), 40)
    head = f"best {safe_text(history.spec.objectives[0].metric)} {number(best_value)}, trial {best.id}"
    head += "".join(f", {safe_text(name)} {number(v)}" for name, v in beside(history, best).items())
    shown = [f"  {name}{' ' * max(0, widest - columns(name))}  {text}" for name, text in params]
    more = [f"  ... and {len(config) - MAX_PARAMS} more"] if len(config) > MAX_PARAMS else []
    more += [f"  {LAST_VALUES}"] if has_schedule(history, best) else []
    more += [equal] if (equal := equals(history)) else []
    return ["", head, *shown, *more, *_best_table(history, min(width, TABLE_WIDTH) - 2)]


def equals(history: History) -> str:
    """`trials 3 and 7 are as good; the first of them is shown`; "" if no trial ties with the best one."""
    ids = tied(history)
    if not ids:
        return ""
    shown = [str(number) for number in ids[:MAX_BEST]]
    if len(ids) > MAX_BEST:
        shown.append(f"{len(ids) - MAX_BEST} more")
    names = f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
    word, verb = ("trial", "is") if len(ids) == 1 else ("trials", "are")
    return f"{word} {names} {verb} as good; the first of them is shown"


def _best_table(history: History, width: int) -> list[str]:
    """The best few trials, with what tells them apart as far as there is room."""
    best, spec = best_first(history)[:MAX_BEST], history.spec
    if len(best) < 2:
        return []
    extra = beside_names(spec)
    configs = [history.result_config(t) for t in best]
    names = [*([spec.resource.name] if spec.resource else []), *remarks.searched(spec, dict.fromkeys(spec.space.names))]
    rows = [[str(t.id), *map(number, history.values(t)), *_shown(beside(history, t), extra)] for t in best]
    columns_ = [["trial", *(safe_text(o.metric) for o in spec.objectives), *map(safe_text, extra)], *rows]
    room = width - sum(max(map(columns, cells)) + 2 for cells in zip(*columns_, strict=True))
    for i, name in enumerate(names):
        values = [cut(value(config[name]), MAX_COLUMN) if name in config else "" for config in configs]
        if not any(values):
            continue
        cells = [cut_name(safe_text(name), MAX_COLUMN), *values]
        wanted = max(map(columns, cells)) + 2
        if wanted + 3 * (i < len(names) - 1) > room + 2:
            columns_[0].append(ELLIPSIS)
            break
        room -= wanted
        for line, cell in zip(columns_, cells, strict=True):
            line.append(cell)
    shown = table(columns_[0], columns_[1:], align="r" * len(columns_[0]), width=width)
    return ["", *(f"  {line}" for line in shown.split("\n"))]


def _shown(values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return [number(values[name]) if name in values else "" for name in names]
