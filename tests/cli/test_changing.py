"""Changing a study from the command line, while an engine runs it and while none does."""

from __future__ import annotations

import os
import shlex
from typing import Any

import pytest

from hpo_engine import assembly, studies
from tests.support.helpers import wait_until
from tests.support.shell import ALGO, Shell

WAITING = """\
import json, os, time
c = json.load(open("config.json"))
while not os.path.exists(os.environ["MARK"] + "/go"):
    time.sleep(0.02)
json.dump([{"step": 1, "loss": c["x"]}], open("val_dict_list.json", "w"))
"""


@pytest.mark.slow
def test_a_finished_study_is_changed_and_goes_on(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "-q")
    shell.refuses("enqueue", "my-study", "x=1.5", words="room for 0 more: of 4 trials 4 have begun")
    shown = shell.run("edit", "my-study", "--set", "trials=7", "--set", "space.x.max=4", "--dry-run")
    assert "trials: 4 -> 7" in shown and "is changed" not in shown
    shell.refuses(
        "edit",
        "my-study",
        "--set",
        "space.drop={float: [0, 1]}",
        words=r"space.drop: is new: say which value .* 4 trials",
    )
    said = shell.run(
        "edit", "my-study", "--set", "trials=7", "--set", "space.x.max=4", "--set", "space.n={int: [1, 3], was: 2}"
    )
    assert "my-study is changed; to continue: hpo-engine resume my-study" in said
    queued = shell.json("enqueue", "my-study", "x=3.5", "kind=$HOME")
    assert [entry["trial"] for entry in queued] == [None] and queued[0]["params"] == {"x": 3.5, "kind": "$HOME"}
    shell.run("resume", "my-study", "-q")
    trials = shell.json("show", "my-study")["trials"]
    assert len(trials) == 7 and {"x": 3.5, "kind": "$HOME"}.items() <= trials[4]["params"].items()
    assert all("n" in trial["params"] for trial in trials[4:]) and "n" not in trials[0]["params"]


@pytest.mark.slow
def test_an_editor_has_the_text_with_the_changes_so_far(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "-q")
    shell.run("edit", "my-study", "--set", "trials=5")
    seen = shell.folder.parent / "seen"
    script = f'cp "$1" {seen}; sed -i "s/trials: 5/trials: 6/; s/parallel: 2/parallel: 1/" "$1"'
    shell.env["EDITOR"] = f"sh {shlex.quote(str(shell.write('ed.sh', script)))}"
    said = shell.run("edit", "my-study", "--yes")
    assert "trials: 5 -> 6" in said and "parallel: 2 -> 1" in said
    assert seen.read_text() == ALGO.replace("trials: 4", "trials: 5")
    shell.env["EDITOR"] = "true"
    assert shell.run("edit", "my-study") == "nothing was changed\n"
    shell.env["EDITOR"] = "false"
    shell.refuses(
        "edit", "my-study", words="false ended with exit code 1; nothing was changed, your text is in", code=3
    )
    del shell.env["EDITOR"]
    shell.refuses("edit", "my-study", words="name an editor in")


@pytest.mark.slow
def test_the_file_itself_can_be_submitted_with_update(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "-q")
    shell.write("algo.yaml", ALGO.replace("[0, 2]", "[0, 3]").replace("trials: 4", "trials: 5"))
    shell.refuses("submit", "algo.yaml", words="submit the file with --update")
    assert "space.x" in shell.run("submit", "algo.yaml", "--update", "-q")
    assert "is complete already" in shell.run("submit", "algo.yaml")
    shell.write("algo.yaml", ALGO.replace("minimize", "maximize"))
    shell.refuses("submit", "algo.yaml", "--update", words="objective: cannot be changed")


@pytest.mark.slow
def test_a_limit_of_the_command_line_counts_with_update_even_if_the_file_began_with_it(shell: Shell) -> None:
    shell.write("algo.yaml", ALGO.replace("trials: 4", "runs: 4"))
    spec, text = assembly.load_spec(str(shell.folder / "algo.yaml"), os.environ)
    studies.create(spec, text, str(shell.folder / "hpo-runs"), 1.0)
    shell.run("edit", "my-study", "--set", "runs=9", "--yes")
    assert "runs: 9 -> 4" in shell.run("submit", "algo.yaml", "--update", "--runs", "4", "--dry-run")


def test_trials_of_a_running_study_are_queued_paused_resumed_and_cancelled(shell: Shell) -> None:
    shell.write("train.py", WAITING)
    engine = shell.start("submit", "algo.yaml", "-q")

    def running() -> int:
        return [trial["state"] for trial in shell.json("show", "my-study")["trials"]].count("running")

    wait_until(lambda: os.path.exists(shell.result(1, "config.json")), 60)
    shell.run("edit", "my-study", "--set", "trials=5")
    (queued,) = shell.json("enqueue", "my-study", "x=0.25")
    assert "trial 0 is paused; hpo-engine resume my-study 0: it begins anew" in shell.run("pause", "my-study", "0-1")
    wait_until(lambda: running() == 2, 60)
    assert "is paused already" in shell.run("pause", "my-study", "0")
    assert "trial 1 is stopped" in shell.run("cancel", "my-study", "1")
    assert "trial 1 begins anew" in shell.run("retry", "my-study", "1")
    assert "trial 1 is pending already" in shell.run("retry", "my-study", "1")
    assert "trial 1 is stopped" in shell.run("cancel", "my-study", "1")
    assert "trial 0" in shell.run("resume", "my-study", "0")
    assert "trial 0" in shell.run("resume", "my-study", "0"), "not paused any more: the engine that runs is left alone"
    shell.refuses("pause", "my-study", "3-19", words="has no trial 19")
    shell.refuses("cancel", "my-study", "x", words='"x" is not a trial; write its number, or a range such as 3-7')
    shell.run("edit", "my-study", "--set", "parallel=3")
    (shell.folder.parent / "go").touch()
    assert engine.wait(120) == 0
    trials: list[dict[str, Any]] = shell.json("show", "my-study")["trials"]
    states = [trial["state"] for trial in trials]
    assert states[1] == "stopped" and states.count("completed") == 4 and len(states) == 5
    assert "trial 1 begins anew" in shell.run("retry", "my-study", "1", "-q")
    trials = shell.json("show", "my-study")["trials"]
    assert [trial["state"] for trial in trials].count("completed") == 5
    assert "to run its configuration once more, enqueue it" in shell.run("retry", "my-study", "2")
    shell.refuses("retry", "my-study", words="name trials, as in 3 or 5-7, or all that --failed")
    assert sum(trial["params"]["x"] == 0.25 for trial in trials) == 1 and queued["params"]["x"] == 0.25


@pytest.mark.slow
def test_what_cannot_be_queued_is_refused_in_a_line(shell: Shell) -> None:
    shell.write("bad", '{"x": 1}\n{"x": \n')
    shell.write("algo.yaml", ALGO.replace("trials: 4", "trials: 400"))
    spec, text = assembly.load_spec(str(shell.folder / "algo.yaml"), os.environ)
    studies.create(spec, text, str(shell.folder / "hpo-runs"), 1.0)
    for args, words in {
        ("x",): "x: write NAME=VALUE, as in lr=0.01",
        ("y=1",): "y: is not a parameter of the space",
        ("x=nope",): 'x: "nope" is not a number',
        ("x=.nan",): "x: nan is outside",
        ("x=1", "x=2"): "x: is given twice",
        ("x=9",): "x: 9 is outside 0.0 ... 2.0",
        (): "name a configuration",
        ("--file", "nosuch"): "no such file",
        ("--file", "bad"): "bad:2: ",
    }.items():
        shell.refuses("enqueue", "my-study", *args, words=words)
    shell.write("many", "".join(f'{{"x": {i / 100}}}\n' for i in range(200)))
    assert "... and 190 more, of which 190 wait" in shell.run("enqueue", "my-study", "--file", "many")
