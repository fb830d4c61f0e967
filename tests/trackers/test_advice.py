"""What a user is told while a study runs that does nothing, or not what was meant."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract import binding
from hpo_engine.reports import remarks
from hpo_engine.space.searchspace import Constant, SearchSpace
from hpo_engine.study.events import TrialCarriedOn, TrialEnded, TrialProposed
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Resource
from hpo_engine.trackers import lines
from hpo_engine.trackers.advice import Advice
from tests.support.study_by_hand import PARAMS, Study

Make = Callable[..., Study]


def heard(study: Study) -> list[str]:
    said: list[str] = []
    study.listen(Advice(study.paths, said.append))
    return said


def run(study: Study, rows: Any, *, read: bool = True, live: bool = True, **params: Any) -> int:
    """A trial that completes; `live`: its rows were seen while it ran."""
    trial = study.start({**PARAMS, **params})
    paths = study.paths.trial(trial)
    Path(paths.result_dir).mkdir(parents=True)
    binding.write_config(paths, study.history.config(study.history.trials[trial]))
    if read:
        Path(paths.config).read_text()
    study.report(trial, *rows)
    study.now += 1.0 if live else 0.0
    study.end(trial, 0.5)
    return trial


ROWS = [(1, {"loss": 0.9, "acc": math.nan}), (2, {"loss": 0.5, "acc": 0.1})]


# -- identical rows ----------------------------------------------------------------------------------------------------


def test_five_trials_with_different_parameters_and_identical_rows_are_told_once(make_study: Make) -> None:
    study = make_study()
    said = heard(study)
    for i in range(8):
        run(study, ROWS, hidden=20 + i)
        assert len(said) == (i >= 4)
    assert said[0].startswith("5 trials with different parameters reported identical rows: does the script use")
    assert "config.json" in said[0] and "command" in said[0]  # both ways in which they reach a script
    assert "8 trials with different parameters" in "\n".join(lines.summary(study.history, study.now))
    assert not heard(study), "the next engine does not say it again"


def different(i: int) -> list[tuple[float, Mapping[str, float]]]:
    return [(1, {"loss": 0.9}), (2, {"loss": 0.5 + (i == 3) * 1e-16 * 2})]


@pytest.mark.parametrize(
    ("rows", "params", "told"),
    [
        (lambda i: ROWS, lambda i: {}, False),  # one configuration again and again
        (lambda i: ROWS, lambda i: {"hidden": 20 + i % 4}, False),
        (different, lambda i: {"hidden": 20 + i}, False),  # in one bit
        (lambda i: [(1, {"loss": 0.5, "acc": i / 10})], lambda i: {"hidden": 20 + i}, False),
        (lambda i: [(1, {"loss": 0.5})] * (1 + i % 2), lambda i: {"hidden": 20 + i}, False),
        (
            lambda i: [(1, {"loss": 0.5, "epoch_time": i / 10, "samples_per_sec": i})],
            lambda i: {"hidden": 20 + i},
            True,
        ),
    ],
)
def test_what_counts_as_identical(make_study: Make, rows: Any, params: Any, told: bool) -> None:
    study = make_study()
    said = heard(study)
    for i in range(7):
        run(study, rows(i), **params(i))
    assert bool(said) is told and bool(remarks.identical(study.history)) is told


def test_an_objective_that_is_a_time_must_be_the_same(make_study: Make) -> None:
    study = make_study(objectives=(Objective("time"),))
    said = heard(study)
    for i in range(6):
        run(study, [(1, {"time": i})], hidden=20 + i)
    assert not said


# -- config.json that nobody reads -------------------------------------------------------------------------------------


def test_a_config_that_was_not_read_is_told_after_the_first_trial(make_study: Make) -> None:
    study = make_study()
    said = heard(study)
    run(study, ROWS, read=False)
    assert said == [
        "trial 0 ended without reading its config.json: its parameters (lr, hidden, optimizer) had no effect; "
        'the script finds them there: json.load(open("config.json")); {params} in command writes them as arguments'
    ]
    run(study, [(1, {"loss": 0.1})], read=False)
    assert len(said) == 1


def test_nothing_is_said_where_the_file_was_written_anew_for_another_attempt(make_study: Make) -> None:
    study = make_study()
    said = heard(study)
    trial = study.start()
    paths = study.paths.trial(trial)
    Path(paths.result_dir).mkdir(parents=True)
    binding.write_config(paths, {**PARAMS, "epochs": 3})  # carried on before the tracker heard of the end
    study.end(trial, 0.5)
    assert not said
    run(study, ROWS, read=False)
    assert len(said) == 1 and "trial 1 ended without reading" in said[0]


@pytest.mark.parametrize("how", ["cat config.json", "wc -l < config.json", "cp config.json x", "python3 -c 'open(\"config.json\").read()'"])  # fmt: skip
def test_any_way_of_reading_counts(make_study: Make, how: str) -> None:
    study = make_study()
    said = heard(study)
    trial = study.start()
    paths = study.paths.trial(trial)
    Path(paths.result_dir).mkdir(parents=True)
    binding.write_config(paths, PARAMS)
    subprocess.run(how, shell=True, cwd=paths.result_dir, check=True, stdout=subprocess.DEVNULL)
    study.end(trial, 0.5)
    assert not said and binding.config_was_read(paths) is True


def test_nothing_is_said_where_the_file_was_changed_or_replaced_or_the_times_do_not_tell(make_study: Make) -> None:
    study = make_study()
    paths = study.paths.trial(study.start())
    Path(paths.result_dir).mkdir(parents=True)
    binding.write_config(paths, PARAMS)
    assert binding.config_was_read(paths) is False
    binding.write_config(paths, PARAMS)
    os.utime(paths.config)
    assert binding.config_was_read(paths) is True, "the script has written it"
    os.unlink(paths.config)
    os.mkfifo(paths.config)
    assert binding.config_was_read(paths) is True
    os.unlink(paths.config)
    assert binding.config_was_read(paths) is None


def test_on_a_file_system_without_access_times_nothing_is_said(
    make_study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study()
    said = heard(study)
    monkeypatch.setattr(os, "read", lambda fd, count: b"")  # so that no time moves, as with noatime
    run(study, ROWS, read=False)
    assert not said


def test_constants_alone_have_no_effect_to_miss(make_study: Make) -> None:
    study = make_study(space=SearchSpace((Constant("lr", 0.1),)))
    said = heard(study)
    run(study, ROWS, read=False)
    assert not said


# -- rows that lack the objective --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "names", "told"),
    [
        ("f1", ["val_loss", "val_acc"], True),
        ("error", ["loss"], True),
        ("accuracy", ["loss", "lr"], True),
        ("val_loss", ["train_loss"], False),
        ("val_loss", ["loss", "acc"], False),  # of the training, until the first validation
        ("loss", ["train_loss", "train_accuracy"], False),
        ("val_loss", ["val_acc"], True),
        ("valid_loss", ["val_loss"], False),  # the study stops, and that is told
    ],
)
def test_rows_without_the_objective_are_noted_once(make_study: Make, metric: str, names: list[str], told: bool) -> None:
    study = make_study(objectives=(Objective(metric),))
    said = heard(study)
    for trial in (study.start(), study.start()):
        study.report(trial, (1, dict.fromkeys(names, 1.0)))
        study.report(trial, (2, dict.fromkeys(names, 1.0)))
        study.tick()
    assert len(said) == told
    if told:
        assert said[0].startswith(f'trial 0: no "{metric}" in its rows; it has "{names[0]}"')


def test_other_metrics_under_another_name_are_noted(make_study: Make) -> None:
    study = make_study(extra_metrics={"acuracy": "maximize", "f1": "maximize", "acc2": "latest"})
    said = heard(study)
    for i in range(2):
        run(study, [(1, {"loss": float(i), "accuracy": 0.5})], hidden=20 + i)
    assert said == ['metrics: trial 0 has no "acuracy" in its rows; it has "accuracy", "loss"']


# -- trials that go on -------------------------------------------------------------------------------------------------


def promoted(study: Study, *rows: tuple[float, Mapping[str, float]], failure: str = "exit_code") -> None:
    """A trial that leaves a checkpoint, is carried on, reports the rows then, and fails."""
    trial = study.history.next_id
    study.feed(TrialProposed(study.now, trial, dict(PARAMS), 3))
    study.attempt(trial)
    study.report(trial, (3, {"loss": 0.5}))
    study.feed(TrialEnded(study.now, trial, "completed", 0.5, checkpoint="runs/last.pt"))
    study.feed(TrialCarriedOn(study.now, trial, dict(PARAMS), 9))
    study.attempt(trial)
    if rows:
        study.report(trial, *rows)
    study.feed(TrialEnded(study.now, trial, "failed", reason="exit code 1", exit={"code": 1}, failure=failure))


def of_going_on(said: list[str]) -> list[str]:
    return [line for line in said if "resume: never" in line]


def test_a_script_that_refuses_to_go_on_is_noted_once(make_study: Make) -> None:
    study = make_study(resource=Resource("epochs", 27, resume="auto"))
    said = heard(study)
    promoted(study)
    promoted(study)
    assert len(of_going_on(said)) == 1
    assert "trial 0 went on from runs/last.pt and failed before it reported anything" in of_going_on(said)[0]


def test_failures_that_say_nothing_about_going_on_are_not_noted(make_study: Make) -> None:
    study = make_study(resource=Resource("epochs", 27, resume="auto"))
    said = heard(study)
    promoted(study, (4, {"loss": 0.4}))
    promoted(study, failure="out_of_memory")
    assert not of_going_on(said)
    study.start()
    study.end(2)
    assert not of_going_on(said)
