"""Metrics of a trial: as it writes them, and the verdict in the end."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.paths import EMETRICS, RESULT, TrialPaths
from hpo_engine.contract.sources.interface import Reading
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.contract.sources.val_dict_list import ValDictList
from hpo_engine.contract.sources.verdict import failure, thin, verdict
from hpo_engine.study import rows as rows_module
from hpo_engine.study.objective import Objective, Row
from tests.support.examples import some
from tests.support.helpers import emetrics_line, put
from tests.support.reports import final_rows, reports

LOSS = Objective("loss")


# -- live --------------------------------------------------------------------------------------------------------------


def settle(path: str, age_s: float = 10.0) -> None:
    """As if the file had been written long ago: then an unchanged file is not read again."""
    now = time.time() - age_s
    os.utime(path, (now, now))


def test_reader_tells_rows_once_and_only_new_ones(trial: TrialPaths) -> None:
    reader = reports(trial)
    assert reader.fresh() is None
    put(trial.result_file, '[{"loss": NaN}]')
    assert repr(reader.fresh()) == repr(((Row(1, {"loss": math.nan}),), False))
    assert reader.fresh() is None
    put(trial.result_file, '[{"loss": NaN}, {"loss": 1}]')
    assert reader.fresh() == ((Row(2, {"loss": 1.0}),), False)
    put(trial.result_file, '[{"loss": 3}, {"loss": 1}]')
    assert reader.fresh() == ((Row(1, {"loss": 3.0}), Row(2, {"loss": 1.0})), True)
    put(trial.result_file, '[{"loss": 3}]')
    assert reader.fresh() == ((Row(1, {"loss": 3.0}),), True)


def test_reader_keeps_quiet_while_a_file_is_rewritten_empty_then_full(trial: TrialPaths) -> None:
    reader = reports(trial)
    put(trial.result_file, '[{"loss": 1}]')
    assert reader.fresh() is not None
    for state in ("", '[{"loss": 1}, {"lo', "[]", "garbage"):
        put(trial.result_file, state)
        assert reader.fresh() is None
    put(trial.result_file, '[{"loss": 1}, {"loss": 2}]')
    assert reader.fresh() == ((Row(2, {"loss": 2.0}),), False)


def test_reader_does_not_open_what_has_not_changed(trial: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    put(trial.result_file, '[{"loss": 1}]')
    put(f"{trial.log_dir}/{EMETRICS}", emetrics_line(1, loss=1))
    settle(trial.result_file)
    settle(f"{trial.log_dir}/{EMETRICS}")
    reader = reports(trial)
    assert reader.fresh() is not None
    with monkeypatch.context() as patched:  # pytest itself opens folders when it removes them
        patched.setattr(os, "open", lambda *a, **k: pytest.fail("opened"))
        assert reader.fresh() is None


def test_reader_sees_a_rewrite_within_one_tick_of_the_clock(trial: TrialPaths) -> None:
    reader = reports(trial)
    put(trial.result_file, '[{"loss": 1}]')
    stamp = os.stat(trial.result_file).st_mtime_ns
    assert reader.fresh() is not None
    put(trial.result_file, '[{"loss": 2}]')  # same size, same inode ...
    os.utime(trial.result_file, ns=(stamp, stamp))  # ... same time
    assert reader.fresh() == ((Row(1, {"loss": 2.0}),), True)


@pytest.mark.parametrize("below", ["", "/3"])
def test_reader_follows_emetrics_line_by_line(trial: TrialPaths, below: str) -> None:
    path, reader = f"{trial.log_dir}{below}/{EMETRICS}", reports(trial)
    put(path, emetrics_line(1, "train", loss=9) + emetrics_line(1, loss=1)[:30])
    assert reader.fresh() == ((Row(1, {"train_loss": 9.0}),), False)
    with open(path, "a") as file:
        file.write(emetrics_line(1, loss=1)[30:] + emetrics_line(1, acc=0.5) + "garbage\n")
    assert reader.fresh() == ((Row(1, {"loss": 1.0, "acc": 0.5}),), False)
    with open(path, "a") as file:
        file.write(emetrics_line(1, f1=0.7) + emetrics_line(2, loss=2))
    # what was told stays as it was, so that the news stays small
    assert reader.fresh() == ((Row(1, {"f1": 0.7}), Row(2, {"loss": 2.0})), False)
    put(path, "")  # begun anew: nothing to tell until a row is there
    assert reader.fresh() is None
    put(path, emetrics_line(1, loss=5))
    assert reader.fresh() == ((Row(1, {"loss": 5.0}),), True)


def test_reader_reads_a_long_emetrics_in_pieces_without_further_changes(trial: TrialPaths) -> None:
    path, reader = f"{trial.log_dir}/{EMETRICS}", reports(trial)
    put(path, "".join(emetrics_line(i, loss=i) for i in range(3000)))
    settle(path)
    rows: list[Row] = []
    looks = 0
    while len(rows) < 3000:
        looks += 1
        new, replaced = reader.fresh() or ((), False)
        assert not replaced
        rows += new
        assert looks < 100
    assert looks > 1
    assert [row.step for row in rows] == list(range(3000))
    assert reader.fresh() is None


def test_reader_prefers_the_result_file_once_it_has_rows(trial: TrialPaths) -> None:
    reader = reports(trial)
    put(f"{trial.log_dir}/{EMETRICS}", emetrics_line(1, loss=9))
    put(trial.result_file, "[]")
    assert reader.fresh() == ((Row(1, {"loss": 9.0}),), False)
    put(trial.result_file, '[{"loss": 1}]')
    assert reader.fresh() == ((Row(1, {"loss": 1.0}),), True)
    with open(f"{trial.log_dir}/{EMETRICS}", "a") as file:
        file.write(emetrics_line(2, loss=8))
    assert reader.fresh() is None


def test_reader_never_raises_whatever_lies_there(trial: TrialPaths, tmp_path: Path) -> None:
    reader = reports(trial)
    emetrics = f"{trial.log_dir}/{EMETRICS}"
    secret = tmp_path / "secret"
    secret.write_text('[{"loss": 1}]')
    os.mkfifo(trial.result_file)
    os.mkfifo(emetrics)
    assert reader.fresh() is None
    for path in (trial.result_file, emetrics):
        os.unlink(path)
        os.symlink(secret, path)
    assert reader.fresh() is None
    for path in (trial.result_file, emetrics):
        os.unlink(path)
        os.mkdir(path)
    assert reader.fresh() is None
    for path in (trial.result_dir, trial.log_dir):
        os.rename(path, path + ".moved")
    assert reader.fresh() is None
    os.symlink(tmp_path, trial.result_dir)
    put(str(tmp_path / RESULT), '[{"loss": 1}]')
    assert reader.fresh() is None


def test_reader_rests_after_a_file_that_took_long(trial: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("hpo_engine.contract.sources.reports.time.monotonic", lambda: clock[0])
    parse = ValDictList.parse

    def slow(self: ValDictList, data: bytes) -> tuple[Sequence[Row], Mapping[str, str]]:
        clock[0] += 0.5
        return parse(self, data)

    monkeypatch.setattr(ValDictList, "parse", slow)
    reader = reports(trial, kind=Reports)
    put(trial.result_file, '[{"loss": 1}]')
    assert reader.fresh() is not None
    put(trial.result_file, '[{"loss": 1}, {"loss": 2}]')
    assert reader.fresh() is None
    clock[0] = 111.0
    assert reader.fresh() == ((Row(2, {"loss": 2.0}),), False)


# -- the verdict -------------------------------------------------------------------------------------------------------


def judged(trial: TrialPaths, objective: Objective = LOSS) -> tuple[float | None, str]:
    values, text = verdict(final_rows(trial), [objective], trial.trial_id)
    return (values[0] if values else None), text


def test_verdict_takes_the_best_of_all_rows_or_the_last(trial: TrialPaths) -> None:
    put(trial.result_file, '[{"loss": 3}, {"loss": 1}, {"loss": NaN}, {"loss": 2}, {"acc": 5}]')
    assert judged(trial) == (1.0, "")
    assert judged(trial, Objective("loss", "maximize")) == (3.0, "")
    assert judged(trial, Objective("loss", over="last")) == (2.0, "")


def test_a_last_value_that_is_not_finite_is_no_value(trial: TrialPaths) -> None:
    for last, shown in (("NaN", "nan"), ("Infinity", "inf")):
        put(trial.result_file, f'[{{"loss": 3}}, {{"loss": 1}}, {{"loss": {last}}}, {{"acc": 5}}]')
        assert judged(trial) == (1.0, "")
        assert judged(trial, Objective("loss", over="last")) == (
            None,
            f'trial 3: "loss" counts by its last value, which is {shown} in val_dict_list.json (3 rows)',
        )
    two = (Objective("loss", over="last"), Objective("acc", over="last"))
    put(trial.result_file, '[{"loss": 3, "acc": 1}, {"loss": NaN}]')
    why = '"loss" and "acc" are not all finite in the last row of val_dict_list.json, which counts'
    assert verdict(final_rows(trial), two, 3) == (None, f"trial 3: {why}")


@pytest.mark.parametrize("metric", ["step", "steps", "epoch", "iteration"])
def test_an_objective_with_the_name_of_a_step_is_a_metric(trial: TrialPaths, metric: str) -> None:
    named, other = frozenset([metric]), "epoch" if metric == "step" else "step"
    reader = reports(trial, named)
    put(trial.result_file, f'[{{"{metric}": 9, "{other}": 3}}, {{"{metric}": 7.5}}, {{"{metric}": 8, "loss": 1}}]')
    expected = (Row(3, {metric: 9.0}), Row(4, {metric: 7.5}), Row(5, {metric: 8.0, "loss": 1.0}))
    assert reader.fresh() == (expected, False)
    reading = final_rows(trial, named)
    assert reading.rows == expected
    assert verdict(reading, [Objective(metric)], 3) == ((7.5,), "")
    assert verdict(final_rows(trial), [Objective("loss")], 3) == ((1.0,), "")


def test_an_objective_with_the_name_of_a_step_in_emetrics(trial: TrialPaths) -> None:
    lines = emetrics_line(1, epoch=0.5) + emetrics_line(2, epoch=0.25)
    put(f"{trial.log_dir}/{EMETRICS}", lines)
    reading = final_rows(trial, frozenset(["epoch"]))
    assert [(row.step, row.values["epoch"]) for row in reading.rows] == [(1, 0.5), (2, 0.25)]
    assert verdict(reading, [Objective("epoch")], 3) == ((0.25,), "")


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**64 + 1, 10**40 + 1])
def test_whole_numbers_of_any_size_are_exact(trial: TrialPaths, number: int) -> None:
    entries = (f'{{"step": {step}, "n": {number}}}' for step in ("9007199254740993", '"9007199254740995"'))
    put(trial.result_file, f"[{', '.join(entries)}]")
    reading = final_rows(trial)
    assert [row.step for row in reading.rows] == [2**53 + 1, 2**53 + 3]
    assert verdict(reading, [Objective("n")], 3) == ((number,), "") and type(reading.rows[0].values["n"]) is int
    assert rows_module.from_json(json.loads(json.dumps(rows_module.to_json(reading.rows)))) == reading.rows
    os.unlink(trial.result_file)
    put(f"{trial.log_dir}/{EMETRICS}", emetrics_line(2**53 + 1, n=number))
    assert final_rows(trial).rows == (Row(2**53 + 1, {"n": number}),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "trial 3: wrote no val_dict_list.json in RESULT_DIR (and no evaluation-metrics.txt in LOG_DIR)"),
        ("", "trial 3: val_dict_list.json is empty"),
        ("[]", "trial 3: val_dict_list.json has no entries"),
        ('[{"loss": 0.3', "trial 3: val_dict_list.json is torn at byte 13"),
        (
            "[" + '{"val_loss": 1, "acc": 2},' * 4 + '{"acc": 2}]',
            'trial 3: no metric "loss" in val_dict_list.json; it has "val_loss", "acc" (steps 1-5)',
        ),
        (
            '[{"step": 7, "a\\n\\u001b[0m": 1}]',
            'trial 3: no metric "loss" in val_dict_list.json; it has "a\\n\\u001b[0m" (step 7)',
        ),
        ('[{"x": "y"}]', 'trial 3: no metric "loss" in val_dict_list.json; it has no numbers at all (step 1)'),
        ('[{"loss": NaN}]', 'trial 3: "loss" is not finite in the only row of val_dict_list.json (last: nan)'),
        (
            "[" + '{"loss": Infinity},' * 4 + '{"loss": NaN}]',
            'trial 3: "loss" is not finite in any of 5 rows of val_dict_list.json (last: nan)',
        ),
        ('[{"loss": "0.3"}]', 'trial 3: "loss" is a string "0.3" in val_dict_list.json, not a number'),
        ('[{"loss": true}]', 'trial 3: "loss" is true in val_dict_list.json, not a number'),
        ('[{"loss": null}]', 'trial 3: "loss" is null in val_dict_list.json, not a number'),
        ('[{"loss": [0.3]}]', 'trial 3: "loss" is a list in val_dict_list.json, not a number'),
        ('[{"loss": {"a": 1}}]', 'trial 3: "loss" is an object in val_dict_list.json, not a number'),
    ],
)
def test_verdict_says_why_there_is_no_value(trial: TrialPaths, text: str | None, message: str) -> None:
    if text is not None:
        put(trial.result_file, text)
    assert judged(trial) == (None, message)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (None, "no_result"),
        ("[]", "no_result"),
        ('[{"acc": 1}]', "no_result"),
        ("[{", "bad_result"),
        ('[{"loss": NaN}]', "bad_result"),
        ('[{"loss": "0.3"}]', "bad_result"),
    ],
)
def test_results_that_are_missing_are_told_from_bad_ones(trial: TrialPaths, text: str | None, kind: str) -> None:
    if text is not None:
        put(trial.result_file, text)
    assert failure(final_rows(trial), [LOSS]).value == kind


def test_verdict_lists_no_endless_names() -> None:
    row = Row(1, {f"{i}" + "m" * 300: 1.0 for i in range(20)})
    value, text = verdict(Reading((row,), RESULT), [LOSS], 0)
    assert value is None
    assert "and 12 more (step 1)" in text
    assert len(text) < 800


def test_final_rows_uses_emetrics_where_the_result_file_says_nothing(trial: TrialPaths) -> None:
    put(f"{trial.log_dir}/{EMETRICS}", emetrics_line(1, loss=0.5))
    reading = final_rows(trial)
    assert (reading.rows, reading.source, reading.problem) == ((Row(1, {"loss": 0.5}),), EMETRICS, None)
    put(trial.result_file, "[]")
    assert judged(trial)[0] == 0.5
    put(trial.result_file, '[{"loss')
    note = "trial 3: val_dict_list.json is torn at byte 7; evaluation-metrics.txt was used instead"
    assert judged(trial) == (0.5, note)
    put(f"{trial.log_dir}/3/{EMETRICS}", emetrics_line(1, loss=0.25))
    assert judged(trial)[0] == 0.25
    put(trial.result_file, '[{"loss": 1}]')
    assert judged(trial) == (1.0, "")


def test_final_rows_takes_a_digest_of_what_it_judged(trial: TrialPaths) -> None:
    put(trial.result_file, '[{"loss": 1}]')
    first = final_rows(trial)
    assert first.digest == hashlib.sha256(b'[{"loss": 1}]').hexdigest()
    put(trial.result_file, '[{"loss": 2}]')
    assert final_rows(trial).digest != first.digest


@pytest.mark.parametrize("how", ["gone", "link"])
def test_verdict_is_none_where_the_result_folder_is_not_the_one_laid_out(
    trial: TrialPaths, tmp_path: Path, how: str
) -> None:
    put(trial.result_file, '[{"loss": 1}]')
    put(f"{trial.log_dir}/{EMETRICS}", emetrics_line(1, loss=1))
    os.rename(trial.result_dir, str(tmp_path / "elsewhere"))
    if how == "link":
        os.symlink(tmp_path / "elsewhere", trial.result_dir)
    value, text = judged(trial)
    assert value is None
    assert text.startswith("trial 3: RESULT_DIR is " + ("gone" if how == "gone" else "not a folder any more"))


def test_final_rows_names_the_fault_of_emetrics_where_nothing_else_is(trial: TrialPaths) -> None:
    os.mkfifo(f"{trial.log_dir}/{EMETRICS}")
    value, text = judged(trial)
    assert value is None
    assert text.endswith("(evaluation-metrics.txt is not a regular file but a pipe)")
    os.unlink(f"{trial.log_dir}/{EMETRICS}")
    put(f"{trial.log_dir}/{EMETRICS}", "nothing\n")
    assert judged(trial)[1].endswith("(evaluation-metrics.txt has no metrics)")


def test_thin_keeps_rows_with_the_objective_before_those_without() -> None:
    rows = [Row(i, {"val_loss" if i % 100 == 99 else "loss": 0.5}) for i in range(1000)]
    kept = thin(rows, 50, ["val_loss"])
    assert [row.step for row in kept if "val_loss" in row.values] == list(range(99, 1000, 100))
    assert len(kept) == 50 and [row.step for row in kept] == sorted({row.step for row in kept})
    assert [row.step for row in thin(rows, 3, ["val_loss"])] == [99, 499, 999]
    assert [row.step for row in thin(rows, 11, ["val_loss"])][-2:] == [998, 999]


@settings(max_examples=some(50), deadline=None)
@given(st.integers(0, 200), st.integers(2, 60))
def test_thin_keeps_the_ends_the_order_and_the_limit(count: int, limit: int) -> None:
    rows = [Row(i, {}) for i in range(count)]
    kept = thin(rows, limit)
    assert len(kept) == min(count, limit)
    steps = [row.step for row in kept]
    assert steps == sorted(set(steps))
    if count:
        assert (steps[0], steps[-1]) == (0, count - 1)
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    assert not gaps or max(gaps) - min(gaps) <= 1
