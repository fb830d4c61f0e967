"""The command line as a person or a script meets it: real processes, their words, their exit codes."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.store.journal import Journal
from hpo_engine.study.events import TrialEnded
from hpo_engine.text.tables import number
from tests.support import eventfiles
from tests.support.helpers import processes_with, wait_until
from tests.support.shell import ALGO, DAEMON, SLEEPER, TRAIN, Shell


def test_submit_runs_a_study_and_says_its_result(shell: Shell) -> None:
    out = shell.run("submit", "algo.yaml")
    assert "loss" in out and "4" in out
    done = shell.json("submit", "algo.yaml", "--name", "other")
    assert set(done) == {"study", "state", "best", "counts", "seconds"}
    assert done["study"] == "other" and done["state"] == "finished" and done["counts"] == {"completed": 4}
    assert set(done["best"]) == {"trial", "value", "params"} and set(done["best"]["params"]) == {"x", "kind"}
    assert done["seconds"] > 0


@pytest.mark.slow
def test_same_seed_gives_the_same_study(shell: Shell) -> None:
    first, second = (shell.json("submit", "algo.yaml", "--name", n)["best"] for n in "ab")
    assert first == second
    assert shell.json("submit", "algo.yaml", "--name", "c", "--seed", "9")["best"]["params"] != first["params"]


def test_views_of_a_finished_study(shell: Shell) -> None:
    shell.run("submit", "algo.yaml")
    assert "my-study" in shell.run("list") and "finished" in shell.run("list")
    (entry,) = shell.json("list")
    assert entry["study"] == "my-study" and entry["counts"] == {"completed": 4}
    out = shell.run("show", "my-study")
    assert "finished" in out and "a b" in out + shell.run("show", "my-study", "0") + shell.run("show", "my-study", "1")
    shown = shell.json("show", "my-study")
    assert [t["trial"] for t in shown["trials"]] == [0, 1, 2, 3] and shown["best"]
    assert len(shell.json("show", "my-study", "2")["rows"]) == 3
    best = json.loads(shell.run("best", "my-study", "--config"))
    assert best == shell.json("best", "my-study")["params"] == shown["best"]["params"]
    assert "training with" in shell.run("logs", "my-study", "0")
    rows = list(csv.DictReader(io.StringIO(shell.run("export", "my-study"))))
    assert len(rows) == 4 and {"params.x", "params.kind", "value", "last.loss"} <= set(rows[0])
    assert json.loads(shell.run("export", "my-study", "--format", "json"))[1]["state"] == "completed"


@pytest.mark.slow
def test_best_config_runs_the_script_by_hand(shell: Shell) -> None:
    shell.run("submit", "algo.yaml")
    shell.write("config.json", shell.run("best", "my-study", "--config"))
    subprocess.run([sys.executable, "train.py"], cwd=shell.folder, check=True, stdout=subprocess.DEVNULL)
    rows = json.loads((shell.folder / "val_dict_list.json").read_text())
    assert min(r["loss"] for r in rows) == shell.json("best", "my-study")["value"]


def test_study_is_found_by_path_and_root(shell: Shell, tmp_path: Path) -> None:
    shell.run("submit", "algo.yaml", "--root", "../elsewhere")
    assert "finished" in shell.run("show", "../elsewhere/my-study")
    assert "finished" in shell.run("show", "my-study", "--root", str(tmp_path / "elsewhere"))
    shell.env["HPO_ENGINE_ROOT"] = str(tmp_path / "elsewhere")
    assert "finished" in shell.run("show", "my-study")


@pytest.mark.slow
def test_moved_study_folder_goes_on(shell: Shell, tmp_path: Path) -> None:
    shell.run("submit", "algo.yaml")
    (shell.folder / "hpo-runs").rename(tmp_path / "moved here")
    done = shell.json("resume", str(tmp_path / "moved here" / "my-study"), "--trials", "6")
    assert done["counts"] == {"completed": 6}


@pytest.mark.slow
def test_submitting_again_shows_the_result_and_how_to_go_on(shell: Shell) -> None:
    first = shell.json("submit", "algo.yaml")
    begin = time.monotonic()
    assert shell.json("submit", "algo.yaml")["best"] == first["best"]
    assert time.monotonic() - begin < 60
    assert "--trials" in shell.run("submit", "algo.yaml")
    assert shell.json("show", "my-study")["counts"] == {"completed": 4}


@pytest.mark.slow
def test_submitting_again_with_more_trials_goes_on(shell: Shell) -> None:
    shell.run("submit", "algo.yaml")
    before = shell.json("show", "my-study")["trials"]
    assert shell.json("submit", "algo.yaml", "--trials", "7")["counts"] == {"completed": 7}
    assert shell.json("show", "my-study")["trials"][:4] == before, "trials that ended stay as they are"
    shell.refuses("submit", "algo.yaml", "--trials", "3", words="7 trials already")


@pytest.mark.slow
def test_resuming_with_fewer_trials_than_there_are_is_refused(shell: Shell) -> None:
    shell.run("submit", "algo.yaml")
    before = shell.json("show", "my-study")
    shell.refuses("resume", "my-study", "--trials", "3", words="--trials 3: my-study has 4 trials already")
    assert shell.json("show", "my-study") == before
    assert shell.json("resume", "my-study", "--trials", "4")["counts"] == {"completed": 4}
    assert shell.json("resume", "my-study", "--trials", "5")["counts"] == {"completed": 5}


def test_log_has_the_digest_of_the_file_that_was_judged(shell: Shell) -> None:
    shell.write("train.py", TRAIN + "if os.environ['SUBID'] == '3': os.unlink('val_dict_list.json')\n")
    shell.run("submit", "algo.yaml")
    journal = Journal(str(shell.folder / "hpo-runs" / "my-study" / "study.db"))
    digests = {e.trial: e.digest for e in journal.read() if isinstance(e, TrialEnded)}
    journal.close()
    files = {i: hashlib.sha256(shell.result(i, "val_dict_list.json").read_bytes()).hexdigest() for i in range(3)}
    assert digests == {**files, 3: None}
    assert len(set(files.values())) == 3


@pytest.mark.slow
def test_submitting_something_else_under_the_name_says_what_differs(shell: Shell) -> None:
    shell.run("submit", "algo.yaml")
    shell.write("algo.yaml", ALGO.replace("[0, 2]", "[0, 3]"))
    said = shell.refuses("submit", "algo.yaml", words="exists and differs")
    assert "space" in said and "--name" in said


@pytest.mark.slow
def test_editing_the_script_changes_nothing_in_a_study_that_exists(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--trials", "2")
    shell.write("train.py", "raise SystemExit(3)")
    assert shell.json("resume", "my-study", "--trials", "4")["counts"] == {"completed": 4}


def test_failing_study_exits_3_with_the_reason(shell: Shell) -> None:
    shell.write("train.py", "print('working')\nraise ValueError('bad thing')")
    done = shell.json("submit", "algo.yaml", "--trials", "2", code=3)  # fewer than it takes to stop a study early
    assert done["state"] == "failed" and done["best"] is None and done["counts"] == {"failed": 2}
    out = shell.run("show", "my-study", "0")
    assert "exit code 1" in out and "ValueError: bad thing" in out and "working" in out
    shell.refuses("best", "my-study", words="no finished trial", code=3)


def test_missing_metric_is_told_with_what_was_found(shell: Shell) -> None:
    shell.write("train.py", TRAIN.replace('"loss":', '"val_loss": 1.0, "acc":'))
    shell.json("submit", "algo.yaml", code=3)
    reason = shell.json("show", "my-study", "0")["reason"]  # the first trial that ends is enough to stop the study
    assert reason == 'trial 0: no metric "loss" in val_dict_list.json; it has "val_loss", "acc" (steps 1-3)'


def test_retry_runs_the_failed_ones_again(shell: Shell, tmp_path: Path) -> None:
    flag = tmp_path / "works"
    shell.write("train.py", f"import os, sys\nif not os.path.exists({str(flag)!r}) and os.environ['SUBID'] in '13': sys.exit(1)\n" + TRAIN)  # fmt: skip
    assert shell.json("submit", "algo.yaml")["counts"] == {"completed": 2, "failed": 2}
    flag.touch()
    assert shell.json("retry", "my-study", "--failed")["counts"] == {"completed": 4}
    assert [t["attempts"] for t in shell.json("show", "my-study")["trials"]] == [1, 2, 1, 2]


def test_remove_deletes_only_after_yes(shell: Shell) -> None:
    shell.run("submit", "algo.yaml")
    shell.refuses("remove", "my-study", words="--yes")
    shell.run("remove", "my-study", "--yes")
    assert os.listdir(shell.folder / "hpo-runs") == []
    shell.refuses("show", "my-study", words='no study "my-study"')


@pytest.mark.by_default("[2]")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_stops_trials_and_the_study_can_go_on(shell: Shell, number: signal.Signals) -> None:
    shell.write("train.py", SLEEPER)
    process = shell.start("submit", "algo.yaml")
    wait_until(lambda: shell.result(0, "began").exists() and shell.result(1, "began").exists())
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, (out, err)
    assert "2 trials get SIGTERM" in out + err
    wait_until(lambda: not shell.left())
    assert shell.json("show", "my-study")["state"] == "stopped"
    shell.write("hpo-runs/my-study/model/train.py", TRAIN)
    done = shell.json("resume", "my-study")
    assert done["counts"] == {"completed": 4}
    assert [t["attempts"] for t in shell.json("show", "my-study")["trials"]] == [2, 2, 1, 1]


@pytest.mark.slow
def test_hangup_that_its_starter_ignores_stops_nothing(shell: Shell) -> None:
    """As under nohup."""
    shell.write(
        "train.py", TRAIN + "import time\nwhile not os.path.exists(os.environ['MARK'] + '/go'): time.sleep(0.02)\n"
    )
    argv = ["nohup", sys.executable, "-m", "hpo_engine.cli", "submit", "algo.yaml"]
    process = subprocess.Popen(argv, cwd=shell.folder, env=shell.env, text=True, stdout=-1, stderr=-1, stdin=-3)
    wait_until(lambda: shell.result(1, "val_dict_list.json").exists())
    process.send_signal(signal.SIGHUP)
    Path(shell.env["MARK"], "go").touch()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out, err)
    assert shell.json("show", "my-study")["counts"] == {"completed": 4}


def test_second_interrupt_kills_at_once(shell: Shell) -> None:
    shell.write("train.py", DAEMON)
    shell.write("algo.yaml", ALGO + "trial: {grace: 10m}\n")
    process = shell.start("submit", "algo.yaml")
    wait_until(lambda: shell.result(0, "began").exists() and shell.result(1, "began").exists())
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while "2 trials get SIGTERM" not in (line := process.stdout.readline()):
        assert line, "it ended without a word"
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    wait_until(lambda: not shell.left())


@pytest.mark.slow
def test_daemons_that_ignore_sigterm_are_gone_after_the_grace(shell: Shell) -> None:
    shell.write("train.py", DAEMON)
    shell.write("algo.yaml", ALGO + "trial: {grace: 0.5s}\n")
    process = shell.start("submit", "algo.yaml")
    wait_until(lambda: shell.result(0, "began").exists() and shell.result(1, "began").exists())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    wait_until(lambda: not shell.left())


def test_closed_output_stops_the_study_like_an_interrupt(shell: Shell) -> None:
    shell.write("train.py", TRAIN + "import time; time.sleep(0.2)\n")
    process = shell.start("submit", "algo.yaml", "--trials", "500")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert shell.json("show", "my-study")["state"] == "stopped"


TWO_TRAIN = """\
import json
x = json.load(open("config.json"))["x"]
json.dump([{"step": 1, "near": x * x, "far": (2 - x) ** 2}], open("val_dict_list.json", "w"))
"""


def test_two_objectives_from_the_file_to_the_front(shell: Shell) -> None:
    shell.write("train.py", TWO_TRAIN)
    algo = ALGO.replace("objective: {metric: loss, goal: minimize}", "objectives: [min near, max far]")
    shell.write("algo.yaml", algo.replace("trials: 4", "trials: 6"))
    result = shell.json("submit", "algo.yaml")
    trials = shell.json("show", "my-study")["trials"]
    values = {t["trial"]: t["values"] for t in trials}
    nearest = min(values, key=lambda i: values[i]["near"])  # nearer is farther here, so that the front is one trial
    assert result["best"]["trial"] == nearest and [t["trial"] for t in result["front"]] == [nearest]
    assert result["hypervolume"] > 0 and set(result["reference"]) == {"near", "far"}
    assert shell.json("list")[0]["front"] == 1
    shell.write("algo.yaml", algo.replace("trials: 4", "trials: 6").replace("max far", "min far"))
    shell.refuses("submit", "algo.yaml", words="objectives: .*maximize.* -> .*minimize")

    result = shell.json("submit", "algo.yaml", "--name", "both")
    best = shell.json("best", "both")
    assert best["front"] == result["front"] and set(best) == {"front", "hypervolume", "reference"}
    assert [t["trial"] for t in best["front"]] == sorted(range(6), key=lambda i: values[i]["near"])
    first = best["front"][0]
    assert set(first) == {"trial", "value", "values", "params"} and first["value"] == first["values"]["near"]
    out = shell.run("best", "both").splitlines()
    assert out[0].startswith("front of 6 trials, hypervolume ") and out[0].endswith("; minimize near, minimize far")
    assert out[1].split() == ["TRIAL", "NEAR", "FAR", "PARAMETERS"] and len(out) == 8
    assert out[2].split()[0] == str(first["trial"]) and "x=" in out[2]

    shell.refuses(
        "best", "both", "--config", words=f"6 best trials, .*: hpo-engine best both {first['trial']} --config"
    )
    assert json.loads(shell.run("best", "both", "3", "--config")) == trials[3]["params"]
    assert shell.json("best", "both", "3")["values"] == shell.json("show", "both", "3")["values"]
    assert f"far = {number(shell.json('show', 'both', '3')['values']['far'])}" in shell.run("best", "both", "3")
    other = next(i for i in values if i != nearest)
    shell.refuses("best", "my-study", str(other), words=f"is not in the front .{nearest}.; .* show my-study {other}")
    shell.refuses("best", "both", "99", words="no trial 99")

    table = list(csv.DictReader(io.StringIO(shell.run("export", "both"))))
    assert [float(row["values.near"]) for row in table] == [v["near"] for v in values.values()]
    assert {row["front"] for row in table} == {"1"} and "value" not in table[0]
    assert re.search(r"front of 6 trials, hypervolume [0-9.]+$", shell.run("show", "both"), re.M)
    assert "front of 6: near, far" in shell.run("list")


LIVE_TRAIN = """\
import json, time
number = json.load(open("config.json"))["number"]
for step in range(1, 200 if number == 3 else 3):
    with open("rows.jsonl", "a") as file:
        file.write(json.dumps({"step": step, "loss": number + 1 / step}) + "\\n")
    rows = [json.loads(line) for line in open("rows.jsonl")]
    json.dump(rows, open("val_dict_list.json", "w"))
    time.sleep(0.3 if number == 3 else 0)
"""


def test_trial_that_is_not_promising_ends_early(shell: Shell) -> None:
    shell.write("train.py", LIVE_TRAIN)
    shell.write(
        "algo.yaml",
        "command: python train.py\nobjective: minimize loss\nearly_stopping: {min_rivals: 3}\n"
        "experiments: [{number: 0}, {number: 1}, {number: 2}, {number: 3}, {number: 0.5}]\n",
    )
    result = shell.json("submit", "algo.yaml")
    assert result["counts"] == {"completed": 4, "pruned": 1} and result["best"]["trial"] == 0
    trial = shell.json("show", "my-study", "3")
    assert trial["state"] == "pruned" and trial["value"] is None and trial["attempts"] == 1
    assert re.fullmatch(
        r"not promising: [23] of 3 other trials were better at step (1|2|4|8|16|32|64|128)", trial["reason"]
    )
    assert trial["last_row"]["loss"] > 3
    assert re.search(r"^3  +pruned +\(\d", shell.run("show", "my-study"), re.M)
    assert "1 pruned" in shell.run("submit", "algo.yaml")
    wait_until(lambda: not shell.left())


def test_best_takes_the_number_of_the_best_trial_only(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--quiet")
    best = shell.json("best", "my-study")
    assert shell.json("best", "my-study", str(best["trial"])) == best
    other = (best["trial"] + 1) % 4
    shell.refuses("best", "my-study", str(other), words=f"trial {other} of my-study is not the best one")


def test_detached_study_can_be_watched_and_stopped(shell: Shell) -> None:
    shell.write("train.py", SLEEPER)
    out = shell.run("submit", "algo.yaml", "--detach")
    assert "background" in out
    wait_until(lambda: shell.result(0, "began").exists() and shell.result(1, "began").exists())
    assert shell.json("list")[0]["state"] == "running"
    assert "is stopped" in shell.run("stop", "my-study", "0")
    wait_until(lambda: shell.result(2, "began").exists())
    shell.refuses("submit", "algo.yaml", words="is being run by another hpo-engine", code=4)
    said = shell.refuses("remove", "my-study", "--yes", words="is being run by another hpo-engine", code=4)
    assert "hpo-engine stop my-study" in said and "--wait" not in said
    watching = shell.start("watch", "my-study")
    assert watching.stdout is not None and watching.stdout.readline(), "it shows the study at once"
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=120)
    assert watching.returncode == 0
    assert shell.json("list")[0]["state"] == "running", "watching must not stop it"
    assert "is stopped" in shell.run("stop", "my-study")
    wait_until(lambda: not shell.left())


@pytest.mark.slow
def test_detached_study_runs_to_its_end(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--detach")
    assert "finished" in shell.run("watch", "my-study")
    assert shell.json("show", "my-study")["counts"] == {"completed": 4}


@pytest.mark.slow
def test_logs_follow_a_running_trial_to_its_end(shell: Shell) -> None:
    shell.write("train.py", "import time\nfor i in range(5):\n    print('line', i)\n    time.sleep(0.1)\n" + TRAIN)
    shell.run("submit", "algo.yaml", "--detach")
    assert "line 4" in shell.run("logs", "my-study", "0", "-f")


def test_log_control_characters_are_shown_as_text(shell: Shell) -> None:
    shell.write("train.py", TRAIN + "print('\\x1b[31mred\\x1b]52;c;eA==\\x07', '\\u202e')\n")
    shell.run("submit", "algo.yaml")
    assert "\x1b" not in shell.run("logs", "my-study", "0")
    assert "\x1b[31m" in shell.run("logs", "my-study", "0", "--raw")


def test_engine_killed_outright_leaves_training_and_resume_takes_it_over(shell: Shell) -> None:
    shell.write(
        "train.py", TRAIN + "import time\nwhile not os.path.exists(os.environ['MARK'] + '/go'): time.sleep(0.05)\n"
    )
    process = shell.start("submit", "algo.yaml")
    wait_until(lambda: shell.result(1, "val_dict_list.json").exists())
    wait_until(lambda: shell.result(0, "val_dict_list.json").exists())
    process.kill()
    process.communicate()
    assert shell.json("list")[0]["state"] == "interrupted"
    again = shell.start("submit", "algo.yaml")
    assert again.stdout is not None
    first = again.stdout.readline() + again.stdout.readline()
    assert "2 running" in first, first
    Path(shell.env["MARK"], "go").touch()
    again.communicate(timeout=240)
    assert again.returncode == 0
    assert [t["attempts"] for t in shell.json("show", "my-study")["trials"]] == [1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.by_default(1)
@pytest.mark.parametrize("flags", [[], ["--kill"]])
def test_trial_of_a_killed_engine_can_be_stopped_alone(shell: Shell, flags: list[str]) -> None:
    shell.write("train.py", DAEMON if flags else SLEEPER)
    shell.write("algo.yaml", ALGO + "trial: {grace: 10m}\n")
    process = shell.start("submit", "algo.yaml")
    wait_until(lambda: shell.result(0, "began").exists() and shell.result(1, "began").exists())
    process.kill()
    process.communicate()
    marks = [f"RESULT_DIR={shell.result(i, 'x').parent}\0" for i in (0, 1)]
    assert all(map(processes_with, marks))
    assert "trial 0 was asked to stop; no engine runs my-study" in shell.run("stop", "my-study", "0", *flags)
    wait_until(lambda: not processes_with(marks[0]))
    assert processes_with(marks[1]), "the other goes on"
    shell.write("hpo-runs/my-study/model/train.py", TRAIN)
    again = shell.start("resume", "my-study", "--json")
    wait_until(lambda: shell.json("show", "my-study", "0")["state"] == "stopped")
    assert "is stopped" in shell.run("stop", "my-study", "1", "--kill")
    out, err = again.communicate(timeout=240)
    assert json.loads(out)["counts"] == {"completed": 2, "stopped": 2}, err
    assert "by the user" in shell.json("show", "my-study", "0")["reason"]
    assert "trial 0 is stopped already" in shell.run("stop", "my-study", "0")


def test_values_reach_the_script_intact(shell: Shell) -> None:
    odd = ["a b", "$HOME", "`id`", "'\"", "--x", ";", "é\u4e2d", "\\n"]
    shell.write(
        "algo.yaml",
        ALGO.replace('[a b, "$HOME"]', json.dumps(odd)).replace("python train.py", "python train.py 'two words' $X"),
    )
    shell.write("train.py", TRAIN + "import sys; json.dump(sys.argv[1:], open('argv', 'w'))\n")
    shell.run("submit", "algo.yaml", "--trials", "12")
    for trial in shell.json("show", "my-study")["trials"]:
        assert trial["params"]["kind"] in odd
        assert json.loads(shell.result(trial["trial"], "argv").read_text()) == ["two words", "$X"]


def test_python_is_the_interpreter_that_runs_the_engine(shell: Shell, tmp_path: Path) -> None:
    """Also where another one is first on the PATH, and in an environment that was not activated."""
    wrong = tmp_path / "bin" / "python"
    wrong.parent.mkdir()
    wrong.write_text("#!/bin/sh\nexit 66\n")
    wrong.chmod(0o755)
    shell.env["PATH"] = f"{wrong.parent}:{shell.env['PATH']}"
    shell.write("train.py", TRAIN + "import sys; open('exe', 'w').write(sys.executable)\n")
    shell.run("submit", "algo.yaml", "--trials", "1")
    assert shell.result(0, "exe").read_text() == sys.executable


def test_json_study_file_and_stdout_that_is_only_json(shell: Shell) -> None:
    shell.write("s.json", json.dumps({"command": "python train.py", "objective": "minimize loss", "trials": 2, "space": {"x": {"float": [0, 1e-3]}}}))  # fmt: skip
    out = shell.run("submit", "s.json", "--json")
    assert json.loads(out)["study"] == "s"


def test_init_writes_a_file_that_submits(shell: Shell) -> None:
    (shell.folder / "algo.yaml").unlink()
    shell.write("train.py", TRAIN.replace('c["x"]', 'c.get("x", 0.5)'))
    assert "algo.yaml" in shell.run("init", "train.py")
    shell.refuses("init", "train.py", words="exists")
    assert shell.json("submit", "algo.yaml", "--trials", "2")["counts"] == {"completed": 2}


def test_schema_is_json_and_doctor_tells_the_machine(shell: Shell) -> None:
    assert json.loads(shell.run("schema"))["properties"]["command"]["description"]
    facts = shell.json("doctor")
    assert {"cores", "gpus", "sqlite", "cgroup2"} <= set(facts)
    assert "cores" in shell.run("doctor")


def test_help_names_every_verb(shell: Shell) -> None:
    out = shell.run("--help")
    assert "amount" in " ".join(out.split()) and not re.search(r"\w\.\.\.$", out, re.M), "no sentence is cut off"
    for verb in (
        "submit check list show best logs watch stop resume retry remove export tensorboard schema init doctor".split()
    ):
        assert re.search(rf"^  {verb} ", out, re.M), verb
        assert "Usage: hpo-engine" in shell.run(verb, "--help") if verb in ("submit", "logs") else True


BAD = [
    ("command: [", "algo.yaml:"),
    ("a: &x 1\nb: *x", "anchor|alias"),
    ("!!python/object:os.system {}", "tag"),
    (ALGO + "trails: 3\n", 'unknown key "trails"; did you mean "trials"'),
    (ALGO + "trials: 4\n", "duplicate|twice"),
    (ALGO.replace("random", "rnadom"), 'did you mean "random"'),
    (ALGO.replace("[0, 2]", "[2, 0]"), "space.x"),
    (ALGO.replace("[0, 2]", "[.nan, 1]"), "space.x"),
    (ALGO.replace("[0, 2]", '["1e-4", 1]'), "space.x"),
    (ALGO.replace("trials: 4", "trials: 0"), "trials"),
    (ALGO.replace("parallel: 2", "parallel: no"), "parallel"),
    (ALGO.replace("train.py", "nosuch.py"), "nosuch.py"),
    (ALGO.replace("python train.py", "''"), "command"),
    (ALGO + "model_dir: nowhere\n", "model_dir"),
    (ALGO + "name: ../../etc\n", "name"),
    (ALGO + "trial: {gpus: 99}\n", "gpus"),
    (ALGO + "trial: {cpus: 9999}\n", "cpus"),
    (ALGO.replace("{seed: 1}", "{sede: 1}"), "sede"),
    (ALGO.replace("{seed: 1}", "{seed: -1}"), "seed"),
    ("", "empty"),
    ("\x00", "algo.yaml"),
    ("[1, 2]", "mapping"),
    ("x: " + "[" * 5000, "deep"),
]  # fmt: skip


@pytest.mark.by_default(2)
@pytest.mark.parametrize(("text", "words"), BAD, ids=[words[:20] + str(i) for i, (_, words) in enumerate(BAD)])
def test_wrong_study_file_is_refused_in_clear_lines(shell: Shell, text: str, words: str) -> None:
    shell.write("algo.yaml", text)
    shell.refuses("submit", "algo.yaml", words=words)
    assert not (shell.folder / "hpo-runs").exists() or not os.listdir(shell.folder / "hpo-runs")


@pytest.mark.by_default(2)
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["submit"], "Missing argument"),
        (["submit", "nosuch.yaml"], "nosuch.yaml"),
        (["submit", "."], "directory|folder"),
        (["submit", "algo.yaml", "--trials", "0"], "--trials"),
        (["submit", "algo.yaml", "--trials", "x"], "--trials"),
        (["submit", "algo.yaml", "--name", "../x"], "--name"),
        (["submit", "algo.yaml", "--seed", "-1"], "--seed"),
        (["submit", "algo.yaml", "--nosuch"], "No such option"),
        (["nosuch"], "No such command"),
        (["show", "nosuch"], 'no study "nosuch"'),
        (["best", "nosuch"], "no study"),
        (["logs", "nosuch", "1"], "no study"),
        (["logs", "nosuch", "x"], "x"),
        (["resume", "../../../../etc"], "no study"),
        (["resume", "nosuch", "--time-limit", "soon"], "no study|time-limit"),
        (["stop", "nosuch"], "no study"),
        (["retry", "nosuch"], "--failed"),
        (["export", "nosuch", "--format", "xml"], "xml"),
        (["init", "nosuch.py"], "nosuch.py"),
        (["tensorboard", "nosuch"], "no study"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(shell: Shell, args: list[str], words: str) -> None:
    said = shell.refuses(*args, words=words)
    assert len(said.splitlines()) == 1


def test_unknown_trial_is_refused(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--trials", "1")
    for verb in ("logs", "show", "stop"):
        shell.refuses(verb, "my-study", "9", words="no trial 9")


def test_damaged_log_exits_5_and_is_left_alone(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--trials", "1")
    db = shell.folder / "hpo-runs" / "my-study" / "study.db"
    data = bytearray(db.read_bytes())
    data[:100] = b"x" * 100
    db.write_bytes(data)
    for args in (["show", "my-study"], ["resume", "my-study"], ["best", "my-study"]):
        shell.refuses(*args, words="study.db", code=5)
    assert "damaged" in shell.run("list")
    assert db.read_bytes() == data


@pytest.mark.slow
def test_log_of_an_older_version_is_refused_by_every_verb_in_one_line(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--trials", "1")
    db = shell.folder / "hpo-runs" / "my-study" / "study.db"
    connection = sqlite3.connect(db)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = db.read_bytes()
    verbs = ("show", "best", "export", "watch", "stop", "resume", "logs 0", "retry --failed", "tensorboard")
    calls = [[verb.split()[0], "my-study", *verb.split()[1:]] for verb in verbs]
    for args in [*calls, ["submit", "algo.yaml"]]:
        said = shell.refuses(*args, words="study.db: written by an older hpo-engine .schema 2.*another --name", code=5)
        assert len(said.splitlines()) == 1, args
    row = next(line for line in shell.run("list").splitlines() if line.startswith("my-study"))
    assert re.search(r"unreadable +written by an older hpo-engine \(schema 2\)", row)
    assert db.read_bytes() == before


DAMAGED = {
    "UPDATE events SET kind = 'trial_teleported' WHERE seq = 4": "damaged: event 4 is not what was written; the last",
    "DELETE FROM events WHERE seq = 4": "damaged: event 4 is missing; the last good one is event 3; nothing was changed",
    "DELETE FROM events": "the event log is empty, as if the study was never opened; restore it from a backup",
    "DROP TABLE events": r"damaged .no such table: events.; nothing was changed. Restore",
    "PRAGMA user_version = 9": r"written by a newer hpo-engine .schema 9.; upgrade to open it",
    "PRAGMA application_id = 7": "not an event log of hpo-engine",
    "empty": "the event log is empty, as if the study was never opened; restore it from a backup",
    "cut": r"damaged .database disk image is malformed.; nothing was changed. Restore",
    "remove": "no such event log: it was moved or removed; restore it from a backup",
}


@pytest.mark.slow
def test_every_verb_says_the_same_of_a_damaged_log_and_leaves_it_alone(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--trials", "1")
    whole = shell.folder / "hpo-runs" / "my-study"
    verbs = ("show", "best", "stop", "resume", "tensorboard")
    for damage, words in DAMAGED.items():
        folder = shutil.copytree(whole, shell.folder / "damaged" / "my-study")
        db = folder / "study.db"
        if damage == "remove":
            db.unlink()
        elif damage in ("empty", "cut"):
            os.truncate(db, db.stat().st_size // 2 if damage == "cut" else 0)
        else:
            connection = sqlite3.connect(db, isolation_level=None)
            connection.execute(damage)
            connection.close()
        before = db.read_bytes() if db.exists() else None
        for verb in verbs if damage == "DELETE FROM events WHERE seq = 4" else ("best",):
            said = shell.refuses(verb, "my-study", "--root", "damaged", words=f"study.db: {words}", code=5)
            assert len(said.splitlines()) == 1, verb
        row = shell.json("list", "--root", "damaged")[0]
        assert row["state"] == "unreadable" and re.search(words, row["error"]), damage
        assert (db.read_bytes() if db.exists() else None) == before
        shutil.rmtree(folder)


@pytest.mark.slow
def test_fifo_in_place_of_a_log_is_refused_by_every_verb(shell: Shell) -> None:
    shell.run("submit", "algo.yaml", "--trials", "1")
    db = shell.folder / "hpo-runs" / "my-study" / "study.db"
    db.unlink()
    os.mkfifo(db)
    for args in (["show", "my-study"], ["best", "my-study"], ["stop", "my-study"], ["resume", "my-study"]):
        shell.refuses(*args, words="study.db: not a regular file", code=5)
    shell.refuses("submit", "algo.yaml", words="study.db: not a regular file", code=5)
    assert re.search(r"my-study +unreadable +not a regular file", shell.run("list"))


def test_model_folder_with_a_stale_result_gives_no_false_verdict(shell: Shell) -> None:
    shell.write("val_dict_list.json", '[{"step": 1, "loss": -999}]')
    shell.write("train.py", "pass")
    assert shell.json("submit", "algo.yaml", "--trials", "2", code=3)["counts"] == {"failed": 2}


def test_plugin_beside_the_script_searches(shell: Shell) -> None:
    shell.write("mine.py", "from hpo_engine.study.trial import Proposal\nclass Half:\n    def __init__(self, spec, *, at=0.5): self.at = at\n    def ask(self, history, count): return [Proposal({'x': self.at, 'kind': 'a b'})] * count\n")  # fmt: skip
    shell.write("algo.yaml", ALGO.replace("random", "mine:Half").replace("{seed: 1}", "{at: 0.25}"))
    shell.run("submit", "algo.yaml")
    trials = shell.json("show", "my-study")["trials"]
    assert trials[0]["params"] == {"x": 0.25, "kind": "a b"} != trials[1]["params"]  # the same again is not tried
    shell.write("algo.yaml", ALGO.replace("random", "mine.py:Half").replace("{seed: 1}", "{att: 0.25}"))
    shell.refuses("submit", "algo.yaml", "--name", "b", words='did you mean "at"')


def test_gpus_are_given_out_to_trials(shell: Shell) -> None:
    shell.env["HPO_ENGINE_GPUS"] = "3,7"
    shell.write(
        "train.py", TRAIN + "open('gpu', 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])\nimport time; time.sleep(0.2)\n"
    )
    shell.write("algo.yaml", ALGO + "trial: {gpus: 1}\n")
    shell.run("submit", "algo.yaml", "--parallel", "5")
    given = {shell.result(i, "gpu").read_text() for i in range(4)}
    assert given == {"3", "7"}


def test_native_experiments_are_run_in_order(shell: Shell) -> None:
    shell.write(
        "algo.yaml",
        "command: python train.py\nobjective: minimize loss\nalgorithm: grid\nexperiments:\n- {x: 0.5}\n- {x: 1.5}\n- {x: 1}\n",
    )
    done = shell.json("submit", "algo.yaml")
    assert done["counts"] == {"completed": 3} and done["best"]["params"] == {"x": 1}
    assert [t["params"]["x"] for t in shell.json("show", "my-study")["trials"]] == [0.5, 1.5, 1]


@pytest.mark.slow
def test_grid_knows_its_size_and_submits_again_without_a_change(shell: Shell) -> None:
    shell.write(
        "algo.yaml", ALGO.replace("random", "grid").replace("trials: 4\n", "").replace("{seed: 1}", "{levels: 3}")
    )
    assert "[6/6]" in shell.run("submit", "algo.yaml")
    assert "ended" in shell.run("submit", "algo.yaml") or "--trials" in shell.run("submit", "algo.yaml")
    assert shell.json("show", "my-study")["counts"] == {"completed": 6}


@pytest.mark.slow
def test_wmla_request_for_what_is_not_here_names_its_field_and_line(shell: Shell) -> None:
    request = {
        "modelSpec": {"args": "--exec-start PyTorch --model-main train.py --gpuPerWorker 1"},
        "algoDef": {"algorithm": "NoSuch", "maxJobNum": 2, "objectiveMetric": "loss", "objective": "minimize"},
        "hyperParams": [{"name": "x", "type": "Range", "dataType": "double", "minDbVal": 0, "maxDbVal": 2}],
    }
    shell.write("r.json", json.dumps(request, indent=1))
    shell.refuses("submit", "r.json", words=r"r\.json:\d+: algoDef.algorithm")
    request["algoDef"]["algorithm"] = "Random"  # type: ignore[index]
    shell.write("r.json", json.dumps(request))
    shell.env["CUDA_VISIBLE_DEVICES"] = ""
    assert shell.json("submit", "r.json", "--name", "r")["counts"] == {"completed": 2}
    assert "no" in shell.err and "GPU" in shell.err, "it runs without the GPUs that its cluster had, and says so"


def test_problem_that_only_the_searcher_sees_has_file_and_line(shell: Shell) -> None:
    shell.write("algo.yaml", ALGO.replace("random", "grid").replace("{seed: 1}", "{levels: 0}"))
    shell.refuses("submit", "algo.yaml", words=r"algo\.yaml:4: options.levels")


@pytest.mark.slow
def test_tensorboard_serves_the_studys_trials(shell: Shell) -> None:
    pytest.importorskip("tensorboard")
    shell.run("submit", "algo.yaml")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = shell.start("tensorboard", "my-study", "--port", str(port))

    def runs() -> Any:
        assert server.poll() is None, server.communicate()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs") as answer:
            return json.load(answer)

    try:
        wait_until(lambda: runs() == ["0", "1", "2", "3"], 60.0)
        written = shell.folder / "hpo-runs/my-study/results/2/lightning_logs/version_0" / eventfiles.NAME
        written.parent.mkdir(parents=True)
        written.write_bytes(eventfiles.scalars(1, {"loss": 0.5}))
        wait_until(lambda: set(runs() or ()) == {"0", "1", "2", "2/lightning_logs/version_0", "3"}, 60.0)
    finally:
        server.terminate()
        server.communicate(timeout=120)
