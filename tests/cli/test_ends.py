"""How runs ended and what they took, in every output that a user or a program reads."""

from __future__ import annotations

import csv
import io
import json

from tests.support.shell import Shell

TRAIN = """\
import json, time
config = json.load(open("config.json"))
while time.process_time() < 0.2:
    pass
if config["how"] == "crash":
    raise MemoryError("too large")
if config["how"] != "silent":
    json.dump([{"loss": float("nan") if config["how"] == "nan" else 1.0}], open("val_dict_list.json", "w"))
"""
ALGO = """\
command: python train.py
objective: minimize loss
algorithm: grid
early_stopping: off
failures: off
space:
  how: {choice: [good, crash, silent, nan]}
"""


def test_failures_have_a_kind_and_runs_say_what_they_took(shell: Shell) -> None:
    shell.write("train.py", TRAIN)
    shell.write("algo.yaml", ALGO)
    shell.run("submit", "algo.yaml")
    rows = list(csv.DictReader(io.StringIO(shell.run("export", "my-study"))))
    kinds = {"good": "", "crash": "out_of_memory", "silent": "no_result", "nan": "bad_result"}
    assert {row["params.how"]: row["failure"] for row in rows} == kinds
    assert all(0.2 <= float(row["cpu_s"]) < 30 and 4 < float(row["memory_peak_mb"]) < 400 for row in rows)
    crashed = next(row["trial"] for row in rows if row["params.how"] == "crash")
    (one,) = [t for t in json.loads(shell.run("show", "my-study", "--json"))["trials"] if t["trial"] == int(crashed)]
    assert one["failure"] == "out_of_memory" and one["cpu_s"] >= 0.2
    (run,) = json.loads(shell.run("show", "my-study", crashed, "--json"))["runs"]
    assert (run["attempt"], run["resume_from"], run["failure"]) == (1, None, "out_of_memory")
    assert run["exit"] == "exit code 1" and run["cpu_s"] >= 0.2 and run["seconds"] >= 0.2 and run["memory_peak_mb"] > 4
    assert "of processor time" in shell.run("show", "my-study", crashed)
