"""What is said of processes that trials leave behind: in each trial the same, so not each time."""

from __future__ import annotations

import re

import pytest

from tests.support.shell import Shell

TRAIN = """\
import json, subprocess
for _ in range(json.load(open("config.json"))["left"]):
    subprocess.Popen(["sleep", "600"], start_new_session=True)
json.dump([{"loss": 1.0}], open("val_dict_list.json", "w"))
"""
TRACKED = """\
import json, multiprocessing
from multiprocessing import shared_memory
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    shared_memory.SharedMemory(create=True, size=10).close()
    json.dump([{"loss": 1.0}], open("val_dict_list.json", "w"))
"""
ALGO = """\
command: python train.py
objective: minimize loss
algorithm: grid
space:
  left: {choice: %s}
"""


@pytest.mark.slow
def test_processes_left_behind_are_told_three_times_in_english(shell: Shell) -> None:
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO % "[1, 2, 0, 3, 4, 5]")
    out = shell.run("submit", "algo.yaml")
    told = re.findall(r"trial \d+ left .*", out)
    assert told[0].endswith("trial 0 left 1 process behind; it was killed")
    assert told[1].endswith("trial 1 left 2 processes behind; they were killed")
    assert len(told) == 3 and told[2].endswith("; of later trials, only `hpo-engine show` tells")
    assert "4 processes left behind and killed" in shell.run("show", "my-study", "4")
    assert "left behind" not in shell.run("show", "my-study", "2") and not shell.left()


def test_helpers_of_multiprocessing_are_no_news(shell: Shell) -> None:
    shell.write("train.py", TRACKED)
    shell.write("algo.yaml", ALGO % "[1, 2]")
    out = shell.run("submit", "algo.yaml")
    assert "2 completed" in out and "behind" not in out + shell.err
