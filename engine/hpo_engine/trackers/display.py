"""The live picture of a study: progress, best trial, running trials. Used by `submit` and by `watch`.

A pure function of history, time and size; no clock, no terminal, no I/O. Everything that a user or a trial made goes
through `safe_text`, and no markup is ever parsed.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from hpo_engine.reports import remarks
from hpo_engine.reports.ranking import beside, beside_names, newest
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.trial import BAD, Trial, TrialState
from hpo_engine.text.tables import ELLIPSIS, assignments, columns, cut, cut_name, duration, number, safe_text, value
from hpo_engine.trackers.eta import seconds_left
from hpo_engine.trackers.lines import counts, front_line, objective_text, progress_label

Piece = tuple[str, str]  # text, style
Line = list[Piece]

MAX_BAR = 60
MAX_COLUMN, SHORT_NAME = 16, 10
MAX_OBJECTIVES = 4


def display(history: History, now: float, width: int, height: int, waiting: str = "") -> Text:
    """At most `height` - 1 lines of at most `width` columns (a terminal scrolls when its last line is used up).

    Args:
        waiting: a line about the other studies whose trials this one waits for, or "".
    """
    lines = [_title(history, width), *_progress(history, now, width), *_best(history, width)]
    if waiting:
        lines.append([(safe_text(waiting), "yellow")])
    room = height - 1 - len(lines)
    if history.open_ids and room >= 3:
        lines += [[], *_running(history, now, width, room - 1)]
    out = Text(no_wrap=True, overflow="crop", end="")
    for i, line in enumerate(lines[: max(1, height - 1)]):
        if i:
            out.append("\n")
        _append(out, line, width)
    return out


def _append(out: Text, line: Line, width: int) -> None:
    for text, style in line:
        shown = cut(text, width)
        out.append(shown, style or None)
        width -= columns(shown)
        if shown != text or width <= 0:
            return


def _title(history: History, width: int) -> Line:
    state, style = _state(history)
    algorithm = safe_text(history.spec.algorithm.name)
    line = [(safe_text(history.spec.name), "bold"), (f"  {algorithm}, {objective_text(history.spec)}", "dim")]
    return [*line, (f"  {state}", style)] if state else line


def _state(history: History) -> Piece:
    if history.state is not StudyState.RUNNING:
        return history.state.value, {"finished": "green", "failed": "red"}.get(history.state.value, "yellow")
    return ("stopping", "yellow") if history.stop_asked is not None else ("", "")


def _progress(history: History, now: float, width: int) -> list[Line]:
    (done, total), limit_s = history.progress, history.spec.budget.time_s
    elapsed = history.elapsed_s(now)
    label = progress_label(history)
    share = done / total if total else min(1.0, elapsed / limit_s) if limit_s else None
    lines: list[Line] = []
    if share is not None:
        lines = [[*_bar(share, min(MAX_BAR, width - len(label) - 2)), (f"  {label}", "bold")]]

    tally = _joined([(text, _count_style(state)) for state, text in counts(history)])
    if share is None:
        tally = [(label, "bold"), *([("   ", ""), *tally] if tally else [])]
    clock = f"{duration(elapsed, tenths=False)}{_left(history, now)}"
    if not tally:
        return [*lines, [(clock, "dim")]]
    if _length(tally) + 3 + len(clock) <= width:
        return [*lines, [*tally, ("   ", ""), (clock, "dim")]]
    return [*lines, tally, [(clock, "dim")]]


def _bar(share: float, width: int) -> Line:
    """Shapes differ as well as colours: it reads without colour."""
    if width < 4:
        return []
    halves = int(share * width * 2)
    full, half = divmod(halves, 2)
    return [("━" * full + "╸" * half, "green" if share >= 1 else "cyan"), ("─" * (width - full - half), "dim")]


def _left(history: History, now: float) -> str:
    """An estimate, once there is something to judge by."""
    if history.state is not StudyState.RUNNING or history.stop_asked is not None:
        return ""
    left = seconds_left(history, now)
    return "" if left is None else f", about {duration(left, tenths=False)} left"


def _count_style(state: TrialState) -> str:
    return "red" if state in BAD else {"completed": "green", "running": "cyan"}.get(state.value, "")


def _joined(pieces: Sequence[Piece]) -> Line:
    out: Line = []
    for piece in pieces:
        out += [(" · ", "dim"), piece] if out else [piece]
    return out


def _best(history: History, width: int) -> list[Line]:
    best, best_value = history.best, history.best_value
    if best is None or best_value is None:
        return []
    if history.spec.multi_objective:
        return _front(history, width)
    head = [("best ", "dim"), (number(best_value), "bold green"), (f"  trial {best.id}  ", "dim")]
    if extra := assignments(beside(history, best)):
        head += [(extra, ""), ("  ", "")]
    return [_with_params(head, history, best, width)]


def _front(history: History, width: int) -> list[Line]:
    """The front's size and volume, and for each objective the trial that is best by it."""
    lines: list[Line] = [[(front_line(history), "bold green")]]
    for i, objective in enumerate(history.spec.objectives[:MAX_OBJECTIVES]):
        _, number_ = min(history.front, key=lambda member: (member[0][i], member))
        trial = history.trials[number_]
        values = history.values(trial)
        others = {o.metric: v for o, v in zip(history.spec.objectives, values, strict=True) if o is not objective}
        shown = assignments({**others, **beside(history, trial)})
        head = [("best ", "dim"), (f"{safe_text(objective.metric)} ", ""), (number(values[i]), "bold green")]
        head += [(f"  trial {trial.id}  ", "dim"), (shown, ""), ("  ", "")]
        lines.append(_with_params(head, history, trial, width))
    return lines


def _with_params(head: Line, history: History, trial: Trial, width: int) -> Line:
    params = assignments(remarks.searched(history.spec, history.result_config(trial)), max(0, width - _length(head)))
    return [*head, (params, "dim" if history.spec.multi_objective else "")]


def _running(history: History, now: float, width: int, room: int) -> list[Line]:
    """A header, and one line for each running trial as far as there is room."""
    running = history.running
    shown = running if len(running) < room else running[: room - 2]
    if not shown:
        return [[(f"{len(running)} running", "dim")]] if running else []
    names = varied(history)
    metrics = [safe_text(o.metric) for o in history.spec.objectives]
    fixed = 4 + len(metrics)
    extra = beside_names(history.spec)
    headers = ["trial", "run", "time", "step", *metrics, *map(safe_text, [*extra, *names])]
    rows = [cells(trial, history, now, extra, names) for trial in shown]
    if not any(row[1] for row in rows):
        for row in [headers, *rows]:
            row[1] = ""
    widths, cut_off = _widths(headers, rows, width, MAX_COLUMN, fixed)
    if cut_off:
        widths, cut_off = _widths(headers, rows, width, SHORT_NAME, fixed)
    lines = [_row(headers, widths, ["dim"] * fixed, "dim", header=True)]
    if cut_off:
        lines[0].append((ELLIPSIS, "dim"))
    lines += [_row(row, widths, ["bold", "yellow", "", "", *["cyan"] * len(metrics)], "") for row in rows]
    if len(shown) < len(running):
        lines.append([(f"... and {len(running) - len(shown)} more", "dim")])
    return lines


def varied(history: History) -> list[str]:
    """The names that tell one trial from another: the resource, then the parameters that are searched."""
    resource = [history.spec.resource.name] if history.spec.resource else []
    return [*resource, *remarks.searched(history.spec, dict.fromkeys(history.spec.space.names))]


def cells(trial: Trial, history: History, now: float, extra: Sequence[str], names: Sequence[str]) -> list[str]:
    """Of a running trial: trial, run (from the second on), time, step, newest value of each metric, parameters.

    Args:
        extra: metrics beside the objectives; names: of parameters.
    """
    attempt = trial.attempt
    since = attempt.started_at if attempt is not None else None
    config = history.config(trial)
    return [
        str(trial.id),
        str(len(trial.attempts)) if len(trial.attempts) > 1 else "",
        "starting" if since is None else duration(now - since),
        number(trial.rows[-1].step) if trial.rows else "",
        *(_newest(trial, name) for name in [*(o.metric for o in history.spec.objectives), *extra]),
        *(value(config[name]) if name in config else "" for name in names),
    ]


def _newest(trial: Trial, metric: str) -> str:
    value_ = newest(trial, metric)
    return "" if value_ is None else number(value_)


def _widths(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, longest_name: int, fixed: int
) -> tuple[list[int], bool]:
    """Column widths, 0 for those that are empty or do not fit any more; and whether parameters did not fit. The first
    the first `fixed` columns are not parameters."""
    least = {2: 8, 3: 4, **dict.fromkeys(range(4, fixed), 9)}  # values that change during display keep their place
    out: list[int] = []
    for i, header in enumerate(headers):
        named = columns(header) if i < fixed else min(columns(header), longest_name)
        natural = max(named, least.get(i, 0), *(columns(row[i]) for row in rows)) if header else 0
        wanted = min(natural, MAX_COLUMN)
        if i >= fixed and sum(w + 2 for w in out) + wanted > width - 3 * (i < len(headers) - 1):
            return out, True
        out.append(wanted)
    return out, False


def _row(
    cells: Sequence[str], widths: Sequence[int], styles: Sequence[str], rest: str, *, header: bool = False
) -> Line:
    line: Line = []
    for i, width in enumerate(widths):
        if width:
            text = cut_name(cells[i], width) if header else cut(cells[i], width)
            line.append((" " * (width - columns(text)) + text + "  ", styles[i] if i < len(styles) else rest))
    return line


def _length(line: Line) -> int:
    return sum(columns(text) for text, _ in line)
