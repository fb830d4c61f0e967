"""After the fact: other metrics, other orders, what is shown beside the objective."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.support.helpers import wait_until
from tests.support.shell import Shell

TRAIN = """\
import json, os, time
c = json.load(open("config.json"))
x = c["x"]
rows = [{"step": i, "loss": x + 1 / i, "acc": x * i, "lr": 0.5 / i} for i in range(1, 4)]
json.dump(rows, open("val_dict_list.json", "w"))
while os.path.exists(os.environ["MARK"] + "/wait"): time.sleep(0.02)
"""
ALGO = """\
command: python train.py
objective: minimize loss
metrics: {acc: maximize, lr: latest}
algorithm: grid
trials: 7
parallel: 2
trial: {preload: "off"}
space:
  x: {choice: [5, 1, 3, 2, 7, 4, 6]}
"""


@pytest.fixture
def finished(shell: Shell) -> Shell:
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO)
    shell.out = shell.run("submit", "algo.yaml")  # type: ignore[attr-defined]
    return shell


def xs(shell: Shell, *args: str) -> list[int]:
    return [t["params"]["x"] for t in shell.json("show", "my-study", *args)["trials"]]


def test_finished_study_is_judged_by_another_metric_without_training(finished: Shell) -> None:
    before = finished.json("show", "my-study")
    assert before["best"]["params"] == {"x": 1} and before["best"]["metrics"] == {"acc": 3.0, "lr": 0.5 / 3}
    best = finished.json("best", "my-study", "--metric", "acc")
    assert best["params"] == {"x": 7} and best["value"] == 21 and best["metrics"] == {"loss": 7 + 1 / 3, "lr": 0.5 / 3}
    assert finished.json("best", "my-study", "--metric", "acc", "--goal", "minimize")["value"] == 3 - 2
    assert finished.json("best", "my-study", "--metric", "acc", "--goal", "minimize", "--over", "last")["value"] == 3
    assert json.loads(finished.run("best", "my-study", "--metric", "acc", "--config")) == {"x": 7}
    assert finished.json("best", "my-study", "--goal", "maximize")["params"] == {"x": 7}
    assert finished.json("best", "my-study", "--goal", "max")["params"] == {"x": 7}
    shown = finished.json("show", "my-study", "--metric", "acc", "--top", "2")
    assert shown["best"]["params"] == {"x": 7} and [t["params"]["x"] for t in shown["trials"]] == [7, 6]
    assert "judged again: maximize acc, by the best row of each trial" in finished.run(
        "show", "my-study", "--metric", "acc"
    )
    rows = list(csv.DictReader(io.StringIO(finished.run("export", "my-study", "--metric", "acc"))))
    assert [float(r["value"]) for r in rows] == [3.0 * int(r["params.x"]) for r in rows]
    assert finished.json("show", "my-study") == before


@pytest.mark.slow
def test_metric_that_is_not_there_is_refused_with_what_there_is(finished: Shell) -> None:
    there = r'there are "loss" \(7 trials\), "acc" \(7 trials\), "lr" \(7 trials\)'
    for verb in ("best", "show", "export"):
        finished.refuses(
            verb, "my-study", "--metric", "accu", words=rf'"accu" \(did you mean "acc"\?\); {there}', code=3
        )
    finished.refuses("best", "my-study", "--metric", "lr", words="--metric lr: add --goal minimize or --goal maximize")
    finished.refuses("best", "my-study", "--goal", "best", words="'best' is not one of")


@pytest.mark.slow
def test_another_objective_in_the_file_offers_the_line_that_judges_by_it(finished: Shell) -> None:
    finished.write("algo.yaml", ALGO.replace("minimize loss", "{metric: acc, goal: maximize, over: last}"))
    offer = "hpo-engine best my-study --metric acc --goal maximize --over last"
    said = finished.refuses("submit", "algo.yaml", words=offer)
    assert "without training" in said
    assert finished.json(*offer.split()[1:])["value"] == 21
    finished.write("algo.yaml", ALGO.replace("lr: latest", "lr: maximize"))
    assert "--metric" not in finished.refuses("submit", "algo.yaml", words="exists and differs")
    finished.write("algo.yaml", ALGO.replace("lr: latest", "lr: latest, step: maximize"))
    finished.refuses("submit", "algo.yaml", words="hpo-engine best my-study --metric step --goal maximize")
    finished.write("algo.yaml", ALGO.replace("minimize loss", "minimize acc").replace("6]", "8]"))
    assert "--metric" not in finished.refuses("submit", "algo.yaml", words="exists and differs")


@pytest.mark.slow
def test_study_that_failed_for_the_name_of_its_metric_is_saved(shell: Shell) -> None:
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO.replace("minimize loss", "minimize val_loss").replace("trials: 7", "trials: 2"))
    out = shell.run("submit", "algo.yaml", code=3)
    offer = "hpo-engine best my-study --metric loss --goal minimize"
    assert offer in out
    shell.refuses("best", "my-study", words="hpo-engine best my-study --metric NAME", code=3)
    assert shell.json(*offer.split()[1:])["params"] == {"x": 1}
    assert shell.json("show", "my-study", "--metric", "loss", "--goal", "minimize")["counts"] == {"completed": 2}


@pytest.mark.slow
def test_end_of_submit_has_the_best_five_as_a_table(finished: Shell) -> None:
    lines = finished.out.splitlines()  # type: ignore[attr-defined]
    at = next(i for i, line in enumerate(lines) if line.split() == ["trial", "loss", "acc", "lr", "x"])
    rows = [line.split() for line in lines[at + 1 : at + 6]]
    assert [row[-1] for row in rows] == ["1", "2", "3", "4", "5"] and rows[0][1:] == ["1.33333", "3", "0.166667", "1"]
    assert (
        lines[at + 6] == ""
        and "best loss 1.33333, trial" in "\n".join(lines)
        and ", acc 3, lr 0.166667" in "\n".join(lines)
    )
    assert "loss=1.33333 acc=3 lr=0.166667 (best" in "\n".join(lines)


@pytest.mark.slow
def test_trials_are_sorted_by_whatever_is_named(finished: Shell) -> None:
    assert xs(finished, "--sort", "x") == [1, 2, 3, 4, 5, 6, 7]
    assert (
        xs(finished, "--sort", "-x", "--top", "3")
        == xs(finished, "--sort", "x", "--reverse", "--top", "3")
        == [7, 6, 5]
    )
    assert xs(finished, "--sort", "acc") == [7, 6, 5, 4, 3, 2, 1]
    assert xs(finished, "--sort", "loss") == xs(finished, "--top", "7") == [1, 2, 3, 4, 5, 6, 7]
    finished.refuses("show", "my-study", "--sort", "los", words='no metric or parameter "los"; did you mean "loss"')
    out = finished.run("show", "my-study", "--top", "2", "--sort", "acc")
    assert "ACC" in out and "... and 5 more" in out


@pytest.mark.slow
def test_running_trials_show_their_step_and_value(shell: Shell) -> None:
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO)
    (shell.folder.parent / "wait").touch()
    shell.run("submit", "algo.yaml", "--detach")
    wait_until(lambda: all(t["last_row"] for t in shell.json("show", "my-study")["trials"][:2]))
    rows = [line.split() for line in shell.run("show", "my-study").splitlines() if line.startswith(("0 ", "1 "))]
    for row in rows:
        assert row[1:4] == ["running", "(step", "3)"]
        x = int(row[-1].removeprefix("x="))
        assert row[4:7] == [f"({x + 1 / 3:.6g})", f"({3 * x})", "(0.166667)"]
    assert len(rows) == 2
    shell.refuses("best", "my-study", "--metric", "acc", words='2 trials have "acc", but none ended by itself', code=3)
    (shell.folder.parent / "wait").unlink()
    wait_until(lambda: shell.json("show", "my-study")["state"] == "finished")
    assert shell.json("best", "my-study", "--metric", "acc")["value"] == 21
