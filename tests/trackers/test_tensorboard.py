"""The event files that a study leaves, read back with TensorBoard's own reader."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    MetricsSeen,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    TrialReopened,
)
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Resource
from hpo_engine.trackers.eventfile import Folder
from hpo_engine.trackers.tensorboard import TensorBoardTracker

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer  # noqa: E402
from tensorboard.plugins.hparams import api_pb2, metadata  # noqa: E402
from tensorboard.util import tensor_util  # noqa: E402

from tests.support.examples import some
from tests.support.study_by_hand import PARAMS, Study


def listening(study: Study) -> Study:
    study.listen(TensorBoardTracker(study.paths, host="box"))
    return study


class Read:
    """What TensorBoard finds below a log folder."""

    def __init__(self, logs: str) -> None:
        self._all = EventMultiplexer(tensor_size_guidance={"scalars": 0, "hparams": 0})
        self._all.AddRunsFromDirectory(logs)
        self._all.Reload()
        self.runs = set(self._all.Runs())

    def tags(self, run: str) -> set[str]:
        return {t for t in self._all.AllSummaryMetadata().get(run, {}) if not t.startswith("_hparams_/")}

    def curve(self, run: str, tag: str) -> list[tuple[int, float]]:
        events = self._all.Tensors(run, tag)
        return [(e.step, tensor_util.make_ndarray(e.tensor_proto).item()) for e in events]

    def times(self, run: str, tag: str) -> list[float]:
        return [e.wall_time for e in self._all.Tensors(run, tag)]

    def _content(self, run: str, tag: str) -> bytes:
        return self._all.SummaryMetadata(run, tag).plugin_data.content

    def hparams(self, run: str) -> dict[str, Any]:
        info = metadata.parse_session_start_info_plugin_data(self._content(run, metadata.SESSION_START_INFO_TAG))
        return {name: getattr(v, v.WhichOneof("kind")) for name, v in info.hparams.items()}

    def end(self, run: str) -> tuple[int, float]:
        info = metadata.parse_session_end_info_plugin_data(self._content(run, metadata.SESSION_END_INFO_TAG))
        return info.status, info.end_time_secs

    def experiment(self, run: str) -> Any:
        return metadata.parse_experiment_plugin_data(self._content(run, metadata.EXPERIMENT_TAG))


def read(study: Study) -> Read:
    return Read(study.paths.logs)


def own_files(study: Study, trial: int) -> list[Path]:
    return sorted(Path(study.paths.trial(trial).log_dir).rglob("*hpo-engine*"))


# --- what a good study leaves -----------------------------------------------------------------------------------


def test_trial_that_ended_has_its_curves_parameters_and_verdict(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.tick()
    study.report(trial, (1, {"loss": 0.5, "acc": 0.25}), (2, {"loss": 0.25}))
    study.tick()
    study.report(trial, (3, {"loss": 0.75, "acc": 0.5}))
    study.end(trial, 0.25)
    study.close()
    found = read(study)
    assert found.runs == {"0"}
    assert found.tags("0") == {"loss", "acc", "loss (best)"}
    assert found.curve("0", "loss") == [(1, 0.5), (2, 0.25), (3, 0.75)]
    assert found.curve("0", "acc") == [(1, 0.25), (3, 0.5)]
    assert found.curve("0", "loss (best)") == [(2, 0.25)]
    assert found.times("0", "loss") == [1_700_000_001.0, 1_700_000_001.0, 1_700_000_002.0]
    assert found.hparams("0") == {"lr": 0.01, "hidden": 64.0, "optimizer": "adam"}
    assert found.end("0") == (api_pb2.STATUS_SUCCESS, 1_700_000_002.0)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("failed", api_pb2.STATUS_FAILURE),
        ("timed_out", api_pb2.STATUS_FAILURE),
        ("lost", api_pb2.STATUS_FAILURE),
        ("stopped", api_pb2.STATUS_UNKNOWN),
    ],
)
def test_trial_without_a_value_is_a_session_with_its_partial_curve(study: Study, state: str, status: int) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 0.5}))
    study.end(trial, state=state)
    silent = study.start()
    study.end(silent, state=state)
    found = read(study)
    assert found.end("0")[0] == found.end("1")[0] == status
    assert found.tags("0") == {"loss"} and found.tags("1") == set()
    assert found.hparams("1")["hidden"] == 64


def test_objective_over_the_last_row_needs_no_column_of_its_own(make_study: Callable[..., Study]) -> None:
    study = listening(make_study(objectives=(Objective("loss", over="last"),)))
    trial = study.start()
    study.report(trial, (1, {"loss": 0.25}), (2, {"loss": 0.5}))
    study.end(trial, 0.5)
    found = read(study)
    assert found.tags("0") == {"loss"}
    assert [m.name.tag for m in found.experiment("0").metric_infos] == ["loss"]


def test_columns_are_the_space_and_the_metrics_objective_first(make_study: Callable[..., Study]) -> None:
    space = SearchSpace(
        (
            Float("lr", 1e-4, 1e-1, log=True),
            Int("width", 5, 9, power=2),
            Float("tiny", -3, 0, power=10),
            Choice("opt", ("adam", "sgd")),
            Choice("layers", ([32], [64, 64])),
            Choice("clip", (None, 1, 5.0)),
            Choice("batch", (16, 32)),
            Choice("bias", (True, False)),
            Choice("mixed", (True, 1, "1")),
            Choice("many", tuple(range(1000))),
            Float("momentum", 0.5, 0.99, when={"opt": "sgd"}),
            Constant("epochs", 5),
            Constant("tag", {"a": None}),
        )
    )
    study = listening(
        make_study(
            space=space, objectives=(Objective("acc", "maximize"),), extra_metrics={"f1": "latest"},
            resource=Resource("budget", 27), )
    )  # fmt: skip
    params = {"lr": 0.1, "width": 64, "tiny": 0.001, "opt": "adam", "layers": [64, 64], "clip": None, "batch": 32}
    params |= {"bias": False, "mixed": True, "many": 999, "epochs": 5, "tag": {"a": None}}
    trial = study.start(params)
    study.report(trial, (1, {"z": 1.0, "acc": 0.5, "loss": 2.0}))
    study.end(trial, 0.5)
    found = read(study)
    columns = found.experiment("0")
    assert [m.name.tag for m in columns.metric_infos] == ["acc (best)", "acc", "f1", "loss", "z"]
    infos = {i.name: i for i in columns.hparam_infos}
    number, text, boolean = api_pb2.DATA_TYPE_FLOAT64, api_pb2.DATA_TYPE_STRING, api_pb2.DATA_TYPE_BOOL
    assert {name: i.type for name, i in infos.items()} == {
        "lr": number, "width": number, "tiny": number, "opt": text, "layers": text, "clip": text, "batch": number,
        "bias": boolean, "mixed": text, "many": number, "momentum": number, "epochs": number, "tag": text,
        "budget": number,
    }  # fmt: skip
    assert (infos["width"].domain_interval.min_value, infos["width"].domain_interval.max_value) == (32, 512)
    assert (infos["tiny"].domain_interval.min_value, infos["tiny"].domain_interval.max_value) == (0.001, 1)
    assert list(infos["clip"].domain_discrete) == ["null", "1", "5.0"]
    assert infos["many"].WhichOneof("domain") is None
    assert [name for name, i in infos.items() if not i.differs] == ["epochs", "tag"]
    row = found.hparams("0")
    assert row == {
        "lr": 0.1, "width": 64, "tiny": 0.001, "opt": "adam", "layers": "[64, 64]", "clip": "null", "batch": 32,
        "bias": False, "mixed": "true", "many": 999, "epochs": 5, "tag": '{"a": null}',
    }  # fmt: skip
    kinds = {number: float, text: str, boolean: bool}
    for name, value in row.items():
        assert type(value) is kinds[infos[name].type], name
        if infos[name].WhichOneof("domain") == "domain_discrete":
            assert value in list(infos[name].domain_discrete), name


ROWS = (1, {"loss": 0.5, "size": 9.0, "acc": 0.1}), (2, {"loss": 0.7, "size": 8.0, "acc": 0.2})


def test_several_objectives_of_the_last_row_are_columns(make_study: Callable[..., Study]) -> None:
    aims = (Objective("size", over="last"), Objective("acc", "maximize", "last"))
    study = listening(make_study(objectives=aims))
    study.report(study.start(), *ROWS)
    study.feed(TrialEnded(study.now, 0, "completed", 8.0, values=(8.0, 0.2)))
    told = {m.name.tag: m.description for m in read(study).experiment("0").metric_infos}
    assert list(told) == ["size", "acc", "loss"]
    assert told["acc"] == "An objective: maximize" and told["loss"] == "The last value"


def test_several_objectives_of_a_chosen_row_have_columns_of_their_own(make_study: Callable[..., Study]) -> None:
    aims = (Objective("loss"), Objective("size", over="last"))
    study = listening(make_study(objectives=aims))
    study.report(study.start(), *ROWS)
    study.feed(TrialEnded(study.now, 0, "completed", 0.5, values=(0.5, 9.0)))
    found = read(study)
    told = {m.name.tag: m.description for m in found.experiment("0").metric_infos}
    assert list(told) == ["loss (best)", "size (at best loss)", "loss", "size", "acc"]
    assert told["loss (best)"] == "An objective: the best loss of a trial (minimize)"
    assert found.curve("0", "loss (best)") == [(1, 0.5)] and found.curve("0", "size (at best loss)") == [(1, 9.0)]


def test_metric_first_seen_in_a_later_row_is_a_column(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 1.0}))
    study.tick()
    study.report(trial, (2, {"loss": 0.5, "late": 1.0}))
    study.end(trial, 0.5)
    assert [m.name.tag for m in read(study).experiment("0").metric_infos] == ["loss (best)", "loss", "late"]


def test_values_that_are_not_finite_are_kept(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, *[(i, {"loss": v}) for i, v in enumerate((1.0, math.nan, math.inf, -math.inf, 1e300))])
    study.end(trial, 1.0)
    values = [v for _, v in read(study).curve("0", "loss")]
    assert math.isnan(values[1])
    assert values[:1] + values[2:] == [1.0, math.inf, -math.inf, math.inf]


@pytest.mark.parametrize("name", ["a/b c", "\ud800", "é‮\x00", "x" * 5000, "", "_hparams_/session_start_info"])
def test_odd_metric_names_leave_the_rest_readable(study: Study, name: str) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {name: 1.0, "loss": 0.5}))
    study.end(trial, 0.5)
    found = read(study)
    assert found.curve("0", "loss") == [(1, 0.5)]
    assert found.hparams("0")["hidden"] == 64


# --- when things are written ------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_first_row(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.tick(5)
    assert own_files(study, trial) == []


def test_short_trial_costs_one_write(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    listening(study)
    writes: list[int] = []
    monkeypatch.setattr(os, "write", lambda fd, data, write=os.write: (writes.append(len(data)), write(fd, data))[1])
    trial = study.start()
    study.report(trial, (1, {"loss": 0.5}))
    study.end(trial, 0.5)
    study.tick()
    study.close()
    assert len(writes) == 1


def test_running_trial_grows_once_a_second_not_more(study: Study) -> None:
    listening(study)
    trial = study.start()
    sizes = []
    for i in range(20):
        study.report(trial, (i, {"loss": 1.0}))
        study.tick(0.25)
        sizes.append(own_files(study, trial)[0].stat().st_size)
    assert len(set(sizes)) == 5
    study.close("stopped")
    assert len(read(study).curve("0", "loss")) == 20


def test_retried_trial_shows_its_latest_attempt(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 9.0}), (2, {"loss": 8.0}))
    study.tick()
    study.report(trial, (3, {"loss": 7.0}))
    study.lose(trial)
    study.attempt(trial)
    study.report(trial, (1, {"loss": 0.5}))
    study.end(trial, 0.5)
    assert read(study).curve("0", "loss") == [(1, 0.5)]
    aside = Read(study.paths.trial(0).attempt(1))
    assert aside.curve("logs", "loss") == [(1, 9.0), (2, 8.0), (3, 7.0)]


def test_retry_within_one_turn_leaves_the_new_attempts_rows_alone(study: Study) -> None:
    listening(study)
    trial = study.start()
    Path(study.paths.trial(trial).log_dir).rename(study.paths.logs + "/moved-by-the-engine")
    Path(study.paths.trial(trial).log_dir).mkdir()
    study.turn(
        MetricsSeen(study.now, trial, (Row(1, {"loss": 9.0}), Row(2, {"loss": 8.0}))),
        AttemptEnded(study.now, trial, 1, {"code": 1}, "exit code 1"),
        AttemptIntended(study.now, trial, 2, "second"),
    )
    study.tick()
    study.report(trial, (1, {"loss": 0.5}))
    study.end(trial, 0.5)
    assert read(study).curve("0", "loss") == [(1, 0.5)]


def test_rows_verdict_and_reopening_within_one_turn(study: Study) -> None:
    listening(study)
    first, second = study.start(), study.start()
    study.turn(
        MetricsSeen(study.now, first, (Row(1, {"loss": 0.5}),)),
        TrialEnded(study.now, first, "completed", 0.5),
        MetricsSeen(study.now, second, (Row(1, {"loss": 4.0}),)),
        MetricsSeen(study.now, second, (Row(2, {"loss": 3.0}),)),
        TrialEnded(study.now, second, "failed", reason="exit code 1"),
        TrialReopened(study.now, second),
    )
    found = read(study)
    assert found.curve("0", "loss (best)") == [(1, 0.5)]
    assert found.curve("1", "loss") == [(1, 4.0), (2, 3.0)]
    assert found.end("1")[0] == api_pb2.STATUS_FAILURE


def test_trial_stopped_between_two_attempts_ends_its_session(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 9.0}))
    study.lose(trial)
    study.end(trial, state="stopped")
    found = read(study)
    assert found.curve("0", "loss") == [(1, 9.0)]
    assert found.end("0")[0] == api_pb2.STATUS_UNKNOWN


def test_rewritten_rows_replace_those_shown(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 9.0}), (2, {"loss": 8.0}), (3, {"loss": 7.0}))
    study.tick()
    study.report(trial, (1, {"loss": 9.0}), (2, {"loss": 5.0}), replace=True)
    study.tick()
    assert read(study).curve("0", "loss") == [(1, 9.0), (2, 5.0)]
    study.report(trial, (1, {"loss": 0.5}), replace=True)
    study.end(trial, 0.5)
    found = read(study)
    assert found.curve("0", "loss") == [(1, 0.5)]
    assert found.hparams("0")["hidden"] == 64


@pytest.mark.parametrize("steps", [(0.5, 1.0, 1.5), (1, 1, 1), (3, 2, 1), (1, 2, math.nan), (-1, 0, 1), (1, 2, 1e30)])
def test_steps_that_cannot_be_drawn_are_replaced_by_positions(study: Study, steps: tuple[float, ...]) -> None:
    listening(study)
    trial = study.start()
    for i, step in enumerate(steps):
        study.report(trial, (step, {"loss": float(i)}))
        study.tick()
    study.end(trial, 0.0)
    assert read(study).curve("0", "loss") == [(1, 0.0), (2, 1.0), (3, 2.0)]


def test_metrics_of_one_step_in_two_rows_keep_their_step(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (10, {"train": 1.0}), (10, {"loss": 2.0}), (20, {"train": 3.0}), (20, {"loss": 4.0}))
    study.end(trial, 2.0)
    found = read(study)
    assert found.curve("0", "loss") == [(10, 2.0), (20, 4.0)]
    assert found.curve("0", "train") == [(10, 1.0), (20, 3.0)]


rows = st.lists(st.tuples(st.integers(0, 6), st.sampled_from("ab"), st.integers(0, 3)), max_size=5)


@settings(max_examples=some(40), deadline=None)
@given(st.lists(st.tuples(st.booleans(), rows, st.booleans()), min_size=1, max_size=5))
@example([(False, [(1, "a", 0), (2, "a", 0)], True), (False, [(1, "a", 1)], True), (True, [(1, "a", 1)], True)])
def test_however_rows_come_the_curves_are_those_of_the_history(reports: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as root:
        study = listening(Study(Path(root)))
        trial = study.start()
        for replace, new, tick in reports:
            study.report(trial, *[(step, {name: float(v)}) for step, name, v in new], replace=replace)
            if tick:
                study.tick()
        study.end(trial, state="failed")
        kept = study.history.trials[trial].rows
        latest: dict[str, float] = {}
        rising = all(latest.get(n, -1) < r.step and not latest.update({n: r.step}) for r in kept for n in r.values)
        found = read(study)
        for name in "ab":
            pairs = [(r.step, i, r.values[name]) for i, r in enumerate(kept, 1) if name in r.values]
            shown = found.curve("0", name) if name in found.tags("0") else []
            assert [v for _, v in shown] == [v for _, _, v in pairs]
            assert [s for s, _ in shown] in ([[s for s, _, _ in pairs]] if rising else []) + [[i for _, i, _ in pairs]]


# --- resume -----------------------------------------------------------------------------------------------------


def test_resumed_running_trial_has_one_whole_curve(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 3.0}), (2, {"loss": 2.0}))
    study.tick()
    study.report(trial, (3, {"loss": 1.0}))  # not yet written when the engine dies
    listening(study)
    study.tick()
    assert read(study).curve("0", "loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    study.report(trial, (4, {"loss": 0.5}))
    study.end(trial, 0.5)
    found = read(study)
    assert found.curve("0", "loss") == [(1, 3.0), (2, 2.0), (3, 1.0), (4, 0.5)]
    assert found.end("0")[0] == api_pb2.STATUS_SUCCESS
    assert len(own_files(study, trial)) == 2


def test_ended_trials_without_a_file_are_written_on_resume_and_others_left_alone(study: Study) -> None:
    for tracker in (TensorBoardTracker(study.paths, host="box"), None):  # the second with the tracker switched off
        if tracker:
            study.listen(tracker)
        study.tracker = tracker
        trial = study.start()
        study.report(trial, (1, {"loss": 0.5}))
        study.end(trial, 0.5)
    before = own_files(study, 0)[0].read_bytes()
    assert own_files(study, 1) == []
    listening(study)
    study.tick()
    study.close()
    assert [p.read_bytes() for p in own_files(study, 0)] == [before]
    found = read(study)
    assert found.curve("1", "loss") == [(1, 0.5)]
    assert found.hparams("1") == found.hparams("0")
    assert found.end("1")[0] == api_pb2.STATUS_SUCCESS


def test_trial_whose_end_was_not_written_is_completed_on_resume(study: Study) -> None:
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 0.5}))
    study.tick()
    study.tracker = None  # the engine dies between the log and the tracker
    study.report(trial, (2, {"loss": 0.25}))
    study.end(trial, 0.25)
    listening(study)
    study.tick()
    found = read(study)
    assert found.curve("0", "loss") == [(1, 0.5), (2, 0.25)]
    assert found.end("0")[0] == api_pb2.STATUS_SUCCESS


def test_only_folders_that_were_touched_since_all_was_written_are_looked_into(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening(study)
    for _ in range(3):
        trial = study.start()
        study.report(trial, (1, {"loss": 0.5}))
        study.end(trial, 0.5)
        os.utime(study.paths.trial(trial).log_dir, (1e9, 1e9))
    study.now += 1000  # the end of the third may have been cut short
    study.end(study.start(), 0.25)
    study.close()
    own_files(study, 1)[0].unlink()
    looked: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: (looked.append(str(path)), listdir(path))[1])
    listening(study)
    study.close()
    assert {Path(path).name for path in looked if str(study.paths.logs) in path} == {"1", "reported", "3"}
    assert all(len(own_files(study, trial)) == 1 for trial in range(4))
    assert read(study).curve("1", "loss") == [(1, 0.5)]


def test_failure_to_write_a_file_is_made_up_for_by_the_next_engine(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening(study)
    append = Folder.append
    monkeypatch.setattr(Folder, "append", lambda self, data: os.stat("/dev/null/x"))
    study.end(study.start(), 0.5)
    study.now += 1000
    monkeypatch.setattr(Folder, "append", append)
    study.end(study.start(), 0.25)
    study.close()
    os.utime(study.paths.trial(0).log_dir, (1e9, 1e9))
    own_files(study, 0)[0].unlink()
    os.utime(study.paths.trial(0).log_dir, (1e9, 1e9))
    listening(study)
    study.close()
    assert len(own_files(study, 0)) == 1


def test_a_long_backlog_does_not_hold_up_the_loop(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        study.end(study.start(), 0.5)
    clock = iter(range(10**6))
    monkeypatch.setattr("hpo_engine.trackers.tensorboard.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    listening(study)
    study.tick()
    assert len([t for t in range(30) if own_files(study, t)]) == 1
    study.close()
    assert read(study).runs == {str(i) for i in range(30)}


def test_trial_that_never_ran_is_no_run(study: Study) -> None:
    listening(study)
    study.feed(TrialProposed(study.now, 0, dict(PARAMS)))
    study.end(0, state="stopped")
    listening(study)
    study.tick()
    study.close()
    assert read(study).runs == set()


# --- a folder that scripts write to as well ---------------------------------------------------------------------


def test_scripts_own_subfolder_is_a_run_beside_ours(study: Study) -> None:
    listening(study)
    trial = study.start()
    script_writes(Path(study.paths.trial(trial).log_dir, "tb"))
    study.report(trial, (1, {"loss": 0.5}))
    study.end(trial, 0.5)
    found = read(study)
    assert found.runs == {"0", "0/tb"}
    assert found.curve("0/tb", "loss") == [(i, 100.0) for i in range(5)]
    assert found.curve("0", "loss") == [(1, 0.5)]


def test_script_that_writes_right_into_log_dir_keeps_its_curves_apart_from_ours(study: Study) -> None:
    listening(study)
    trial = study.start()
    script_writes(Path(study.paths.trial(trial).log_dir))
    study.report(trial, (1, {"loss": 0.5}))
    study.tick()
    study.report(trial, (2, {"loss": 0.25}))
    study.end(trial, 0.25)
    found = read(study)
    assert found.runs == {"0", "0/reported"}
    assert found.curve("0", "loss") == [(i, 100.0) for i in range(5)]
    assert found.curve("0/reported", "loss") == [(1, 0.5), (2, 0.25)]
    assert found.hparams("0/reported")["hidden"] == 64
    listening(study)
    study.close()
    assert len(own_files(study, trial)) == 1


def script_writes(folder: Path) -> None:
    from tensorboard.summary import Writer

    writer = Writer(str(folder))
    for i in range(5):
        writer.add_scalar("loss", 100.0, step=i)
    writer.close()


# --- hostile folders --------------------------------------------------------------------------------------------


def swap_for_link(log_dir: Path, canary: Path) -> None:
    log_dir.rename(log_dir.with_name("moved"))
    log_dir.symlink_to(canary)


def swap_logs_for_link(log_dir: Path, canary: Path) -> None:
    log_dir.parent.rename(log_dir.parent.with_name("moved"))
    log_dir.parent.symlink_to(canary)
    (canary / log_dir.name).mkdir(exist_ok=True)


def remove(log_dir: Path, canary: Path) -> None:
    log_dir.rename(canary.with_name("gone"))


def file_for_link(log_dir: Path, canary: Path) -> None:
    for file in log_dir.iterdir():
        file.unlink()
        file.symlink_to(canary / "file")


def file_for_hard_link(log_dir: Path, canary: Path) -> None:
    for file in log_dir.iterdir():
        file.unlink()
        file.hardlink_to(canary / "file")


def file_for_fifo(log_dir: Path, canary: Path) -> None:
    for file in log_dir.iterdir():
        file.unlink()
        os.mkfifo(file)


def aside_for_link(log_dir: Path, canary: Path) -> None:
    for file in log_dir.iterdir():
        file.rename(log_dir / "events.out.tfevents.1.script")
    (log_dir / "reported").symlink_to(canary)


def dir_for_file(log_dir: Path, canary: Path) -> None:
    remove(log_dir, canary)
    log_dir.write_text("")


TRICKS = [
    swap_for_link, swap_logs_for_link, remove, file_for_link, file_for_hard_link, file_for_fifo, aside_for_link,
    dir_for_file,
]  # fmt: skip


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_planted_redirects_a_write_or_stops_the_study(
    study: Study, tmp_path: Path, trick: Callable[[Path, Path], None], resumed: bool
) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("precious")
    listening(study)
    trial = study.start()
    study.report(trial, (1, {"loss": 0.5}))
    study.tick()
    trick(Path(study.paths.trial(trial).log_dir), canary)
    if resumed:
        listening(study)
    study.report(trial, (2, {"loss": 0.25}))
    study.tick()
    study.end(trial, 0.25)
    listening(study)
    study.close()
    assert (canary / "file").read_text() == "precious"
    assert [p for p in canary.rglob("*") if not p.is_dir()] == [canary / "file"]


def test_full_disk_costs_the_curve_and_one_warning(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listening(study)
    monkeypatch.setattr(os, "write", lambda fd, data: 5)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            trial = study.start()
            study.report(trial, (1, {"loss": 0.5}))
            study.tick()
            study.end(trial, 0.5)
        study.close()
    assert len(caplog.records) == 1
    assert "trial 0" in caplog.text


def test_neither_tensorboard_nor_anything_heavy_is_imported() -> None:
    code = (
        "import sys, hpo_engine.trackers.tensorboard\n"
        "print({'tensorboard', 'torch', 'tensorflow', 'numpy', 'rich', 'socket', 'google'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_trial_that_is_carried_on_is_one_unbroken_curve(study: Study) -> None:
    listening(study)
    trial = study.history.next_id
    study.feed(TrialProposed(study.now, trial, dict(PARAMS), 3))
    study.attempt(trial)
    study.report(trial, *((step, {"loss": 1 / step}) for step in (1, 2, 3)))
    study.end(trial, 1 / 3)
    study.feed(TrialCarriedOn(study.now, trial, dict(PARAMS), 6))
    study.tick()
    study.feed(AttemptIntended(study.now, trial, 2, "again"))
    study.report(trial, (3, {"loss": 0.3}), (4, {"loss": 0.25}), replace=True)  # it went back a step
    study.tick(2.0)
    study.report(trial, (5, {"loss": 0.2}), (6, {"loss": 0.1}))
    study.end(trial, 0.1)
    listening(study)  # an engine that comes later finds it written
    study.close()
    read = Read(study.paths.logs)
    assert [step for step, _ in read.curve("0", "loss")] == [1, 2, 3, 4, 5, 6]
    assert [round(value, 3) for _, value in read.curve("0", "loss")] == [1.0, 0.5, 0.3, 0.25, 0.2, 0.1]
    assert len(os.listdir(study.paths.trial(0).log_dir)) == 2
