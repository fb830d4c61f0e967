"""Trials at the same time share the cores: what they find in their environment, already while they import."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpo_engine.system.threads import NAMES
from tests.support.shell import Shell

TRAIN = """\
import json, os
import lib
rows = [{"loss": 1.0, "now": int(os.environ.get("OMP_NUM_THREADS", 0)), "then": lib.threads}]
json.dump(dict(os.environ), open("environment.json", "w"))
json.dump(rows, open("val_dict_list.json", "w"))
"""
LIB = "import os\nthreads = int(os.environ.get('OMP_NUM_THREADS', 0))\n"
ALGO = """\
command: python train.py
objective: minimize loss
algorithm: random
trials: {trials}
parallel: {parallel}
{more}
space:
  x: {{float: [0, 2]}}
"""
CORES = len(os.sched_getaffinity(0))
HALF = str(max(1, CORES // 2))

pytestmark = pytest.mark.skipif(CORES < 2, reason="one core is shared by nobody")


@pytest.fixture
def bare(shell: Shell) -> Shell:
    """In a shell that says nothing of threads."""
    for name in NAMES:
        shell.env.pop(name, None)
    shell.write("train.py", TRAIN)
    site = shell.folder.parent / "site-packages"
    site.mkdir()
    (site / "lib.py").write_text(LIB)
    shell.env["PYTHONPATH"] += f"{os.pathsep}{site}"
    return shell


def submitted(
    shell: Shell, trials: int = 2, parallel: int = 2, more: str = "", **env: str
) -> tuple[str, dict[str, str]]:
    """What was printed, and the environment of trial 0."""
    shell.write("algo.yaml", ALGO.format(trials=trials, parallel=parallel, more=more))
    shell.env |= env
    return shell.run("submit", "algo.yaml"), environment(shell, 0)


def environment(shell: Shell, trial: int) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        Path(shell.folder, f"hpo-runs/my-study/results/{trial}/environment.json").read_text()
    )
    return found


@pytest.mark.slow
@pytest.mark.by_default("auto")
@pytest.mark.parametrize("start", ["auto", "off"])
def test_trials_at_the_same_time_share_the_cores_from_their_imports_on(bare: Shell, start: str) -> None:
    out, env = submitted(bare, more=f"trial: {{preload: {start}}}")
    assert f"2 trials at a time share {CORES} cores: {HALF} thread" in out
    assert {env.get(name) for name in NAMES} == {HALF}
    shown = bare.json("show", "my-study", "0")
    assert shown["rows"][-1]["now"] == shown["rows"][-1]["then"] == int(HALF)


@pytest.mark.slow
def test_one_at_a_time_has_them_all(bare: Shell) -> None:
    out, env = submitted(bare, parallel=1)
    assert "thread" not in out and not set(env) & set(NAMES)


@pytest.mark.slow
def test_trials_at_a_time_are_those_that_can_be(bare: Shell) -> None:
    out, env = submitted(bare, trials=1, parallel=8)
    assert "thread" not in out and not set(env) & set(NAMES)


@pytest.mark.slow
@pytest.mark.by_default("file")
@pytest.mark.parametrize("where", ["shell", "file"])
def test_what_the_user_says_of_threads_stays(bare: Shell, where: str) -> None:
    if where == "shell":
        out, env = submitted(bare, OMP_NUM_THREADS="7", NUMBA_NUM_THREADS="5")
    else:
        out, env = submitted(bare, more='env: {OMP_NUM_THREADS: "7", NUMBA_NUM_THREADS: "5"}')
    assert "share" not in out, "nothing is bounded that the user has not bounded"
    assert (env["OMP_NUM_THREADS"], env["NUMBA_NUM_THREADS"], env["RAYON_NUM_THREADS"]) == ("7", "5", "7")
    assert "MKL_NUM_THREADS" not in env


@pytest.mark.slow
def test_cores_of_a_trial_come_before_a_share_of_all(bare: Shell) -> None:
    out, env = submitted(bare, more="trial: {cpus: 1}", parallel=CORES, trials=2)
    assert "share" not in out and {env.get(name) for name in NAMES} == {"1"}


@pytest.mark.slow
def test_another_number_at_a_time_holds_for_the_trials_to_come(bare: Shell) -> None:
    submitted(bare)
    out = bare.run("resume", "my-study", "--trials", "4", "--parallel", "1")
    assert "thread" not in out
    assert environment(bare, 0)["OMP_NUM_THREADS"] == HALF and not set(environment(bare, 3)) & set(NAMES)
    out = bare.run("resume", "my-study", "--trials", "6", "--parallel", "2")
    assert f"share {CORES} cores" in out and environment(bare, 5)["OMP_NUM_THREADS"] == HALF


@pytest.mark.slow
def test_machine_readable_output_stays_one_line(bare: Shell) -> None:
    bare.write("algo.yaml", ALGO.format(trials=2, parallel=2, more=""))
    assert bare.json("submit", "algo.yaml")["counts"] == {"completed": 2}
