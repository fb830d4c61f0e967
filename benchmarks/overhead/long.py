"""A study of thousands of trials, and one of many that report: what grows, what the engine takes."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.overhead.loops import SCRIPTS, STUDY

REPORTER = """\
import json, os, time
rows = []
for step in range(1, {seconds} + 1):
    time.sleep(1)
    rows.append({{"step": step, "loss": 1 / step}})
    with open("val_dict_list.json.new", "w") as file:
        json.dump(rows, file)
    os.replace("val_dict_list.json.new", "val_dict_list.json")
"""


def growth(folder: Path, trials: int) -> dict[str, Any]:
    """Milliseconds a trial of the first and the last hundred; the engine's memory at the end; seconds of the verbs."""
    process = _submit(folder, (SCRIPTS / "noop.py").read_text(), trials, parallel=2)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory_kb(process.pid, "VmRSS"))
        time.sleep(0.2)
    from hpo_engine import studies
    from hpo_engine.contract.paths import StudyPaths

    history = studies.read(StudyPaths(str(folder / "runs" / "study")))
    ends = sorted(t.ended_at for t in history.trials if t.ended_at is not None)
    first, last = ends[100] - ends[0], ends[-1] - ends[-101]
    out: dict[str, Any] = {
        "trials": len(ends),
        "first_ms": 10 * first,
        "last_ms": 10 * last,
        "ratio": last / first,
        "engine_mb": peak / 1024,
    }
    for verb in (["list"], ["show", "study"], ["best", "study"]):
        took = []
        for _ in range(3):
            begin = time.perf_counter()
            argv = [sys.executable, "-m", "hpo_engine.cli", *verb, "--root", str(folder / "runs")]
            subprocess.run(argv, env=_env(), check=True, stdout=subprocess.DEVNULL)
            took.append(time.perf_counter() - begin)
        out[f"{verb[0]}_s"] = statistics.median(took)
    return out


def watching(folder: Path, trials: int, seconds: int) -> dict[str, float]:
    """Share of one core that the engine and its launcher take while so many trials run and report each second."""
    process = _submit(folder, REPORTER.format(seconds=seconds + 25), trials, parallel=trials)
    deadline = time.monotonic() + 60
    while len(list((folder / "runs" / "study" / "results").glob("*/val_dict_list.json"))) < trials:
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit("the trials do not start")
        time.sleep(0.2)
    time.sleep(2)
    pids = [process.pid, *_children(process.pid)]
    before, begin = sum(map(_cpu_s, pids)), time.monotonic()
    time.sleep(seconds)
    share = (sum(map(_cpu_s, pids)) - before) / (time.monotonic() - begin)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    return {"trials": trials, "percent": 100 * share}


def memory(folder: Path, script: str, preload: str) -> dict[str, float]:
    """Proportional set size (MB) of a running trial, its shim, and the launcher, three trials at a time."""
    text = (SCRIPTS / f"{script}.py").read_text()
    waiting = '\n    open("ready", "w").close()\n    import time\n    time.sleep(300)\n'
    text = text.replace("    main()\n", f"    main(){waiting}")
    process = _submit(folder, text, 3, parallel=3, preload=preload)
    results = folder / "runs" / "study" / "results"
    deadline = time.monotonic() + 180
    while len(list(results.glob("*/ready"))) < 3:
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit("the trials do not start")
        time.sleep(0.2)
    time.sleep(1)
    launchers = _children(process.pid)
    shims = [pid for launcher in launchers for pid in _children(launcher)]
    scripts = [pid for shim in shims for pid in _children(shim)]
    out = {
        "trial_mb": statistics.median(_pss_mb(pid) for pid in scripts),
        "launcher_mb": max(_pss_mb(pid) for pid in launchers),
        "all_mb": sum(map(_pss_mb, [*launchers, *shims, *scripts])),
    }
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    return out


def _submit(folder: Path, script: str, trials: int, parallel: int, preload: str = "auto") -> subprocess.Popen[bytes]:
    (folder / "train.py").write_text(script)
    (folder / "algo.yaml").write_text(
        STUDY.format(python=json.dumps(sys.executable), trials=trials, parallel=parallel, preload=preload)
    )
    argv = [
        sys.executable,
        "-m",
        "hpo_engine.cli",
        "submit",
        "algo.yaml",
        "--name",
        "study",
        "--root",
        "runs",
        "--quiet",
    ]
    return subprocess.Popen(argv, cwd=folder, env=_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.getcwd()}


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_kb(pid: int, name: str) -> int:
    try:
        found = re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _pss_mb(pid: int) -> float:
    found = re.search(r"Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(found[1]) / 1024 if found else 0.0
