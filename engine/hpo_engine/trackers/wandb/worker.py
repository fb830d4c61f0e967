"""The process that writes runs of W&B: messages of `runs` come in on stdin, one per line, and each gets an answer.

When stdin ends it does what is left to do and finishes the runs that are open, however long that takes; what cannot be
uploaded stays in wandb's own files. Started as `python -m hpo_engine.trackers.wandb.worker FOLDER LIBRARY`.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

DONE = ".written"
"""The file with the keys of the messages that are written, one per line."""
LEFT = ".left.jsonl"
"""The file of messages that an engine had no time to hand over one by one."""
_FAREWELL_S = 600  # for the last uploads
_INIT_S = 60.0


class Runs:
    """The runs that are open. `folder`: where wandb keeps its files (in a folder `wandb` in it)."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: dict[str, tuple[Any, int]] = {}  # each with the index of the next row
        path = f"{folder}/wandb/{DONE}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._record = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - it stays open
        fcntl.flock(self._record, fcntl.LOCK_EX)  # the worker of an earlier engine may still be uploading
        self._record.seek(0)
        self._done = set(self._record.read().splitlines())

    def write(self, message: Mapping[str, Any]) -> None:
        """Raises what wandb raises."""
        key = message.get("key")
        if key in self._done:
            return
        name = message["run"]
        run, at = self._open.get(name) or self._begun(message["start"])
        self._open[name] = run, at
        for index, seconds, values in message["rows"]:
            if index >= at:
                run.log({k: _number(v) for k, v in values.items()} | ({"_timestamp": seconds} if seconds else {}))
                at = index + 1
        self._open[name] = run, at
        if message.get("summary"):
            run.summary.update(message["summary"])
        if message.get("end") is not None:
            del self._open[name]
            run.finish(exit_code=message["end"])
            self._record.write(f"{key}\n")
            self._record.flush()
            self._done.add(str(key))

    def finish(self) -> None:
        """Finishes what is open: its trial goes on, and another engine takes it up."""
        for run, _ in self._open.values():
            with suppress(Exception):
                run.finish()

    def _begun(self, start: Mapping[str, Any]) -> tuple[Any, int]:
        import wandb

        offline = start["mode"] == "offline"
        if offline:
            self._drop_half(start["id"])
        quiet = wandb.Settings(
            console="off", silent=True, init_timeout=_INIT_S, disable_git=True, disable_code=True,
            disable_job_creation=True, x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True,
            x_save_requirements=False,
        )  # fmt: skip
        resume: dict[str, Any] = {} if offline else {"resume": "allow"}
        run = wandb.init(**start, **resume, dir=self._folder, reinit="create_new", settings=quiet)
        if run.starting_step == 0:
            run.define_metric("step")
            run.define_metric("*", step_metric="step")
        return run, run.starting_step  # rows are counted as steps, so these are there already

    def _drop_half(self, run: str) -> None:
        """The file of a run that was not finished, or of a trial that was trained further: it is written as a whole."""
        for path in glob.glob(f"{glob.escape(self._folder)}/wandb/offline-run-*-{glob.escape(run)}"):
            if not os.path.islink(path) and not glob.glob(f"{glob.escape(path)}/*.synced"):
                shutil.rmtree(path, ignore_errors=True)


def _number(value: Any) -> Any:
    """`nan`, `inf` and `-inf` come as text, because JSON has no such numbers."""
    return float(value["float"]) if isinstance(value, dict) and list(value) == ["float"] else value


def serve(runs: Runs, lines: Iterable[str], answer: Any) -> None:
    """Writes each message, and answers with {} or {"error": why, "final": whether trying again is pointless}."""
    for line in lines:
        message = json.loads(line)
        if "left" in message:
            _write_left(runs, message["left"])
            continue
        try:
            runs.write(message)
            said: dict[str, Any] = {}
        except BaseException as error:
            said = {"error": f"{error}".strip().partition("\n")[0] or type(error).__name__, "final": _final(error)}
        with suppress(BrokenPipeError):  # the engine has ended, and this process goes on alone
            answer.write(f"{json.dumps(said)}\n")
            answer.flush()


def _write_left(runs: Runs, path: str) -> None:
    """What a server does not take is written offline: `wandb sync` can upload it later."""
    changes: dict[str, str] = {}
    with suppress(OSError), open(path, encoding="utf-8") as file:
        for line in file:
            message = json.loads(line)
            for start in ({}, {"mode": "offline"}):
                changes |= start
                message["start"] |= changes
                try:
                    runs.write(message)
                    break
                except Exception:  # noqa: S112 - nobody is there who could be told
                    continue
    with suppress(OSError):
        os.unlink(path)


def _final(error: BaseException) -> bool:
    """Whether the same message would fail again. A server that cannot be reached is another matter."""
    return not isinstance(error, (OSError, TimeoutError)) and type(error).__name__ not in ("CommError", "MailboxError")


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing that a library prints is an answer
    runs = Runs(sys.argv[1])
    serve(runs, sys.stdin, answer)
    signal.alarm(_FAREWELL_S)
    runs.finish()


if __name__ == "__main__":
    main()
