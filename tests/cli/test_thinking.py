"""A searcher that takes long holds nothing up: real processes, and a searcher that never answers until it is let."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.helpers import wait_until
from tests.support.shell import Shell

SEARCHER = """\
import os, time
from hpo_engine.study.trial import Proposal

class Deep:
    def __init__(self, spec, *, let): self.let = let
    def ask(self, history, count):
        first = history.next_id
        if first >= 2:
            while not os.path.exists(self.let):  # thinks; half of the time it does not even let go of the interpreter
                until = time.monotonic() + 0.05
                while time.monotonic() < until: pass
                time.sleep(0.05)
        return [Proposal({"x": i / 10}) for i in range(first, first + min(count, 2))]
"""
TRAIN = """\
import json, os, time
open("began", "w").close()
rows = []
for step in range(600):
    rows.append({"step": step, "loss": 1.0 / (1 + step)})
    with open("rows.tmp", "w") as file:
        json.dump(rows, file)
    os.replace("rows.tmp", "val_dict_list.json")
    if os.path.exists(os.environ["LET"]):
        break
    time.sleep(0.1)
"""
ALGO = """\
command: python train.py
objective: minimize loss
algorithm: deep.py:Deep
options: {{let: "{let}"}}
trials: 5
parallel: 3
env: {{LET: "{let}"}}
space:
  x: {{float: [0, 2]}}
"""


@pytest.fixture
def study(shell: Shell, tmp_path: Path) -> Path:
    """A running study: two trials, and a searcher that thinks about the third."""
    let = tmp_path / "let"
    shell.write("deep.py", SEARCHER)
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO.format(let=let))
    return let


def began(shell: Shell, *trials: int) -> bool:
    return all(shell.result(i, "began").exists() for i in trials)


@pytest.mark.slow
def test_metrics_stops_and_other_slots_go_on(shell: Shell, study: Path) -> None:
    engine = shell.start("submit", "algo.yaml", "--quiet")
    wait_until(lambda: began(shell, 0, 1))
    wait_until(lambda: ((shell.json("show", "my-study", "1")["last_row"] or {}).get("step") or 0) >= 2)
    assert "stopped" in shell.run("stop", "my-study", "0")
    assert not began(shell, 2) and engine.poll() is None
    study.touch()
    out, err = engine.communicate(timeout=240)
    assert engine.returncode == 0, out + err
    assert shell.json("show", "my-study")["counts"] == {"completed": 4, "stopped": 1}
    assert shell.left() == []


@pytest.mark.by_default("signal")
@pytest.mark.parametrize("how", ["verb", "signal", "killed"])
def test_study_ends_while_its_searcher_thinks_and_can_go_on(shell: Shell, study: Path, how: str) -> None:
    engine = shell.start("submit", "algo.yaml", "--quiet")
    wait_until(lambda: began(shell, 0, 1))
    if how == "verb":
        shell.run("stop", "my-study")
    else:
        engine.send_signal(signal.SIGTERM if how == "signal" else signal.SIGKILL)
    out, err = engine.communicate(timeout=240)
    assert engine.returncode == {"verb": 0, "signal": 143, "killed": -9}[how], out + err
    study.touch()
    done = shell.json("resume", "my-study")
    assert done["counts"] == {"completed": 5} and done["state"] == "finished"
    assert shell.left() == []
