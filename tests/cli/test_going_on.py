"""What is said of a study that is there already: what changed since, and that there is nothing to do."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata

import pytest

from hpo_engine import __version__
from tests.support.shell import ALGO, TRAIN, Shell

CHANGED = "note: train.py changed since the study was made; the study keeps using its copy"


@pytest.mark.slow
def test_changed_script_is_told_by_every_verb_that_goes_on(shell: Shell) -> None:
    shell.write("out.log", "")
    shell.write("train.py", TRAIN.replace("import json", "import json; raise SystemExit(1)"))
    shell.run("submit", "algo.yaml", code=3)
    shell.write("train.py", TRAIN)
    shell.write("out.log", "what a shell wrote meanwhile")
    shell.write("new.txt", "1")
    for args in (["retry", "my-study", "--failed"], ["resume", "my-study", "--trials", "9"]):
        shell.run(*args, code=3)
        assert CHANGED in shell.err and "hpo-engine remove my-study and submit again" in shell.err
    shell.write("algo.yaml", ALGO.replace("trials: 4", "trials: 20"))
    shell.refuses("submit", "algo.yaml", words="nothing was run: no trial of my-study has succeeded, and the study")
    assert "its copy of train.py, which" in shell.err, "the study file, whose new limit counts, is not among them"
    assert "hpo-engine remove my-study, then submit again" in shell.err and "hpo-engine resume my-study" in shell.err
    shell.run("retry", "my-study", "--failed", code=3)


def test_changed_script_of_a_study_with_a_success_is_noted_and_the_study_continues(shell: Shell) -> None:
    shell.run("submit", "algo.yaml")
    shell.write("train.py", TRAIN + "# changed")
    shell.write("algo.yaml", ALGO.replace("trials: 4", "trials: 5"))
    shell.run("submit", "algo.yaml")
    assert CHANGED in shell.err and shell.json("show", "my-study")["counts"] == {"completed": 5}


@pytest.mark.slow
def test_trials_that_tie_with_the_best_are_named(shell: Shell) -> None:
    shell.write("train.py", TRAIN.replace('"loss": ', '"loss": 0 * '))
    text = "trials 1, 2 and 3 are as good; the first of them is shown\n"
    assert text in shell.run("submit", "algo.yaml") and text in shell.run("best", "my-study")


@pytest.mark.slow
def test_nothing_to_retry_and_complete_already(shell: Shell) -> None:
    out = shell.run("submit", "algo.yaml")
    assert "my-study finished after" in out
    assert "my-study is complete already; it finished after" in shell.run("submit", "algo.yaml")
    before = (shell.folder / "hpo-runs" / "my-study" / "study.db").read_bytes()
    assert shell.run("retry", "my-study", "--failed") == "nothing to retry: no trial failed\n"
    assert json.loads(shell.run("retry", "my-study", "--failed", "--json"))["counts"] == {"completed": 4}
    assert (shell.folder / "hpo-runs" / "my-study" / "study.db").read_bytes() == before
    best = shell.json("best", "my-study")["trial"]
    assert shell.run("best", "my-study").endswith(f"folder {shell.result(best, '')}".rstrip("/") + "\n")


@pytest.mark.slow
def test_order_by_a_metric_without_a_goal_is_told(shell: Shell) -> None:
    shell.write("train.py", TRAIN.replace('"step": i', '"step": i, "acc": c["x"]'))
    shell.run("submit", "algo.yaml")
    assert "  sorted by acc, lowest first; --reverse for highest\n" in shell.run("show", "my-study", "--sort", "acc")
    assert "  sorted by acc, highest first\n" in shell.run("show", "my-study", "--sort", "acc", "--reverse")
    assert "sorted by" not in shell.run("show", "my-study", "--sort", "loss") + shell.run("show", "my-study")


@pytest.mark.slow
def test_what_a_study_ran_on_is_shown_and_recorded_once(shell: Shell) -> None:
    shell.write("algo.yaml", ALGO.replace("train.py", "train.py --token s3cret"))
    shell.run("submit", "algo.yaml")
    shell.run("submit", "algo.yaml", "--trials", "5")
    found = shell.json("show", "my-study")["provenance"]
    (runtime,) = found["runtimes"]
    assert found["command"] == ["python", "train.py", "--token", "***"] and found["code"] is None
    assert runtime["python"] == platform.python_version() and runtime["packages"]["numpy"] == metadata.version("numpy")
    assert runtime["machine"]["host"] == os.uname().nodename and runtime["engine"] == __version__
    shown = shell.run("show", "my-study")
    assert f"  python: {platform.python_version()}, " in shown and " packages)\n" in shown
    assert f"  machine: {os.uname().nodename}, " in shown and f"; hpo-engine {__version__}\n" in shown
