"""A mistake that all trials of a study share is described once."""

from __future__ import annotations

import io
from collections.abc import Callable

from hpo_engine.study.events import SourceUsed, StopAsked, StudyClosed
from hpo_engine.trackers.console import ConsoleTracker
from hpo_engine.trackers.lines import Said
from tests.support.study_by_hand import Study

LACKS = 'no metric "loss" in output.log; it has "val_loss", "acc" (steps 1-3)'


def shown(study: Study) -> tuple[ConsoleTracker, io.StringIO]:
    stream = io.StringIO()
    tracker = ConsoleTracker(stream)
    study.listen(tracker)
    return tracker, stream


def test_trials_that_fail_for_the_same_reason_refer_to_the_first(make_study: Callable[..., Study]) -> None:
    study = make_study()
    _, stream = shown(study)
    for _ in range(3):
        trial = study.start()
        study.end(trial, reason=f"trial {trial}: {LACKS}")
    why = f"trials 0 to 2 failed alike, and none has succeeded: {LACKS}"
    study.feed(StopAsked(study.now, None, why, "failures"))
    text = stream.getvalue()
    assert text.count('"val_loss"') == 1
    assert "trial 1 failed  same as trial 0" in text
    assert text.endswith("stopping: trials 0 to 2 failed alike, and none has succeeded\n")


def test_short_reasons_stay(make_study: Callable[..., Study]) -> None:
    study = make_study()
    _, stream = shown(study)
    for _ in range(2):
        study.end(study.start(), reason="exit code 1; KeyError: 'x'")
    assert stream.getvalue().count("KeyError: 'x'") == 2


def test_what_a_note_has_listed_is_not_listed_again(make_study: Callable[..., Study]) -> None:
    study = make_study()
    tracker, stream = shown(study)
    tracker.note('note: trial 0: no "loss" in its rows; it has "val_loss", "acc"; a trial that never reports it ...')
    study.end(study.start(), reason=f"trial 0: {LACKS}")
    why = 'trial 0 ended: no "loss" in its rows; it has "val_loss", "acc"; did you mean "val_loss"?'
    study.feed(StopAsked(study.now, None, why, "objective"))
    text = stream.getvalue()
    assert text.count("it has") == 1
    assert 'trial 0 failed  no metric "loss" in output.log (steps 1-3)' in text
    assert text.endswith('stopping: trial 0 ended: no "loss" in its rows; did you mean "val_loss"?\n')


def test_what_has_not_been_said_is_said() -> None:
    said = Said()
    why = 'trial 0: no "valid_loss" in its rows; it has "val_loss", "train_loss"'
    assert said.once(why) == why


def test_where_metrics_are_read_from_is_said_once_for_each_source(make_study: Callable[..., Study]) -> None:
    study = make_study()
    _, stream = shown(study)
    first, second = study.start(), study.start()
    study.feed(SourceUsed(study.now, first, "csv", "log.csv", "a step is an epoch", ("output.log (stdout)",)))
    study.end(first, 0.5)
    study.feed(SourceUsed(study.now, second, "stdout", "output.log"))
    study.end(second, 0.5)
    study.feed(StudyClosed(study.now, "finished", "2 trials"))
    lines = [line for line in stream.getvalue().split("\n") if "metrics" in line]
    metric = study.history.spec.objectives[0].metric
    assert lines == [
        f'metrics are read from log.csv (csv); a step is an epoch; output.log (stdout) has "{metric}", too',
        f"trial {second}: its metrics are read from output.log (stdout); csv, which the trials before had, lacks "
        f'"{metric}" here',
    ]


def test_the_file_that_is_written_for_the_engine_needs_no_line(make_study: Callable[..., Study]) -> None:
    study = make_study()
    _, stream = shown(study)
    trial = study.start()
    study.feed(SourceUsed(study.now, trial, "val_dict_list", "val_dict_list.json"))
    study.end(trial, 0.5)
    assert "are read from" not in stream.getvalue()
