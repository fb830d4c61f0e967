"""What a user is told to do when no trial gave a value, and that it is true."""

from __future__ import annotations

import re

import pytest

from hpo_engine.text.tables import next_lines
from tests.support.shell import Shell

ALGO = """\
command: python train.py
objective: minimize val_loss
algorithm: random
trials: 2
space:
  x: {float: [0, 1]}
"""
WRITES = (
    'import json; json.load(open("config.json")); json.dump([{"val_loss": VALUE}], open("val_dict_list.json", "w"))'
)


def failed(shell: Shell, script: str, more: str = "") -> str:
    """What `submit` prints of a study with this script, all of whose trials fail."""
    shell.write("train.py", script)
    shell.write("algo.yaml", ALGO + more)
    return shell.run("submit", "algo.yaml", code=3)


@pytest.mark.by_default(2)
@pytest.mark.parametrize(
    ("script", "more", "words"),
    [
        (
            "pass",
            "",
            r"metrics: print them, as in val_loss=0\.31; or report\(step=1, val_loss=\.\.\.\) of hpo_trainees.report, ReportCallback.*as in results: stdout; see docs/contract\.md",
        ),
        ("pass", "results: val_dict_list\n", r"metrics: report\(step=1"),
        ("pass", "", r"note: trial \d ended without reading its config.json"),
        ("import time; time.sleep(60)", "trial: {time_limit: 0.3s}\n", "larger time_limit\n"),
        (
            WRITES.replace("VALUE", "1") + "; import time; time.sleep(60)",
            "trial: {time_limit: 2s}\n",
            "larger time_limit, or on_time_limit: keep",
        ),
        ("open('big', 'r+b')", "", "big is a read-only link to the study's copy, as files above 1 MiB are"),
        ("import os; os.system('echo >> big') and exit(1)", "", "big is a read-only link"),
        ("open('data/x.csv')", "", r"data/x.csv is outside it, in \S+: use model_dir: \S+ \(with the"),
        ("open('data/none.csv')", "", "No such file or directory: 'data/none.csv' \\(train.py, line 1\\)\n\nfolder"),
        ("raise SystemExit(7)", "", "exit code 7\n\nfolder"),
        (WRITES.replace('"val_loss"', '"acc"').replace("VALUE", "1"), "",
         'line 2 of the study file names "val_loss", but the script reports "acc": change the name there'),
        (WRITES.replace("VALUE", "float('nan')"), "", "narrower ranges in space may help"),
        ("import nosuchmodule", "", r"trials run with \S+: install the package there"),
        ("import helpers", "", r"helpers.py is outside it, in \S+: use model_dir: \S+ \(with the"),
        ("{}['lr']", "", "config.json has x, but not lr: "),
        ("import argparse as a; p = a.ArgumentParser(); p.add_argument('--lr', required=True); p.parse_args()", "",
         'the script runs as "python train.py": write fixed arguments into command, and {params} for those'),
        ("pass", "trial: {preload: 'off'}\nenv: {LONG: " + "y" * 140_000 + "}\n",
         r"Argument list too long\n\n.*128 KiB.* let the script read long values from config\.json"),
        ("raise MemoryError", "", "the trials ran out of memory; a smaller model or batch"),
        ("raise MemoryError", "parallel: 2\n", r"ran out of memory; a smaller parallel \(now 2\) leaves more for each"),
        ("import os; os.kill(os.getpid(), 9)", "", r"signal 9 \(SIGKILL\) often means"),
        ("import os; os.abort()", "", r"signal 6 \(SIGABRT\) is a crash in compiled code; env: \{PYTHONFAULTHANDLER: 1\}"),
        ("import os; os.abort()", "env: {PYTHONFAULTHANDLER: 1}\n", r"Fatal Python error: Aborted \(train.py, line 1\)\n\nfolder"),
    ],
)  # fmt: skip
def test_remedy_of_a_study_without_a_value(shell: Shell, script: str, more: str, words: str) -> None:
    shell.write("big", "x" * 1_100_000)
    (shell.folder.parent / "data").mkdir()
    (shell.folder.parent / "data" / "x.csv").write_text("1")
    (shell.folder.parent / "helpers.py").write_text("")
    out = failed(shell, script, more)
    assert re.search(words.replace(r"\S+", ".+"), out), out
    assert (
        "hpo-engine remove my-study" in out and "hpo-engine retry my-study --failed  # if the cause was outside" in out
    )


def test_metric_that_is_never_finite_is_not_offered_again(shell: Shell) -> None:
    assert "--metric" not in failed(shell, WRITES.replace("VALUE", "float('nan')"))
    shell.refuses("best", "my-study", "--metric", "val_loss", words="but no finite value of it counts", code=3)


def test_comment_without_room_has_a_line_of_its_own() -> None:
    steps = [("hpo-engine remove a", "to mend it"), (f"hpo-engine best {'b' * 60}", "judge them")]
    after = " " * 8
    assert next_lines(steps, 80) == [
        "next    hpo-engine remove a  # to mend it",
        f"{after}{steps[1][0]}",
        f"{after}  # judge them",
    ]
