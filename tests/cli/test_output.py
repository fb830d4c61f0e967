"""What a trial has printed, as its owner meets it: the reason of a failure, `logs`, `show`."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.support.helpers import wait_until
from tests.support.shell import ALGO, Shell

BAR = """\
import sys, time
for i in range(5):
    sys.stderr.write(f"\\r{25 * i}%|{'#' * i}{' ' * (4 - i)}| {i}/4")
    sys.stderr.flush()
"""


def test_reason_is_the_error_and_not_the_last_line(shell: Shell) -> None:
    shell.write("train.py", BAR + "try:\n    {}['lr']\nexcept KeyError:\n    print('wandb: bye', file=sys.stderr)\n    raise\n"
                "finally:\n    import atexit; atexit.register(print, 'Set the environment variable HYDRA_FULL_ERROR=1 for more')\n")  # fmt: skip
    assert "exit code 1; KeyError: 'lr'" in shell.run("submit", "algo.yaml", code=3)
    assert shell.json("show", "my-study", "0")["reason"] == "trial 0: exit code 1; KeyError: 'lr' (train.py, line 6)"
    assert "100%|####| 4/4" in shell.run("show", "my-study", "0") and "25%" not in shell.run("show", "my-study", "0")


def test_reason_of_a_script_that_hides_its_failure_names_the_error(shell: Shell) -> None:
    shell.write("train.sh", "nosuchprogram --lr 1\necho done\n")
    shell.write("algo.yaml", ALGO.replace("python train.py", "sh train.sh"))
    shell.run("submit", "algo.yaml", code=3)
    reason = shell.json("show", "my-study", "1")["reason"]
    assert re.search(
        r"wrote no val_dict_list.json .*; its output has: train.sh: (line )?1: nosuchprogram: .*not found", reason
    )


@pytest.mark.slow
def test_launcher_is_nobodys_reason_and_in_nobodys_log(shell: Shell) -> None:
    shell.write("train.py", "import ctypes, faulthandler, traceback\ntraceback.print_stack()\nfaulthandler.enable()\nctypes.string_at(0)\n")  # fmt: skip
    shell.run("submit", "algo.yaml", code=3)
    assert shell.json("show", "my-study", "0")["reason"] == (
        "trial 0: killed by signal 11; Fatal Python error: Segmentation fault (train.py, line 4)"
    )
    for shown in (shell.run("logs", "my-study", "0"), shell.run("show", "my-study", "0")):
        assert "train.py" in shown and "launcher.py" not in shown and "_program" not in shown


@pytest.mark.slow
def test_logs_show_the_last_state_of_a_progress_bar(shell: Shell) -> None:
    shell.write(
        "train.py",
        BAR + "print('\\nouter 1\\n\\rinner 1\\x1b[A\\router 2\\n\\rinner 2\\x1b[A')\n" + "print('\\nover', end='')\n",
    )
    shell.run("submit", "algo.yaml", code=3)
    shown = ["100%|####| 4/4", "outer 2", "inner 2", "over"]
    assert shell.run("logs", "my-study", "0").splitlines() == shown
    assert shell.run("logs", "my-study", "0", "-f").splitlines()[-1] == "over"
    assert "\r25%|#   | 1/4\r50%" in shell.raw("logs", "my-study", "0", "--raw")


@pytest.mark.slow
def test_followed_log_redraws_on_a_terminal_and_stays_whole_in_a_pipe(shell: Shell) -> None:
    shell.write("train.py", "import os, time\nprint('begin', flush=True)\n" + BAR + "while not os.path.exists('go'): time.sleep(0.02)\n"
                "print('\\nend', flush=True)\n")  # fmt: skip
    shell.write("algo.yaml", ALGO.replace("trials: 4", "trials: 1"))
    shell.run("submit", "algo.yaml", "--detach")
    ours, theirs = pty.openpty()  # of no size
    argv = [sys.executable, "-m", "hpo_engine.cli", "logs", "my-study", "0", "-f"]
    wait_until(lambda: "begin" in shell.run("logs", "my-study", "0"))
    on_terminal = subprocess.Popen(argv, cwd=shell.folder, env=shell.env, stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    piped = shell.start("logs", "my-study", "0", "-f")
    assert piped.stdout is not None and piped.stdout.readline() == "begin\n", "whole lines come at once"
    seen = b""
    while b"4/4" not in seen:
        seen += os.read(ours, 1 << 16)
    shell.result(0, "go").touch()
    while True:
        try:
            seen += os.read(ours, 1 << 16)
        except OSError:
            break
    os.close(ours)
    assert on_terminal.wait(60) == 0
    assert seen.endswith(b"begin\r\n100%|####| 4/4\r\nend\r\n")
    assert re.sub(rb"\x1b\[\d*[AJ]", b"", seen).count(b"\x1b") == 0
    out, err = piped.communicate(timeout=60)
    assert out.splitlines() == ["100%|####| 4/4", "end"], err
