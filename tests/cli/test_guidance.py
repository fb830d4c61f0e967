"""Rules, points and the end of a small space, from the study file to the summary."""

from __future__ import annotations

import pytest

from tests.support.shell import Shell

TRAIN = """\
import json
c = json.load(open("config.json"))
assert c["hidden2"] <= c["hidden1"], c
json.dump([{"loss": abs(c["hidden1"] - 3) + abs(c["hidden2"] - 2)}], open("val_dict_list.json", "w"))
"""
ALGO = """\
command: python train.py
objective: minimize loss
algorithm: random
options: {seed: 3}
trials: 40
parallel: 2
require: hidden2 <= hidden1
points:
- {hidden1: 4, hidden2: 4}
- {hidden2: 3}
space:
  hidden1: {int: [1, 4]}
  hidden2: {int: [1, 4]}
"""


@pytest.mark.slow
def test_rule_points_and_the_end_of_a_small_space(shell: Shell) -> None:
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO)
    out = shell.run("submit", "algo.yaml", "--quiet")
    assert "searched it all: all 10 configurations were tried" in out and "10 completed" in out
    shown = shell.json("show", "my-study")
    assert shown["state"] == "finished" and shown["best"]["params"] == {"hidden1": 3, "hidden2": 2}
    trials = [trial["params"] for trial in shown["trials"]]
    assert trials[0] == {"hidden1": 4, "hidden2": 4} and trials[1] == {"hidden1": 3, "hidden2": 3}
    assert sorted((t["hidden1"], t["hidden2"]) for t in trials) == [
        (a, b) for a in range(1, 5) for b in range(1, a + 1)
    ]
    assert "searched it all" in shell.run("resume", "my-study", "--trials", "50"), "nothing is left to go on with"
    assert "searched it all" in shell.run("submit", "algo.yaml"), "the same file finds its study"


@pytest.mark.slow
def test_another_rule_is_another_study(shell: Shell) -> None:
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO)
    shell.run("submit", "algo.yaml", "--quiet")
    shell.write("algo.yaml", ALGO.replace("require: hidden2 <= hidden1", "require: hidden2 <= hidden1 - 0"))
    shell.refuses("submit", "algo.yaml", words="require: hidden2 <= hidden1 -> hidden2 <= hidden1 - 0")


@pytest.mark.slow
def test_wrong_rules_and_points_are_told_at_once_with_their_lines(shell: Shell) -> None:
    shell.write("algo.yaml", ALGO.replace("<= hidden1", "<= hiden1").replace("{hidden2: 3}", "{hidden2: 3, hiden1: 1}"))
    said = shell.refuses("submit", "algo.yaml", words=r'algo.yaml:7: require: column 12: .*did you mean "hidden1"')
    shell.write("algo.yaml", ALGO.replace("{hidden2: 3}", "{hidden2: 3, hiden1: 1}"))
    said = shell.refuses("submit", "algo.yaml", words=r'algo.yaml:10: points\[1\].hiden1: .*did you mean "hidden1"')
    assert "Traceback" not in said


BOWL = """\
import json
c = json.load(open("config.json"))
json.dump([{"loss": (c["x"] - 0.3) ** 2 + c.get("y", 0.5)}], open("val_dict_list.json", "w"))
"""
FIRST = """\
command: python bowl.py
objective: minimize loss
algorithm: random
options: {seed: 3}
trials: 12
parallel: 4
space:
  x: {float: [0, 1]}
"""
SECOND = (
    FIRST.replace("trials: 12\nparallel: 4\n", "trials: 4\nwarm_start: [first]\n").replace("algorithm: random\n", "")
    + "  y: {float: [0, 1]}\n"
)


@pytest.mark.slow
def test_earlier_study_gives_the_first_trial_and_stays_as_it_was_then(shell: Shell) -> None:
    shell.write("bowl.py", BOWL)
    shell.write("first.yaml", FIRST)
    shell.write("second.yaml", SECOND)
    shell.refuses("submit", "second.yaml", words=r'warm_start\[0\]: no study "first" under')
    shell.write("third.yaml", SECOND.replace("[first]", "[second, third, ../x, second]"))
    shell.refuses("submit", "third.yaml", words=r'third.yaml:5: warm_start\[3\]: "second" is already listed')
    shell.write("third.yaml", SECOND.replace("[first]", "[third, ../x]"))
    said = shell.refuses("submit", "third.yaml", words=r"warm_start\[0\]: is this study itself; name an earlier one")
    assert f"warm_start[1]: no study at {shell.folder.parent / 'x'}" in said
    best = shell.json("submit", "first.yaml")["best"]
    shell.run("submit", "second.yaml", "--quiet")
    assert shell.err == ""
    trials = shell.json("show", "second")["trials"]
    assert trials[0]["params"]["x"] == best["params"]["x"] != trials[1]["params"]["x"]
    shell.run("resume", "first", "--trials", "14", "--quiet")
    assert "4 completed" in shell.run("submit", "second.yaml", "--quiet"), (
        "the earlier study grew; this one is the same"
    )
    shell.run("remove", "first", "--yes")
    assert "5 completed" in shell.run("resume", "second", "--trials", "5", "--quiet"), "and needs it no more"
    shell.write("second.yaml", SECOND.replace("[first]", "[other]"))
    shell.refuses("submit", "second.yaml", words=r'warm_start: \["first"\] -> \["other"\]')


@pytest.mark.slow
def test_earlier_studies_that_say_nothing_or_another_thing_are_noted(shell: Shell) -> None:
    shell.write("bowl.py", BOWL)
    shell.write("first.yaml", FIRST.replace("x: {float: [0, 1]}", "x: {float: [2, 3]}"))
    shell.write("fails.yaml", FIRST.replace("bowl.py", "missing.py").replace("trials: 12", "trials: 2"))
    shell.write("missing.py", "raise SystemExit(1)")
    shell.write("gain.yaml", FIRST.replace("minimize loss", "maximize loss").replace("trials: 12", "trials: 2"))
    for name, code in (("first", 0), ("fails", 3), ("gain", 0)):
        shell.run("submit", f"{name}.yaml", "--quiet", code=code)
    gain = shell.folder / "hpo-runs" / "gain"
    shell.write("second.yaml", SECOND.replace("[first]", f"[first, fails, '{gain}']"))
    shell.run("submit", "second.yaml", "--quiet")
    first, fails, other = shell.err.splitlines()
    assert first.endswith("warm_start[0]: first has no parameter in common with this study, so it has no effect")
    assert fails.endswith("warm_start[1]: fails has no completed trial, so it has no effect")
    assert "was to maximize loss, this one is to minimize loss; only the order" in other
