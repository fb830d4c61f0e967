"""The live picture, the plain lines, and what is left on the screen."""

from __future__ import annotations

import errno
import io
import math
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hpo_engine.space.searchspace import Choice, Constant, Float, SearchSpace
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    SpecChanged,
    StopAsked,
    StudyClosed,
    TrialEnded,
    TrialProposed,
)
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Resource, Resources
from hpo_engine.study.trial import TrialState
from hpo_engine.text.tables import columns
from hpo_engine.trackers import lines
from hpo_engine.trackers.console import ConsoleTracker
from hpo_engine.trackers.display import display
from hpo_engine.trackers.next_steps import next_steps
from tests.support.examples import some
from tests.support.study_by_hand import PARAMS, Study


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, text in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def picture(study: Study, width: int = 80, height: int = 24, later: float = 0.0) -> list[str]:
    return display(study.history, study.now + later, width, height).plain.split("\n")


# --- plain lines ------------------------------------------------------------------------------------------------


def plain(study: Study, **options: Any) -> io.StringIO:
    stream = io.StringIO()
    study.listen(ConsoleTracker(stream, **options))
    return stream


def test_plain_lines_tell_the_beginning_each_end_and_the_summary(
    monkeypatch: pytest.MonkeyPatch, make_study: Callable[..., Study]
) -> None:
    monkeypatch.setenv("HPO_ENGINE_ROOT", "/runs")
    study = make_study(budget=Budget(trials=3), seed=7, resources=Resources(parallel=2))
    stream = plain(study, folder="/runs/digits")
    for value in (0.5, None, 0.123456789):
        trial = study.start()
        study.tick(1.2)
        study.end(trial, value, reason="" if value else f"trial {trial}: exit code 1;\nlast line: \x1b[31mboom")
    study.close()
    assert stream.getvalue().splitlines() == [
        "digits: minimize loss; 3 trials, 2 at a time, random search, seed 7",
        "[1/3] trial 0 completed  loss=0.5 (best 0.5, trial 0)  1.2 s  lr=0.01 hidden=64 optimizer=adam",
        "[2/3] trial 1 failed  exit code 1; last line: \\x1b[31mboom  1.2 s  lr=0.01 hidden=64 optimizer=adam",
        "[3/3] trial 2 completed  loss=0.123457 (best 0.123457, trial 2)  1.2 s  lr=0.01 hidden=64 optimizer=adam",
        "",
        "digits finished after 3.6 s: 2 completed, 1 failed",
        "",
        "best loss 0.123457, trial 2",
        "  lr         0.01",
        "  hidden     64",
        "  optimizer  adam",
        "",
        "  trial      loss    lr  hidden  optimizer",
        "      2  0.123457  0.01      64       adam",
        "      0       0.5  0.01      64       adam",
        "",
        "last failure, trial 1: exit code 1; last line: \\x1b[31mboom",
        "",
        "folder  /runs/digits",
        "next    hpo-engine best digits --config   # the best parameters as JSON",
        "        hpo-engine logs digits 1          # output of the failed trial",
        "        hpo-engine retry digits --failed  # run the failed trials again",
        "        hpo-engine tensorboard digits     # curves and parameters",
    ]


TWO = (Objective("loss", over="last"), Objective("size", over="last"))


def ended_with(study: Study, *values: float, seconds: float = 0.0) -> None:
    trial = study.start()
    study.tick(seconds)
    study.feed(TrialEnded(study.now, trial, "completed", values[0], values=values))


def test_plain_lines_of_two_objectives_tell_the_front(
    monkeypatch: pytest.MonkeyPatch, make_study: Callable[..., Study]
) -> None:
    monkeypatch.setenv("HPO_ENGINE_ROOT", "/runs")
    study = make_study(budget=Budget(trials=3), objectives=TWO)
    stream = plain(study, folder="/runs/digits")
    for values in ((3.0, 10.0), (1.0, 20.0), (2.0, 30.0)):
        ended_with(study, *values)
    study.close()
    params = "lr=0.01 hidden=64 optimizer=adam"
    assert stream.getvalue().splitlines()[:-1] == [
        "digits: minimize loss, minimize size; 3 trials, 1 at a time, random search",
        f"[1/3] trial 0 completed  loss=3 size=10 (in the front of 1 trial, hypervolume 0)  0.0 s  {params}",
        f"[2/3] trial 1 completed  loss=1 size=20 (in the front of 2 trials, hypervolume 4.2)  0.0 s  {params}",
        f"[3/3] trial 2 completed  loss=2 size=30 (front of 2 trials, hypervolume 28.4)  0.0 s  {params}",
        "",
        "digits finished after 0.0 s: 3 completed",
        "",
        "front of 2 trials, hypervolume 28.4; minimize loss, minimize size",
        "  TRIAL  LOSS  SIZE  PARAMETERS",
        "  1      1     20    lr=0.01 hidden=64 optimizer=adam",
        "  0      3     10    lr=0.01 hidden=64 optimizer=adam",
        "",
        "folder  /runs/digits",
        "next    hpo-engine best digits             # the whole front",
        "        hpo-engine best digits 1 --config  # one trial's parameters as JSON",
    ]


def test_plain_lines_of_a_resumed_study_say_where_it_goes_on(study: Study) -> None:
    plain(study)
    study.end(study.start(), 0.5)
    stream = plain(study)
    study.feed(StopAsked(study.now, None, "by\x07 user"))
    study.feed(SpecChanged(study.now, {"trials": None, "time_s": 90}))
    study.close("stopped")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "digits: continues after 1/30 trials (best 0.5, trial 0)"
    assert lines[1] == "stopping: by\\x07 user"
    assert lines[2] == "new limits: trials unlimited, time limit 1m 30s"
    assert lines[4] == "digits stopped after 0.0 s: 1 completed"
    assert "next    hpo-engine resume digits         # continue where it stopped" in lines


def test_plain_lines_of_one_turn_count_on(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=3))
    stream = plain(study)
    trials = [study.start() for _ in range(3)]
    study.turn(
        AttemptEnded(study.now, 2, 1, {"code": 1}, "exit code 1"),
        AttemptIntended(study.now, 2, 2, "second"),
        *(TrialEnded(study.now, trial, "completed", 1.0) for trial in trials),
    )
    lines = stream.getvalue().splitlines()
    assert lines[1] == "trial 2 runs again, after run 1 ended: exit code 1"
    assert [line[:5] for line in lines[2:]] == ["[1/3]", "[2/3]", "[3/3]"]


def test_plain_line_tells_a_retry(study: Study) -> None:
    stream = plain(study)
    trial = study.start()
    study.lose(trial, "trial 0: exit code 1")
    assert stream.getvalue().splitlines()[1] == "trial 0 runs again, after run 1 ended: exit code 1"


def test_maximised_objective_is_shown_in_its_own_sign(make_study: Callable[..., Study]) -> None:
    study = make_study(objectives=(Objective("acc", "maximize"),), budget=Budget())
    stream = plain(study)
    study.end(study.start(), 0.9)
    study.end(study.start(), 0.5)
    assert "[2/?] trial 1 completed  acc=0.5 (best 0.9, trial 0)" in stream.getvalue()
    assert picture(study)[2].startswith("best 0.9  trial 0")


def test_quiet_says_nothing_but_notes_and_the_summary(study: Study, terminal: Terminal) -> None:
    study.listen(ConsoleTracker(terminal, quiet=True))
    assert isinstance(study.tracker, ConsoleTracker)
    study.end(study.start(), 0.5)
    study.tick()
    assert terminal.getvalue() == ""
    study.tracker.note("stopping")
    study.close()
    assert terminal.getvalue().startswith("stopping\ndigits finished after 1.0 s: 1 completed\n")
    assert "\x1b" not in terminal.getvalue()


def test_summary_names_the_commands_that_it_is_given_and_quotes_names(make_study: Callable[..., Study]) -> None:
    stream = plain(make_study(name="two words"), folder="/a b")
    assert stream.getvalue().startswith("two words: ")
    study = make_study(name="two words")
    stream = plain(study, folder="/a b")
    study.end(study.start(), 1.0)
    study.close()
    assert "hpo-engine best '/a b' --config" in stream.getvalue(), "what is not under the usual root goes by its path"
    study = make_study()
    stream = plain(study, next_steps=lambda history, folder: [("do this", "why")])
    study.close("failed")
    assert stream.getvalue().endswith("digits failed after 0.0 s: no trials\n\nnext    do this  # why\n")


@pytest.mark.parametrize("gone", ["closed", "broken"])
def test_a_stream_that_goes_away_does_not_disturb_the_study(study: Study, gone: str) -> None:
    stream = plain(study)
    if gone == "closed":
        stream.close()
    else:

        def broken(_: str) -> int:
            raise BrokenPipeError

        stream.write = broken  # type: ignore[method-assign]
    study.end(study.start(), 0.5)
    study.tick()
    assert isinstance(study.tracker, ConsoleTracker)
    assert study.tracker.unheard
    study.close()


def test_full_disk_behind_the_stream_costs_lines_and_no_study(study: Study) -> None:
    stream = plain(study)
    write, full = stream.write, [True]

    def perhaps(text: str) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(text)

    stream.write = perhaps  # type: ignore[method-assign]
    study.end(study.start(), 0.5)
    tracker = study.tracker
    assert isinstance(tracker, ConsoleTracker)
    assert not tracker.unheard and tracker.problem is not None and tracker.problem.errno == errno.ENOSPC
    full[0] = False
    study.end(study.start(), 0.25)
    assert tracker.problem is None and not tracker.unheard
    assert "trial 1 completed" in stream.getvalue() and "trial 0 completed" not in stream.getvalue()
    study.close()


@pytest.mark.parametrize(("number", "gone"), [(errno.EIO, False), (errno.EPIPE, True)])
def test_terminal_that_fails_is_drawn_on_no_more(study: Study, terminal: Terminal, number: int, gone: bool) -> None:
    study.listen(ConsoleTracker(terminal))
    study.end(study.start(), 0.5)

    def fails(_: str) -> int:
        raise OSError(number, os.strerror(number))

    terminal.write = fails  # type: ignore[method-assign]
    study.end(study.start(), 0.25)
    study.tick(5.0)
    assert isinstance(study.tracker, ConsoleTracker)
    assert study.tracker.unheard is gone and (study.tracker.problem is None) is gone
    study.close()


def test_a_stream_that_cannot_encode_gets_question_marks(study: Study) -> None:
    raw = io.BytesIO()
    study.listen(ConsoleTracker(io.TextIOWrapper(raw, encoding="ascii")))
    study.end(study.start({**PARAMS, "optimizer": "adam"}), state="failed", reason="kaputt: größe")
    assert b"kaputt: gr??e" in raw.getvalue() or b"kaputt: gr?" in raw.getvalue()


def test_plain_mode_does_not_import_rich() -> None:
    code = (
        "import io, sys\n"
        "from hpo_engine.trackers.console import ConsoleTracker\n"
        "ConsoleTracker(io.StringIO()).note('x')\n"
        "print({'rich', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- the picture ------------------------------------------------------------------------------------------------


def test_picture_of_a_running_study(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=4), resources=Resources(parallel=2))
    study.listen(ConsoleTracker(io.StringIO()))
    first = study.start()
    study.tick(10)
    study.report(first, (1, {"loss": 0.5}))
    study.end(first, 0.5)
    running = study.start({**PARAMS, "optimizer": "sgd", "momentum": 0.75})
    study.report(running, (1, {"loss": 0.25}), (2, {"acc": 1.0}))
    study.lose(running)
    study.attempt(running)
    study.report(running, (7, {"loss": 0.125}), (8, {"acc": 1.0}))
    study.start()
    assert picture(study) == [
        "digits  random, minimize loss",
        "━━━━━━━━━━━━━━━─────────────────────────────────────────────  1/4",
        "2 running · 1 completed   10 s, about 20 s left",
        "best 0.5  trial 0  lr=0.01 hidden=64 optimizer=adam",
        "",
        "trial  run      time  step       loss    lr  hidden  optimizer  momentum  ",
        "    1    2  starting     8      0.125  0.01      64        sgd      0.75  ",
        "    2       starting                   0.01      64       adam            ",
    ]


def test_picture_of_two_objectives_shows_the_front_by_each_of_them(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=30), objectives=TWO)
    for values in ((3.0, 10.0), (1.0, 20.0), (2.0, 30.0)):
        ended_with(study, *values, seconds=1.0)
    study.report(study.start(), (1, {"size": 7.0}), (2, {"loss": 0.5}))
    params = "lr=0.01 hidden=64 optimizer=adam"
    shown = display(study.history, study.now, 80, 24).plain.splitlines()
    assert [line.rstrip() for line in shown[3:6]] == [
        "front of 2 trials, hypervolume 28.4",
        f"best loss 1  trial 1  size=20  {params}",
        f"best size 10  trial 0  loss=3  {params}",
    ]
    assert shown[7].split()[:5] == ["trial", "time", "step", "loss", "size"]
    assert shown[8].split()[1:] == ["starting", "2", "0.5", "7", "0.01", "64", "adam"]


def test_picture_shows_the_first_trials_and_counts_the_rest(make_study: Callable[..., Study]) -> None:
    study = make_study(resources=Resources(parallel=50))
    for _ in range(50):
        study.start()
    lines = picture(study, height=14)
    assert len(lines) == 13
    assert lines[-1] == "... and 43 more"
    assert [line.split()[0] for line in lines[5:-1]] == [str(i) for i in range(7)]
    for trial in range(8, 50):
        study.end(trial)
    assert len(picture(study, height=14)) == 13
    assert picture(study, height=14)[-1].split()[0] == "7"


def test_picture_counts_every_state_and_leaves_out_zeros(study: Study) -> None:
    for state in ("failed", "timed_out", "lost", "stopped"):
        study.end(study.start(), state=state)
    study.end(study.start(), 1.0)
    study.feed(TrialProposed(study.now, 5, dict(PARAMS)))
    counts = "1 pending · 1 completed · 1 failed · 1 timed out · 1 lost · 1 stopped"
    assert picture(study)[2].startswith(counts)


def test_picture_without_a_limit_has_no_bar(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget())
    study.listen(ConsoleTracker(io.StringIO()))
    study.end(study.start(), 1.0)
    assert picture(study, later=5)[1] == "1 done   1 completed   5 s"


def test_picture_with_a_time_limit_measures_by_time(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(time_s=100))
    study.listen(ConsoleTracker(io.StringIO()))
    lines = picture(study, later=50)
    assert lines[1].count("━") == 30
    assert lines[2] == "50 s, about 50 s left"


def test_picture_says_that_the_study_stops_or_has_ended(study: Study) -> None:
    study.listen(ConsoleTracker(io.StringIO()))
    study.feed(StopAsked(study.now))
    assert picture(study)[0].endswith("  stopping")
    assert "left" not in "\n".join(picture(study))
    study.close("stopped")
    assert picture(study)[0].endswith("  stopped")


def test_picture_shows_the_resource_and_no_constants(make_study: Callable[..., Study]) -> None:
    space = SearchSpace((Float("lr", 0, 1), Constant("epochs", 5), Choice("layers", ([1], [2, 3]))))
    study = make_study(space=space, resource=Resource("budget", 9))
    study.feed(TrialProposed(study.now, 0, {"lr": 0.5, "epochs": 5, "layers": [2, 3]}, 3))
    study.attempt(0)
    header, row = picture(study)[-2:]
    assert header.split()[4:] == ["budget", "lr", "layers"]
    assert row.split()[2:] == ["3", "0.5", "[2,", "3]"]


def rationed(make_study: Callable[..., Study], **changes: Any) -> Study:
    return make_study(resource=Resource("epochs", 9), budget=Budget(trials=4), **changes)


def with_epochs(study: Study, epochs: int, value: float | None) -> None:
    trial = study.history.next_id
    study.feed(TrialProposed(study.now, trial, dict(PARAMS), epochs))
    study.attempt(trial)
    study.end(trial, value)


def test_plain_lines_say_the_resource_and_why_the_best_got_worse(make_study: Callable[..., Study]) -> None:
    study = rationed(make_study)
    stream = plain(study)
    for epochs, value in ((3, 0.3), (9, 0.4), (3, 0.2), (9, None)):
        with_epochs(study, epochs, value)
    params = "0.0 s  lr=0.01 hidden=64 optimizer=adam"
    assert stream.getvalue().splitlines()[1:] == [
        f"[1/4] trial 0 completed  loss=0.3 (best 0.3 with epochs 3, trial 0)  epochs 3  {params}",
        "[2/4] trial 1 completed  loss=0.4 (best 0.4 with epochs 9, trial 1; before: 0.3 with epochs 3, but results with "
        f"the most epochs count)  epochs 9  {params}",
        f"[3/4] trial 2 completed  loss=0.2 (best 0.4 with epochs 9, trial 1)  epochs 3  {params}",
        f"[4/4] trial 3 failed  epochs 9  {params}",
    ]
    study.close()
    text = stream.getvalue()
    table = text[text.index("  trial") :].split("\n\n")[0].splitlines()
    assert [line.split()[:3] for line in table] == [
        ["trial", "loss", "epochs"],
        ["1", "0.4", "9"],
        ["2", "0.2", "3"],
        ["0", "0.3", "3"],
    ]


def test_metrics_of_interest_stand_beside_the_objective(make_study: Callable[..., Study]) -> None:
    study = make_study(extra_metrics={"acc": "maximize", "size": "latest"}, budget=Budget(trials=3))
    stream = plain(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 0.5, "acc": 0.8, "size": 9}), (2, {"loss": 0.6, "acc": 0.7, "size": 7}))
    study.end(trial, 0.5)
    assert "loss=0.5 acc=0.8 size=7 (best 0.5, trial 0)" in stream.getvalue()
    study.report(study.start(), (1, {"loss": 0.9, "acc": 0.1}))
    lines = picture(study)
    assert lines[3].startswith("best 0.5  trial 0  acc=0.8 size=7  lr=0.01")
    assert lines[5].split() == ["trial", "time", "step", "loss", "acc", "size", "lr", "hidden", "optimizer", "momentum"]
    assert lines[6].split() == ["1", "starting", "1", "0.9", "0.1", "0.01", "64", "adam"]
    study.end(1, 0.9)
    study.close()
    assert "\nbest loss 0.5, trial 0, acc 0.8, size 7\n" in stream.getvalue()
    assert re.search(r"trial +loss +acc +size +lr", stream.getvalue())


def test_end_of_a_study_has_the_best_few_as_far_as_there_is_room(make_study: Callable[..., Study]) -> None:
    names = [f"part{i}.layer.width" for i in range(12)]
    study = make_study(space=SearchSpace(tuple(Float(name, 0, 1) for name in names)), budget=Budget(trials=9))
    stream = plain(study)
    for i in range(8):
        study.end(study.start(dict.fromkeys(names, i / 8)), float((i + 5) % 8))
    study.close()
    text = stream.getvalue()
    lines = text[text.index("  trial  loss") :].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["3", "4", "5", "6", "7"]
    assert "…layer.width" in lines[0] and lines[0].endswith("…") and all(columns(line) <= 120 for line in lines)


def test_bar_counts_trials_where_they_are_counted(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=10, time_s=100))
    study.listen(ConsoleTracker(io.StringIO()))
    study.end(study.start(), 1.0)
    assert picture(study, later=50)[1].count("━") == 6, "one of ten"


names = st.text(st.characters(exclude_categories=()), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=some(60), deadline=None)
@given(names, names, st.floats(), names, st.integers(1, 130), st.integers(1, 40), st.integers(0, 6))
def test_picture_fits_and_is_harmless_whatever_it_shows(
    name: str, metric: str, value: float, text: str, width: int, height: int, running: int
) -> None:
    try:
        space = SearchSpace((Choice("a", (text, "b")), Choice("p" * 50, (text, 2, None))))
    except ValueError:
        return
    with tempfile.TemporaryDirectory() as root:
        study = Study(Path(root), name=name, objectives=(Objective(metric),), space=space)
    params = {"a": text, "p" * 50: text}
    if math.isfinite(value):
        study.feed(TrialProposed(study.now, 0, params))
        study.end(0, value)
    for _ in range(running):
        study.feed(TrialProposed(study.now, study.history.next_id, params))
        study.history = study.history.with_trial(replace(study.history.trials[-1], state=TrialState.RUNNING))
        study.report(study.history.next_id - 1, (value, {metric: value}))
    lines = picture(study, width, height)
    assert len(lines) <= max(1, height - 1)
    drawn = io.StringIO()
    console = Console(file=drawn, width=width, color_system=None, highlight=False)
    console.print(display(study.history, study.now, width, height))
    assert len(drawn.getvalue().rstrip("\n").split("\n")) <= len(lines)  # nothing is wrapped
    for line in lines:
        assert columns(line) <= width
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\ud800-\udfff]", line)


def test_who_waits_for_other_studies_says_so_once_in_lines_and_always_in_the_picture(
    study: Study, terminal: Terminal
) -> None:
    said = ["waiting for b"]
    stream = plain(study, waits=lambda: said[0])
    study.listen(ConsoleTracker(terminal, waits=lambda: said[0]))
    study.start()
    for _ in range(5):
        study.tick(1)
    assert stream.getvalue().count("waiting for b") == 1
    assert "waiting for b" in bare(terminal.getvalue())
    assert display(study.history, study.now, 80, 24, "waiting for b").plain.count("waiting for b") == 1
    said[0], begin = "", len(terminal.getvalue())
    study.tick(1)
    study.tick(1)
    assert "waiting" not in bare(terminal.getvalue()[begin:]) and len(terminal.getvalue()) > begin


# --- on a terminal ----------------------------------------------------------------------------------------------


def test_live_picture_is_drawn_at_most_four_times_a_second(study: Study, terminal: Terminal) -> None:
    study.listen(ConsoleTracker(terminal))
    trial = study.start()
    drawn = []
    for i in range(40):
        study.report(trial, (i, {"loss": 1.0}))
        before = len(terminal.getvalue())
        study.tick(0.05)
        drawn.append(len(terminal.getvalue()) > before)
    assert 6 <= sum(drawn) <= 8


def test_live_picture_is_drawn_once_a_second_where_only_the_clock_moves(study: Study, terminal: Terminal) -> None:
    study.listen(ConsoleTracker(terminal))
    study.start()
    study.tick(1)
    drawn = []
    for _ in range(50):
        before = len(terminal.getvalue())
        study.tick(0.1)
        drawn.append(len(terminal.getvalue()) > before)
    assert 4 <= sum(drawn) <= 5


def test_lines_that_a_narrower_terminal_has_wrapped_are_taken_away_whole(study: Study, terminal: Terminal) -> None:
    study.listen(tracker := ConsoleTracker(terminal))
    study.start()
    study.tick(1)
    lines = [len(line) for line in bare(terminal.getvalue()).split("\n")[-6:]]
    assert max(lines) > 40
    tracker._screen._console.width = 40  # type: ignore[attr-defined]
    before = len(terminal.getvalue())
    study.tick(1)
    new = terminal.getvalue()[before:]
    assert new.startswith("\r" + "\x1b[2K\x1b[1A" * sum(-(-n // 40) - 1 for n in lines if n) + "\r\x1b[2K\x1b[1A")


def test_live_picture_goes_away_and_the_summary_stays(study: Study, terminal: Terminal) -> None:
    study.listen(ConsoleTracker(terminal, folder="/runs/digits"))
    assert isinstance(study.tracker, ConsoleTracker)
    trial = study.start()
    study.tick()
    study.tracker.note("stopping; 1 trial gets SIGTERM \x1b[2J[bold]")
    study.end(trial, 0.5)
    study.end(study.start(), reason="exit code 1")
    study.tick()
    study.close()
    study.tracker.close(study.history)
    text = terminal.getvalue()
    assert text.count("\x1b[?25l") == 1 and text.count("\x1b[?25h") == 1
    shown, summary = text.split("\x1b[?25h")
    assert "stopping; 1 trial gets SIGTERM \\x1b[2J[bold]" in bare(shown)
    assert "trial 1 failed after 0.0 s: exit code 1" in bare(shown)
    assert bare(summary).count("digits finished after") == 1
    assert "best loss 0.5, trial 0" in bare(summary)
    assert "\x1b[2J" not in text


def test_live_failures_are_told_until_they_are_too_many(study: Study, terminal: Terminal) -> None:
    study.listen(ConsoleTracker(terminal))
    for _ in range(30):
        study.end(study.start(), reason="boom")
    assert terminal.getvalue().count("boom") == 10
    assert terminal.getvalue().count("only counted") == 1


def test_no_color_is_honoured(study: Study, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    study.listen(ConsoleTracker(terminal))
    study.end(study.start(), 0.5)
    study.start()
    study.tick()
    study.close()
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.getvalue())


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_dumb_terminal_gets_plain_lines(
    study: Study, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    study.listen(ConsoleTracker(terminal))
    study.end(study.start(), 0.5)
    study.close()
    assert "\x1b" not in terminal.getvalue()
    assert "[ 1/30] trial 0 completed" in terminal.getvalue()


@pytest.mark.by_default(1)
@pytest.mark.parametrize("ending", ["raise SystemExit(3)", "raise RuntimeError", "study.close()"])
def test_cursor_is_back_whichever_way_the_process_ends(tmp_path: Path, ending: str) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.support.study_by_hand import Study\n"
        "from hpo_engine.trackers.console import ConsoleTracker\n"
        f"study = Study(Path({str(tmp_path / 's')!r})); study.listen(ConsoleTracker(sys.stdout))\n"
        f"study.start(); study.tick()\n{ending}"
    )
    ours, theirs = pty.openpty()
    path = str(Path(__file__).parents[2])
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=subprocess.DEVNULL, env=env)
    os.close(theirs)
    out = b""
    while True:
        try:
            out += (data := os.read(ours, 65536))
        except OSError:  # EIO: the other end is closed
            break
        if not data:
            break
    child.wait(20)
    os.close(ours)
    assert b"\x1b[?25l" in out
    assert out.rfind(b"\x1b[?25h") > out.rfind(b"\x1b[?25l")


# --- a study that a rule has stopped ----------------------------------------------------------------------------------


def halted(study: Study, rule: str, why: str) -> str:
    study.feed(StopAsked(study.now, None, why, rule))
    study.feed(StudyClosed(study.now, "stopped", why))
    return "\n".join(lines.summary(study.history, study.now, "x/digits", next_steps(study.history, "x/digits")))


def test_what_to_do_after_a_rule_has_stopped_a_study(make_study: Callable[..., Study]) -> None:
    study = make_study()
    for _ in range(3):
        study.end(study.start(), reason="exit code 1; KeyError: 'x'")
    text = halted(
        study, "failures", "trials 0, 1 and 2 failed alike, and none has succeeded: exit code 1; KeyError: 'x'"
    )
    first, why, *rest = text.split("\n")
    assert first.startswith("digits stopped after") and why.startswith("trials 0, 1 and 2 failed alike")
    assert "last failure" not in text, "it is told already"
    steps = [line.split("  #")[0].strip() for line in rest if "hpo-engine" in line]
    assert [step.split("hpo-engine ")[1].split()[0] for step in steps] == ["logs", "remove", "retry", "resume"]


def test_results_that_were_found_before_a_rule_stopped_the_study_are_offered(make_study: Callable[..., Study]) -> None:
    study = make_study()
    study.end(study.start(), 0.5)
    study.end(study.start(), reason="exit code 1")
    text = halted(study, "failures", "trials 1 failed")
    assert "hpo-engine best x/digits --config" in text
    bare_ = halted(make_study(), "objective", 'trial 0: no "valid_loss" in its rows; it has "val_loss"')
    assert "hpo-engine retry" not in bare_ and "hpo-engine remove" in bare_ and 'it has "val_loss"' in bare_


@pytest.mark.parametrize(
    ("limit", "more"), [(1.0, "2s"), (90.0, "180s"), (7200.0, "240m"), (0.25, "1s"), (None, ""), (1e9, "")]
)
def test_a_study_whose_time_is_used_up_goes_on_with_more(
    limit: float | None, more: str, make_study: Callable[..., Study]
) -> None:
    study = make_study(budget=Budget(9, limit))
    study.end(study.start(), 0.5)
    study.feed(StudyClosed(study.now, "finished", "time limit reached"))
    history = replace(study.history, spent_s=limit if limit and limit < 1e9 else 3.0)
    (said, _), *_ = next_steps(history, "x/digits")
    assert said == (f"hpo-engine resume x/digits --time-limit {more}" if more else "hpo-engine best x/digits --config")
