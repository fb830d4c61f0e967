"""Which of several sources a trial's rows come from: while it runs, and in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from hpo_engine.contract.paths import EMETRICS, RESULT, TrialPaths
from hpo_engine.contract.sources.candidates import Candidate, keys
from hpo_engine.contract.sources.emetrics import Emetrics
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.printed import Printed
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.contract.sources.tables import JsonLines
from hpo_engine.contract.sources.val_dict_list import ValDictList
from hpo_engine.contract.sources.verdict import verdict
from hpo_engine.errors import SpecError
from hpo_engine.study.objective import Objective, Row
from tests.support.helpers import emetrics_line
from tests.support.reports import Restless

LINES = Candidate("jsonl", lambda trial: JsonLines(trial, file="log.jsonl"))
OUTPUT = Candidate("stdout", Printed)
SOURCES = [
    Candidate("val_dict_list", ValDictList, own=True),
    Candidate("emetrics", Emetrics, own=True),
    LINES,
    OUTPUT,
]


class Trial:
    """A trial whose script reports in several ways."""

    def __init__(self, paths: TrialPaths) -> None:
        self.paths = paths
        self.files = TrialFiles(paths)

    def reports(self, sources: Sequence[Candidate] = SOURCES, objectives: Sequence[str] = ("loss",)) -> Reports:
        return Restless(self.files, sources, objectives=objectives)

    def prints(self, text: str) -> None:
        folder = Path(self.paths.attempt(1))
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "output.log", "a") as file:
            file.write(text)

    def logs(self, *rows: Mapping[str, float], name: str = "log.jsonl") -> None:
        with open(Path(self.paths.result_dir, name), "a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))

    def writes(self, *rows: Mapping[str, float]) -> None:
        Path(self.paths.result_dir, RESULT).write_text(json.dumps(rows))


@pytest.fixture
def script(trial: TrialPaths) -> Trial:
    return Trial(trial)


# -- while it runs -----------------------------------------------------------------------------------------------------


def test_live_rows_are_those_of_one_source_and_come_anew_when_an_earlier_one_appears(script: Trial) -> None:
    reports = script.reports()
    script.prints("epoch 1: loss=9\nepoch 2: loss=8\n")
    assert reports.fresh() == ((Row(1, {"loss": 9.0}), Row(2, {"loss": 8.0})), True)
    assert reports.provisional, "the log may still come"
    script.logs({"step": 1, "loss": 0.5})
    assert reports.fresh() == ((Row(1, {"loss": 0.5}),), True), "not after the printed rows but in their place"
    script.prints("epoch 3: loss=7\n")
    assert reports.fresh() is None
    script.logs({"step": 2, "loss": 0.4})
    assert reports.fresh() == ((Row(2, {"loss": 0.4}),), False)
    assert reports.provisional


def test_what_was_written_for_the_engine_counts_at_once(script: Trial) -> None:
    reports = script.reports()
    script.prints("loss=9\n")
    reports.fresh()
    script.writes({"step": 1, "loss": 0.5})
    assert reports.fresh() == ((Row(1, {"loss": 0.5}),), True)
    assert not reports.provisional


def test_rows_without_the_objective_are_not_taken_for_reports(script: Trial) -> None:
    reports = script.reports()
    script.prints("epoch 1: acc=9\n")
    script.logs({"step": 1, "val": 0.5})
    assert reports.fresh() is None
    script.prints("epoch 2: loss=8\n")
    assert reports.fresh() == ((Row(1, {"acc": 9.0}), Row(2, {"loss": 8.0})), True)


def test_what_the_engine_is_told_is_seen_even_without_the_objective(script: Trial) -> None:
    """So that a misspelt objective stops the study at its first row."""
    reports = script.reports()
    script.writes({"step": 1, "val_loss": 0.5})
    assert reports.fresh() == ((Row(1, {"val_loss": 0.5}),), False)
    assert not reports.provisional


def test_once_a_source_has_counted_in_the_study_only_that_one_is_looked_at(script: Trial) -> None:
    reports = script.reports()
    script.prints("loss=9\n")
    assert reports.fresh(["jsonl"]) is None
    script.logs({"step": 1, "loss": 0.5})
    script.writes({"step": 1, "loss": 0.1})
    assert reports.fresh(["jsonl"]) == ((Row(1, {"loss": 0.5}),), False)
    assert not reports.provisional


def test_rows_that_turn_out_to_be_of_another_source_than_the_studys_are_taken_back(script: Trial) -> None:
    """Another trial ended in the meantime, and its metrics were in the log."""
    reports = script.reports()
    script.prints("loss=9\n")
    assert reports.fresh() == ((Row(1, {"loss": 9.0}),), True)
    assert reports.fresh(["jsonl"]) == ((), True)
    assert not reports.provisional
    assert reports.fresh(["jsonl"]) is None
    script.logs({"step": 1, "loss": 0.5})
    assert reports.fresh(["jsonl"]) == ((Row(1, {"loss": 0.5}),), False)


def test_rows_that_were_provisional_count_from_when_their_source_has_counted(script: Trial) -> None:
    reports = script.reports()
    script.prints("loss=9\n")
    reports.fresh()
    assert reports.fresh(["stdout"]) == ((Row(1, {"loss": 9.0}),), True)
    assert not reports.provisional


def test_one_source_leaves_nothing_open(script: Trial) -> None:
    reports = script.reports([OUTPUT])
    script.prints("acc=9\n")
    assert reports.fresh() == ((Row(1, {"acc": 9.0}),), False)
    assert not reports.provisional
    assert reports.final().key == ""


# -- in the end --------------------------------------------------------------------------------------------------------


def test_the_first_source_with_the_objective_counts_and_the_others_are_named(script: Trial) -> None:
    script.writes({"step": 1, "acc": 0.5})
    script.logs({"epoch": 1, "loss": 0.5})
    script.prints("loss=9\n")
    reading = script.reports().final()
    assert (reading.key, reading.source, reading.rows) == ("jsonl", "log.jsonl", (Row(1, {"loss": 0.5}),))
    assert reading.others == ("output.log (stdout)",)
    assert verdict(reading, [Objective("loss")], 3)[0] == (0.5,)


def test_all_objectives_must_be_in_one_source(script: Trial) -> None:
    script.logs({"epoch": 1, "loss": 0.5})
    script.prints("loss=9 size=3\n")
    assert script.reports(objectives=["loss", "size"]).final().key == "stdout"


def test_what_counted_in_the_study_before_comes_first(script: Trial) -> None:
    """Conditional code of a script must not have its trials compared by different reports."""
    script.writes({"step": 1, "loss": 0.1})
    script.prints("loss=9\n")
    reading = script.reports().final(used=["stdout"])
    assert (reading.key, reading.others) == ("stdout", ())
    script.logs({"step": 1, "loss": 0.5})
    assert script.reports().final(used=["emetrics"]).key == "val_dict_list", "that one is missing here"
    assert script.reports().final(used=["emetrics", "jsonl"]).key == "jsonl"


def test_the_same_source_twice_with_two_files(script: Trial) -> None:
    first, second = (partial(JsonLines, file=name) for name in ("a.jsonl", "b.jsonl"))
    two = [Candidate(key, make) for key, make in zip(keys(["jsonl", "jsonl"]), (first, second), strict=True)]
    script.logs({"acc": 1.0}, name="a.jsonl")
    script.logs({"loss": 1.0}, name="b.jsonl")
    reading = script.reports(two).final()
    assert (reading.key, reading.source) == ("jsonl 2", "b.jsonl")


def test_a_metric_that_no_source_has_is_answered_with_what_each_has(script: Trial) -> None:
    script.logs({"epoch": 1, "train": 0.5, "lr": 1.0})
    script.prints("epoch 1: val_loss=9 acc=1\n")
    reading = script.reports().final()
    assert verdict(reading, [Objective("loss")], 3) == (
        None,
        'trial 3: no source has a metric "loss": output.log has "val_loss", "acc"; log.jsonl has "train", "lr"; '
        'did you mean "val_loss"?',
    )
    assert [row.values for row in reading.rows] == [{"val_loss": 9.0, "acc": 1.0}], "the rows that have the nearest"


def test_text_in_place_of_the_objective_is_named_and_a_source_with_numbers_counts(script: Trial) -> None:
    Path(script.paths.result_dir, RESULT).write_text('[{"loss": "low", "acc": 1}]')
    script.logs({"epoch": 1, "acc": 0.5})
    why = verdict(script.reports().final(), [Objective("loss")], 3)[1]
    assert why == f'trial 3: "loss" is a string "low" in {RESULT}, not a number'
    script.prints("loss=2\n")
    assert script.reports().final().key == "stdout"


def test_nothing_at_all_names_where_it_was_looked_for(script: Trial) -> None:
    assert script.reports().final().problem == (
        f"wrote no {RESULT} in RESULT_DIR, and no metrics were found elsewhere (emetrics, jsonl, stdout)"
    )
    Path(script.paths.result_dir, RESULT).write_text('[{"loss"')
    assert script.reports().final().problem == f"{RESULT} is torn at byte 8"


def test_a_source_that_fails_harms_none_of_the_others(script: Trial) -> None:
    class Broken(MetricSource):
        title = "broken"

        def look(self) -> bool:
            raise RuntimeError("no")

        def final(self, *, cut: bool) -> Reading:
            raise RuntimeError("no")

        def steps(self) -> str:
            raise RuntimeError("no")

    sources = [Candidate("broken", lambda trial: Broken()), *SOURCES]
    script.prints("loss=9\n")
    reports = script.reports(sources)
    assert reports.fresh() == ((Row(1, {"loss": 9.0}),), True)
    assert reports.final().key == "stdout"
    assert script.reports([*SOURCES, sources[0]]).final().key == "stdout"


def test_a_source_that_cannot_be_made_is_left_out(script: Trial) -> None:
    """`auto` makes a source when it is first looked at; it may want a package that is not installed."""

    def make(trial: TrialFiles) -> MetricSource:
        raise SpecError("install it")

    script.prints("epoch 1: loss=9\n")
    reports = script.reports([Candidate("mlflow", make, named=False), *SOURCES])
    assert reports.fresh() == ((Row(1, {"loss": 9.0}),), True)
    reading = reports.final()
    assert (reading.key, reading.steps) == ("stdout", "steps are those that its lines name")


def test_metrics_of_wmlas_contract_are_read_as_ever(script: Trial) -> None:
    folder = Path(script.paths.log_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EMETRICS).write_text(emetrics_line(1, "test", loss=0.5))
    reports = script.reports(SOURCES[:2])
    assert reports.fresh() == ((Row(1, {"loss": 0.5}),), False)
    script.writes({"step": 1, "loss": 0.25})
    assert reports.fresh() == ((Row(1, {"loss": 0.25}),), True)
    assert not reports.provisional
    assert (reports.final().key, reports.final().others) == ("", ())


def auto(script: Trial) -> Reports:
    """As with `results: auto`."""
    return script.reports([replace(candidate, named=False) for candidate in SOURCES])


def test_numbers_in_the_output_need_not_be_reports(script: Trial) -> None:
    """Beside the metrics that a script has written they would only confuse, and alone they explain nothing."""
    script.prints("train.sh: 1: nosuchprogram: not found\nfound 3 gpus, free: 12\n")
    reading = auto(script).final()
    assert (reading.rows, reading.digest) == ((), None)
    assert reading.problem is not None
    assert reading.problem.startswith(f'wrote no {RESULT} in RESULT_DIR, and nothing else has "loss": output.log has ')
    script.writes({"step": 1, "acc": 0.5})
    why = verdict(auto(script).final(), [Objective("loss")], 3)[1]
    assert why == f'trial 3: no metric "loss" in {RESULT}; it has "acc" (step 1)'


def test_without_objectives_the_first_rows_count_whatever_they_are(script: Trial) -> None:
    script.prints("epoch 1: acc=9\n")
    sources = [replace(candidate, named=False) for candidate in SOURCES]
    assert script.reports(sources, objectives=()).final().rows == (Row(1, {"acc": 9.0}),)


def test_a_name_in_the_output_that_is_nearly_the_objective_is_one(script: Trial) -> None:
    script.prints("epoch 1: val_loss=9\n")
    reading = auto(script).final()
    assert reading.rows == (Row(1, {"val_loss": 9.0}),)
    script.writes({"step": 1, "acc": 0.5})
    assert "output.log has" in verdict(auto(script).final(), [Objective("loss")], 3)[1]
