"""A check leaves nothing behind, whatever ends it, and its exit codes and output are those that the manual promises."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from os import kill
from pathlib import Path

import pytest

from hpo_engine.store.journal import read_history
from tests.support.checked import PRINTS, study
from tests.support.helpers import processes_with, wait_until
from tests.support.shell import SLEEPER, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    made.write("train.py", PRINTS)
    made.write("algo.yaml", study())
    yield made
    for pid in processes_with(f"MARK={tmp_path}"):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def begun(shell: Shell) -> bool:
    return bool(list(shell.folder.glob("hpo-runs/.new-*/my-study/results/0/began")))


@pytest.mark.by_default("[15]")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_its_trial_and_leaves_nothing(shell: Shell, number: signal.Signals) -> None:
    shell.write("train.py", SLEEPER)
    running = shell.start("check", "algo.yaml")
    wait_until(lambda: begun(shell))
    running.send_signal(number)
    _, err = running.communicate(60)
    assert running.returncode == 128 + number and "nothing was kept" in err
    assert not (shell.folder / "hpo-runs").exists()
    wait_until(lambda: not shell.left())


def test_what_a_killed_one_leaves_is_removed_by_the_next_and_its_trial_has_a_time_limit(shell: Shell) -> None:
    shell.write("train.py", SLEEPER)
    running = shell.start("check", "algo.yaml", "--time-limit", "3s")
    wait_until(lambda: begun(shell))
    running.kill()
    running.communicate(60)
    (log,) = shell.folder.glob("hpo-runs/.new-*/my-study/study.db")
    limit_s = read_history(str(log)).spec.trial.time_limit_s
    assert limit_s is not None and limit_s < 90, "it ends although nobody is there to end it"
    shell.write("train.py", PRINTS)
    shell.run("check", "algo.yaml", "--no-each")
    assert not (shell.folder / "hpo-runs").exists() or not list((shell.folder / "hpo-runs").glob(".new-*"))


@pytest.mark.slow
def test_killed_while_it_keeps_its_trials_it_has_kept_them(shell: Shell) -> None:
    argv = [sys.executable, "-m", "hpo_engine.cli", "check", "algo.yaml", "--no-each", "--keep"]
    env = {**shell.env, "HPO_FAILPOINT": "check.kept:1:kill"}
    assert subprocess.run(argv, cwd=shell.folder, env=env, timeout=120).returncode == -signal.SIGKILL
    assert "0 " in shell.run("show", "hpo-runs/check-my-study/my-study")
    shell.run("check", "algo.yaml", "--no-each")
    assert [path.name for path in (shell.folder / "hpo-runs").iterdir()] == ["check-my-study"]


def test_kept_trials_can_be_looked_at(shell: Shell) -> None:
    found = shell.json("check", "algo.yaml", "--no-each", "--keep")
    kept = shell.folder / "hpo-runs" / "check-my-study" / "my-study"
    assert found["kept"] == str(kept)
    assert shell.json("show", str(kept))["counts"]["completed"] >= 2
    assert "loss=" in shell.run("logs", str(kept), "0")
    assert shell.json("check", "algo.yaml", "--no-each", "--keep")["kept"].endswith("check-my-study-2/my-study")
    assert "no studies" in shell.run("list")


@pytest.mark.by_default(2)
@pytest.mark.parametrize(
    ("algo", "options"),
    [("command: [", ()), (study().replace("float", "flot"), ()), (study(), ("--time-limit", "soon")), (study(), ("--root", "algo.yaml"))],
)  # fmt: skip
def test_wrong_input_is_refused_in_a_line_and_nothing_is_made(
    shell: Shell, algo: str, options: tuple[str, ...]
) -> None:
    shell.write("algo.yaml", algo)
    shell.refuses("check", "algo.yaml", *options, words="algo.yaml|time-limit")
    assert not (shell.folder / "hpo-runs").exists()


def test_words_for_people_fit_80_columns_and_the_worst_comes_first(shell: Shell) -> None:
    shell.write("train.py", PRINTS.replace("loss=", "val_loss=").replace("1 / a.width", "0.5"))
    lines = shell.run("check", "algo.yaml", code=1).splitlines()
    assert max(map(len, lines)) <= 80
    levels = [line.split()[0] for line in lines if line[:1].isupper() or line.startswith("ok ")]
    assert levels == sorted(levels, key=["PROBLEM", "WARNING", "NOTE", "ok"].index) and len(set(levels)) >= 3
    assert 'did you mean "val_loss"?' in "\n".join(lines)
    assert "  command      python train.py --lr" in "\n".join(lines)
    shell.write("algo.yaml", study().replace("minimize loss", "minimize val_loss"))
    assert "WARNING" in shell.run("check", "algo.yaml")
    shell.run("check", "algo.yaml", "--strict", code=1)
