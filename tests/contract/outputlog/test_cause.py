"""What is told of a run that failed: outputs as programs of many kinds leave them, and the line that says why."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from hpo_engine.contract.outputlog.cause import cause
from hpo_engine.contract.outputlog.logfiles import NAME, why
from hpo_engine.contract.outputlog.screen import rendered

TRACEBACK = """\
Traceback (most recent call last):
  File "/w/train.py", line 12, in <module>
    main()
  File "/w/train.py", line 8, in main
    raise ValueError("bad lr")
          ^^^^^^^^^^^^^^^^^^^^
ValueError: bad lr
"""
WORKER = """\
Traceback (most recent call last):
  File "/w/worker.py", line 3, in load
    x = items[9]
IndexError: list index out of range
"""
DIRECT = "\nThe above exception was the direct cause of the following exception:\n\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"

ERRORS: dict[str, tuple[str, str]] = {
    # -- Python's own
    "plain": (f"epoch 1\n{TRACEBACK}", "ValueError: bad lr (train.py, line 8)"),
    "module in the name": (TRACEBACK.replace("ValueError:", "torch.cuda.OutOfMemoryError:"), "torch.cuda.OutOfMemoryError: bad lr (train.py, line 8)"),
    "cause": (WORKER + DIRECT + TRACEBACK, "ValueError: bad lr (train.py, line 8)"),
    "while handling": (TRACEBACK + DURING + WORKER, "IndexError: list index out of range (worker.py, line 3)"),
    "several lines": (f"{TRACEBACK}  lr must be positive\nsee the docs of the optimizer\n", "ValueError: bad lr (train.py, line 8)"),
    "announced": (
        TRACEBACK.replace("ValueError: bad lr", "RuntimeError: Error(s) in loading state_dict for Net:")
        + "\tsize mismatch for fc.weight: copying a param with shape [10, 4] from checkpoint\n\tsize mismatch for fc.bias\n",
        "RuntimeError: Error(s) in loading state_dict for Net: size mismatch for fc.weight: copying a param with shape "
        "[10, 4] from checkpoint (train.py, line 8)",
    ),
    "no message": (TRACEBACK.replace("ValueError: bad lr", "AssertionError"), "AssertionError (train.py, line 8)"),
    "interrupt": (TRACEBACK.replace("ValueError: bad lr", "KeyboardInterrupt"), "KeyboardInterrupt"),
    "own class": (TRACEBACK.replace("ValueError: bad lr", "__main__.Diverged: at step 3"), "__main__.Diverged: at step 3 (train.py, line 8)"),
    "syntax of the script": (
        '  File "/w/train.py", line 3\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n',
        "SyntaxError: invalid syntax (train.py, line 3)",
    ),
    "syntax of a module": (
        'Traceback (most recent call last):\n  File "/w/train.py", line 1, in <module>\n    import net\n'
        '  File "/w/net.py", line 7\n    def f(:\n          ^\nSyntaxError: invalid syntax\n',
        "SyntaxError: invalid syntax (net.py, line 7)",
    ),
    "recursion": (
        'Traceback (most recent call last):\n  File "t.py", line 3, in f\n    f()\n  File "t.py", line 3, in f\n    f()\n'
        "  [Previous line repeated 995 more times]\nRecursionError: maximum recursion depth exceeded\n",
        "RecursionError: maximum recursion depth exceeded (t.py, line 3)",
    ),
    "group": (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "t.py", line 1, in <module>\n  |     raise ExceptionGroup("eg", [a, b])\n'
        "  | ExceptionGroup: eg (2 sub-exceptions)\n"
        "  +-+---------------- 1 ----------------\n    | ValueError: x\n"
        "    +---------------- 2 ----------------\n    | Traceback (most recent call last):\n"
        '    |   File "t.py", line 5, in g\n    |     raise TypeError("y")\n    | TypeError: y\n'
        "    +------------------------------------\n",
        "ValueError: x",
    ),
    "group with tracebacks": (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "t.py", line 1, in <module>\n  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n'
        "  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n"
        '    |   File "t.py", line 5, in g\n    |     d["lr"]\n    | KeyError: \'lr\'\n    | \n'
        "    | During handling of the above exception, another exception occurred:\n    | \n"
        '    | Traceback (most recent call last):\n    |   File "t.py", line 7, in g\n    | LookupError: no rate\n'
        "    +------------------------------------\n",
        "LookupError: no rate (t.py, line 7)",
    ),
    "group in a group": (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "t.py", line 1, in <module>\n  | ExceptionGroup: outer (2 sub-exceptions)\n'
        "  +-+---------------- 1 ----------------\n    | ExceptionGroup: inner (1 sub-exception)\n"
        "    +-+---------------- 1 ----------------\n      | OSError: deep\n"
        "      +------------------------------------\n    +---------------- 2 ----------------\n    | TypeError: y\n"
        "    +------------------------------------\nwandb: bye\n",
        "OSError: deep",
    ),
    "ignored at exit": (
        f"{TRACEBACK}Exception ignored in: <function Pool.__del__ at 0x7f>\n{WORKER}", "ValueError: bad lr (train.py, line 8)",
    ),
    "logging error": (f"{TRACEBACK}--- Logging error ---\n{WORKER}Call stack:\n  File \"x.py\", line 1\n", "ValueError: bad lr (train.py, line 8)"),
    "fault": (
        f"{TRACEBACK}Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):\n"
        '  File "/w/train.py", line 10 in <module>\n\nExtension modules: numpy._core (total: 1)\n',
        "Fatal Python error: Segmentation fault (train.py, line 10)",
    ),
    "after a bar": (f" 45%|####    | 45/100 [00:01<00:01, 44.9it/s]{TRACEBACK}", "ValueError: bad lr (train.py, line 8)"),
    # -- tracebacks that travelled
    "data loader": (
        TRACEBACK.replace("ValueError: bad lr", "RuntimeError: Caught IndexError in DataLoader worker process 0.")
        + f"Original {WORKER}",
        "IndexError: list index out of range (worker.py, line 3)",
    ),
    "pool": (
        f'multiprocessing.pool.RemoteTraceback: \n"""\n{WORKER}"""\n{DIRECT}'
        + TRACEBACK.replace("ValueError: bad lr", "IndexError: list index out of range"),
        "IndexError: list index out of range (train.py, line 8)",
    ),
    "spawn": (
        TRACEBACK.replace("ValueError: bad lr", "torch.multiprocessing.spawn.ProcessRaisedException: ")
        + f"\n-- Process 1 terminated with the following error:\n{WORKER}",
        "IndexError: list index out of range (worker.py, line 3)",
    ),
    "ray": (
        TRACEBACK.replace("ValueError: bad lr", "ray.exceptions.RayTaskError(KeyError): ray::fit() (pid=7, ip=1.2.3.4)")
        + '  File "/w/fit.py", line 3, in fit\n    c["x"]\nKeyError: \'x\'\n',
        "KeyError: 'x' (fit.py, line 3)",
    ),
    "ray's prefix": (
        "".join(f"\x1b[36m(fit pid=7)\x1b[0m {line}\n" for line in TRACEBACK.splitlines()), "ValueError: bad lr (train.py, line 8)",
    ),
    "rank's prefix": (
        "".join(f"[rank1]: {line}\n" for line in TRACEBACK.splitlines()) + "[rank1]:[W1127 08:00:00 x.cpp:1] Warning: bye\n",
        "ValueError: bad lr (train.py, line 8)",
    ),
    "elastic": (
        f"[rank0]: {WORKER.replace(chr(10), chr(10) + '[rank0]: ')}\n"
        "E1127 08:00:00.000000 7 torch/distributed/elastic/multiprocessing/api.py:869] failed (exitcode: 1)\n"
        + TRACEBACK.replace("ValueError: bad lr", "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ")
        + "=====\ntrain.py FAILED\n-----\nFailures:\n  <NO_OTHER_FAILURES>\nRoot Cause (first observed failure):\n"
        "[0]:\n  time      : 2026-11-27\n  exitcode  : 1 (pid: 9)\n  traceback : To enable traceback see: https://x\n=====\n",
        "IndexError: list index out of range (worker.py, line 3)",
    ),
    "called process": (
        "x.c:3:5: error: 'y' undeclared\n"
        + TRACEBACK.replace("ValueError: bad lr", "subprocess.CalledProcessError: Command '['cc']' returned non-zero exit status 1."),
        "x.c:3:5: error: 'y' undeclared",
    ),
    "rich": (
        "╭──── Traceback (most recent call last) ────╮\n│ /w/train.py:8 in main │\n│ ❱ 8     raise x │\n"
        "╰───────────────────────────╯\nValueError: bad lr\n",
        "ValueError: bad lr",
    ),
    # -- libraries with a last word of their own
    "hydra": (
        f"Error executing job with overrides: ['lr=-1']\n{TRACEBACK}\n"
        "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
        "ValueError: bad lr (train.py, line 8)",
    ),
    "jsonargparse": (
        'usage: train.py [-h] [--lr LR]\nerror: Parser key "lr":\n  Expected a <class \'float\'>. Got value: high\nGiven value: high\n',
        "error: Parser key \"lr\": Expected a <class 'float'>. Got value: high",
    ),
    "wandb": (
        f"{TRACEBACK}wandb: \nwandb: 🚀 View run x at: https://x\nwandb: Find logs at: ./wandb/run\n", "ValueError: bad lr (train.py, line 8)",
    ),
    "argparse": ("usage: train.py [-h]\ntrain.py: error: unrecognized arguments: --x 3\n", "train.py: error: unrecognized arguments: --x 3"),
    "click": ("Usage: train.py [OPTIONS]\nTry 'train.py --help' for help.\n\nError: No such option: --x\n", "Error: No such option: --x"),
    "typer": (
        "Usage: train.py [OPTIONS]\nTry 'train.py --help' for help.\n╭─ Error ─────────────╮\n│ No such option: --x │\n╰─────────────────────╯\n",
        "Error: No such option: --x",
    ),
    "logged": ("2026-11-27 08:00:00,1 - train - ERROR - cannot read data/x.csv\nExiting.\n", "2026-11-27 08:00:00,1 - train - ERROR - cannot read data/x.csv"),
    "logging's own form": ("INFO:root:begin\nCRITICAL:root:out of patience\n", "CRITICAL:root:out of patience"),
    # -- other languages
    "shell": ("train.sh: line 3: pyhton: command not found\n", "train.sh: line 3: pyhton: command not found"),
    "dash": ("train.sh: 3: pyhton: not found\n", "train.sh: 3: pyhton: not found"),
    "crash under a shell": ("begin\ntrain.sh: line 2:   123 Segmentation fault      (core dumped) ./a.out\n", "train.sh: line 2:   123 Segmentation fault      (core dumped) ./a.out"),
    "assertion in C": ("a.out: train.c:7: main: Assertion `lr > 0' failed.\n", "a.out: train.c:7: main: Assertion `lr > 0' failed."),
    "C++": (
        "terminate called after throwing an instance of 'std::runtime_error'\n  what():  no file\n",
        "terminate called after throwing an instance of 'std::runtime_error': what():  no file",
    ),
    "R": ("Error in fit(x) : object 'y' not found\nCalls: main -> fit\nExecution halted\n", "Error in fit(x) : object 'y' not found"),
    "R, long": ("Error in library(zoo) : \n  there is no package called ‘zoo’\nExecution halted\n", "Error in library(zoo) : there is no package called ‘zoo’"),
    "node": (
        "/w/train.js:3\n  foo();\n  ^\n\nReferenceError: foo is not defined\n    at Object.<anonymous> (/w/train.js:3:3)\n"
        "    at node:internal/main/run_main_module:23:47\n\nNode.js v20.1.0\n",
        "ReferenceError: foo is not defined",
    ),
    "Julia": (
        "ERROR: LoadError: UndefVarError: `y` not defined\nStacktrace:\n [1] top-level scope\n   @ /w/x.jl:3\nin expression starting at /w/x.jl:3\n",
        "ERROR: LoadError: UndefVarError: `y` not defined",
    ),
    "Java": (
        'Exception in thread "main" java.lang.IllegalStateException: bad\n\tat Main.main(Main.java:5)\n',
        'Exception in thread "main" java.lang.IllegalStateException: bad',
    ),
    "Go": (
        "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/w/x.go:5 +0x1d\nexit status 2\n",
        "panic: runtime error: index out of range [5] with length 3",
    ),
    "Rust": (
        "\nthread 'main' panicked at src/main.rs:4:5:\nno rate\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        "thread 'main' panicked at src/main.rs:4:5: no rate",
    ),
    "Ruby": ("train.rb:3:in 'fit': undefined local variable or method 'y' (NameError)\n", "train.rb:3:in 'fit': undefined local variable or method 'y' (NameError)"),
    "C++ under a shell": (
        "terminate called after throwing an instance of 'std::runtime_error'\n  what():  no file\n"
        "train.sh: line 2:   123 Aborted                 (core dumped) ./a.out\n",
        "terminate called after throwing an instance of 'std::runtime_error': what():  no file",
    ),
    "killed under a shell": (
        "ERROR: optional cache is not there\nepoch 1\nepoch 2\nepoch 3\nbash: line 1:  1234 Killed                  ./train\n",
        "bash: line 1:  1234 Killed                  ./train",
    ),
    "Fortran": (
        "At line 12 of file x.f90\nFortran runtime error: Index '11' above bound\n\nError termination. Backtrace:\n"
        "#0  0x7f in ???\n#1  0x7f in main\n",
        "Fortran runtime error: Index '11' above bound",
    ),
    "Octave": ("error: 'y' undefined\nerror: called from\n    train at line 3 column 1\n", "error: 'y' undefined"),
    "MATLAB": ("Error using train (line 3)\nThe rate is too high.\n", "Error using train (line 3): The rate is too high."),
    "PHP": (
        "PHP Fatal error:  Uncaught Exception: no rate in /w/t.php:3\nStack trace:\n#0 {main}\n  thrown in /w/t.php on line 3\n",
        "PHP Fatal error:  Uncaught Exception: no rate in /w/t.php:3",
    ),
    "absl": (
        "FATAL Flags parsing error: flag --lr=high: could not convert\nPass --helpshort or --helpfull to see help on flags.\n",
        "FATAL Flags parsing error: flag --lr=high: could not convert",
    ),
    "parsing in a box": (
        "╭─ Parsing error ────────────╮\n│ Unrecognized options: --x  │\n╰────────────────────────────╯\n",
        "Parsing error: Unrecognized options: --x",
    ),
    "accelerate": (
        TRACEBACK + "Traceback (most recent call last):\n  File \"/usr/bin/accelerate\", line 8, in <module>\n    sys.exit(main())\n"
        "subprocess.CalledProcessError: Command '['python', 'train.py']' returned non-zero exit status 1.\n",
        "ValueError: bad lr (train.py, line 8)",
    ),
    "conda": (
        TRACEBACK + "\nERROR conda.cli.main_run:execute(49): `conda run python train.py` failed. (See above for error)\n",
        "ValueError: bad lr (train.py, line 8)",
    ),
    "empty first line": (TRACEBACK.replace("Error: bad lr", "Error: \nthe rate is too high"), "ValueError: the rate is too high (train.py, line 8)"),
    "nothing logged": ("ERROR:root:the loss is not finite\nNoneType: None\n", "ERROR:root:the loss is not finite"),
    "no script": (
        "python: can't open file '/w/train.py': [Errno 2] No such file or directory\n",
        "python: can't open file '/w/train.py': [Errno 2] No such file or directory",
    ),
    "carriage returns": (TRACEBACK.replace("\n", "\r\n"), "ValueError: bad lr (train.py, line 8)"),
    "git": ("fatal: not a git repository\n", "fatal: not a git repository"),
}  # fmt: skip

SPOKEN = {
    "exit with words": ("epoch 1\nloss is nan, giving up\n", "loss is nan, giving up"),
    "bars": ("loading data\n  0%|          | 0/9 [00:00<?, ?it/s]\r 50%|#####     | 5/9 [00:01<00:01, 4.0it/s]", "loading data"),
    "only bars": ("  0%|    | 0/9 [00:00<?]\r 50%|##  | 5/9 [00:01<00:01, 4.0it/s]", "50%|##  | 5/9 [00:01<00:01, 4.0it/s]"),
    "keras": ("no more data\n45/100 [=====>......] - ETA: 3s - loss: 0.31\n", "no more data"),
    "warnings": (
        "cannot go on\n/w/x.py:3: UserWarning: old\n  warnings.warn('old')\nWARNING:root:closing late\n"
        "[W1127 08:00:00 x.cpp:12] Warning: destroy_process_group() was not called\n",
        "cannot go on",
    ),
    "farewells": ("no such device\nwandb: synced\nExiting...\n-----\n", "no such device"),
    "metrics": ("stopped at epoch 3: too slow\nval error: 0.31\nRMS ERROR: 12.5\n", "RMS ERROR: 12.5"),
    "hydra": (
        "Could not override 'lrr'.\nKey 'lrr' is not in struct\n    full_key: lrr\n    object_type=dict\n\n"
        "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
        "Key 'lrr' is not in struct",
    ),
    "only asides": (f"too few samples\nException ignored in: <function Pool.__del__ at 0x7f>\n{WORKER}", "too few samples"),
    "long ago": (TRACEBACK + "".join(f"epoch {i}: fine\n" for i in range(100)) + "no memory left\n", "no memory left"),
}  # fmt: skip


def told(output: str) -> tuple[str, bool]:
    return cause(rendered(output.encode()))


@pytest.mark.parametrize("kind", ERRORS)
def test_error_is_found(kind: str) -> None:
    output, error = ERRORS[kind]
    assert told(output) == (error, True)


@pytest.mark.parametrize("kind", [k for k in ERRORS if k != "syntax of the script"])
def test_error_is_found_under_farewells_warnings_and_bars(kind: str) -> None:
    output, error = ERRORS[kind]
    after = "\n-----\nwandb: x\nUserWarning: late\n  warnings.warn(x)\nepoch:  50%|##  | 1/2 [00:01<00:01]\rExiting.\n"
    assert told(f"epoch 1: loss 0.5\n{output}{after}") == (error, True)


@pytest.mark.parametrize("kind", SPOKEN)
def test_without_an_error_the_last_line_that_says_something_counts(kind: str) -> None:
    output, line = SPOKEN[kind]
    assert told(output) == (line, False)


def test_what_an_interpreter_really_prints(tmp_path: Path) -> None:
    for name, (code, error) in {
        "group": ("raise ExceptionGroup('eg', [ValueError('x'), TypeError('y')])", "ValueError: x"),
        "chain": ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('outer') from e", "RuntimeError: outer (chain.py, line 4)"),
        "syntax": ("x = = 1", "SyntaxError: invalid syntax (syntax.py, line 1)"),
        "bare": ("assert 1 > 2", "AssertionError (bare.py, line 1)"),
        "pool": (
            "import concurrent.futures as f\nif __name__ == '__main__':\n    f.ProcessPoolExecutor(1).submit(int, 'x').result()",
            "ValueError: invalid literal for int() with base 10: 'x' (pool.py, line 3)",
        ),
        "fault": ("import ctypes, faulthandler\nfaulthandler.enable()\nctypes.string_at(0)", "Fatal Python error: Segmentation fault (fault.py, line 3)"),
        "options": ("import argparse\nargparse.ArgumentParser().parse_args(['--x'])", "options.py: error: unrecognized arguments: --x"),
        "exit": ("import sys\nsys.exit('not today')", None),
    }.items():  # fmt: skip
        if "ExceptionGroup" in code and sys.version_info < (3, 11):
            continue
        script = tmp_path / f"{name}.py"
        script.write_text(code)
        done = subprocess.run([sys.executable, script], capture_output=True, cwd=tmp_path)
        expected = (error, True) if error else ("not today", False)
        assert cause(rendered(done.stderr)) == expected, done.stderr.decode()


def test_place_is_the_last_line_of_the_users_own_code() -> None:
    library = '  File "/opt/py/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    raise error\n'
    own = '  File "/home/me/study/results/3/train.py", line 4, in <module>\n    d = json.loads("{broken")\n'
    head, error = "Traceback (most recent call last):\n", f"ValueError: {'bad ' * 200}\n"
    text, _ = told(f"{head}{own}{library}{error}")
    assert text.startswith("ValueError: bad bad") and text.endswith("... (train.py, line 4)") and len(text) < 300
    assert told(f"{head}{library}ValueError: bad\n") == ("ValueError: bad", True)
    reporter = '  File "/src/trainees/hpo_trainees/report.py", line 9, in report\n    raise error\n'
    assert told(f"{head}{own}{reporter}TypeError: bad\n") == ("TypeError: bad (train.py, line 4)", True)


def test_killed_run_is_not_explained_by_an_error_that_it_survived() -> None:
    caught = TRACEBACK + "".join(f"epoch {i}: fine\n" for i in range(9))
    assert cause(caught.splitlines()) == ("ValueError: bad lr (train.py, line 8)", True)
    assert cause(caught.splitlines(), killed=True) == ("epoch 8: fine", False)


def test_why_reads_the_end_of_a_log_of_any_size_and_kind(tmp_path: Path) -> None:
    log = tmp_path / NAME
    assert why(str(tmp_path)) == ""
    for before in (
        b"",
        b"\xff\x00\x1b[2J" * 9,
        b"epoch\n" * 3_000_000,
        b" 45%|##  | 4/9\r" * 100_000,
        b"x" * 20_000_000,
    ):
        log.write_bytes(before + b"\n" + TRACEBACK.encode() + b"wandb: bye\n" * 300)
        begin = time.process_time()
        assert why(str(tmp_path)) == "ValueError: bad lr (train.py, line 8)"
        assert time.process_time() - begin < 60
    log.write_bytes(b"\xff\xfe\x00 3\n\n")
    assert why(str(tmp_path)) == "its output ends: \ufffd\ufffd\x00 3"
    log.write_bytes(b"a\n\n[... 300 bytes dropped ...]\n")
    assert why(str(tmp_path)) == "its output ends: a"


def test_frames_of_the_launcher_are_nobodys_business() -> None:
    here = Path(sys.modules["hpo_engine.contract.outputlog.logfiles"].__file__ or "").parents[2]
    stack = dedent(f"""\
        Fatal Python error: Aborted

        Current thread 0x00007f (most recent call first):
          File "/w/train.py", line 10 in <module>
          File "{here}/executors/local/launcher.py", line 294 in <module>
        Stack (most recent call last):
          File "{here}/executors/local/launcher.py", line 294, in <module>
            exec(_program.code, _program.names)
          File "/w/train.py", line 5, in <module>
            log("x")
        """)
    lines = rendered(stack.encode())
    assert not [line for line in lines if "launcher" in line or "_program" in line]
    assert len(lines) == 7 and cause(lines) == ("Fatal Python error: Aborted (train.py, line 10)", True)
