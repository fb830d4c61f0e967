"""Reads a trial's config.json and reports its metrics into val_dict_list.json; the same script also runs by hand.

    from hpo_trainees.report import config, report, should_stop

    settings = config({"learning_rate": 0.01})
    for epoch in range(1, 6):
        report(step=epoch, loss=train_one_epoch(settings["learning_rate"]))
        if should_stop():
            save_checkpoint()
            break

From a shell: `python -m hpo_trainees.report step=3 loss=0.31 accuracy=0.9` appends a row.
Standard library only, Python 3.8 or newer: this one file may be copied beside a script. Knows nothing of the engine.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

CONFIG_FILE = "config.json"
RESULT_FILE = "val_dict_list.json"
STOP_FILE = "stop.json"
STEP_KEYS = ("step", "steps", "epoch", "iteration")


def config(defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The trial's parameters: what config.json holds, over `defaults`.

    Looks in RESULT_DIR (where that is set) and then in the working directory. Without such a file a run by hand goes
    on with the defaults and says so once on stderr.

    Raises:
        FileNotFoundError: this is a trial (RESULT_DIR and SUBID are set), so defaults would silently be wrong.
        ValueError: the file is not a JSON object.
    """
    places = [_result_dir(), os.getcwd()]
    for path in (os.path.join(place, CONFIG_FILE) for place in places):
        try:
            with open(path, encoding="utf-8-sig") as file:
                found = json.load(file)
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        if isinstance(found, dict):
            return {**(defaults or {}), **found}
        raise ValueError(f"{path} must hold a JSON object, not {type(found).__name__}")
    if os.environ.get("RESULT_DIR") and os.environ.get("SUBID"):
        raise FileNotFoundError(f"no {CONFIG_FILE} in {' or '.join(dict.fromkeys(places))}")
    _note_once(f"note: no {CONFIG_FILE} in {os.getcwd()}; going on with the defaults")
    return dict(defaults or {})


def report(step: float | None = None, **metrics: Any) -> None:
    """Adds a row of metrics and rewrites val_dict_list.json, so that every reader sees a whole file.

    Values are numbers of any kind that `float()` takes: Python's, numpy's, torch's with one element; NaN too. A row
    without `step` is numbered by its place. The first report of a process begins a new file. Call it from one process
    (any thread), once an epoch rather than once a batch: every call writes the whole file, which takes 0.2 ms for the
    first row and under 1 ms for the ten-thousandth.

    Raises:
        TypeError, ValueError: there is no metric, or one is not a number; nothing was written.
    """
    _reporter.report(step, **metrics)


def should_stop() -> Stop | None:
    """Why this run is being ended, and how long it has; None: it is not. Call it often, an epoch or a batch: 2 us.

    From the first call on, SIGTERM does not end the process at once, so that it may finish its epoch, save a checkpoint
    and leave; what it reports by then counts. If it has not left at the deadline, it is killed. In a thread other than
    the main one, and for a process that has a handler of its own, SIGTERM stays as it is.
    """
    return _ending.look()


class Stop(NamedTuple):
    """`cause`: a word, such as "early", "user", "time_limit"; `reason`: the same in words. `deadline`: UTC seconds at
    which the run is killed; None: nobody has said so."""

    cause: str
    reason: str
    deadline: float | None

    @property
    def seconds_left(self) -> float:
        """Until the deadline; infinite without one."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.time())


class _Ending:
    """Whether this process is asked to end: by stop.json, which is there before SIGTERM is sent, or by SIGTERM alone,
    as by hand or by a cluster."""

    def __init__(self) -> None:
        self._began = time.time()
        self._armed = self._signalled = False
        self._found: Stop | None = None

    def look(self) -> Stop | None:
        if not self._armed and threading.current_thread() is threading.main_thread():
            self._armed = True
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._on_sigterm)
        if self._found is None:
            self._found = self._note()
        if self._found is None and self._signalled:
            return Stop("signal", "got SIGTERM", None)
        return self._found

    def _on_sigterm(self, number: int, frame: Any) -> None:
        self._signalled = True

    def _note(self) -> Stop | None:
        path = os.path.join(_result_dir(), STOP_FILE)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):  # (that is all that it costs nearly always)
                return None
            with open(path, encoding="utf-8") as file:
                note = json.load(file)
            found = Stop(str(note["cause"]), str(note["reason"]), float(note["deadline"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None  # not there, or a file of the script's own
        # One from before this process is that of an earlier run in this folder.
        return found if float(note.get("at", found.deadline)) >= self._began - 1.0 else None


_ending = _Ending()


class Reporter:
    """The rows of this process; `report` above is the method of the shared instance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._place: str | None = None
        self._folder = ""
        self._text = bytearray()  # the file without its last bracket: a report costs one copy of it, no new encoding

    def report(self, /, step: float | None = None, **metrics: Any) -> None:
        row = _encoded(step, metrics)
        with self._lock:
            place = os.environ.get("RESULT_DIR", "")
            if place != self._place:  # the first report, or another trial in the same process
                # The folder is settled here: a script that changes directory later still has one file.
                self._place, self._folder, self._text = place, os.path.abspath(_result_dir()), bytearray()
            self._text += (b",\n " if self._text else b"[") + row.encode()
            _write(self._folder, self._text)


_reporter = Reporter()


def main(arguments: Sequence[str] | None = None) -> int:
    """`name=value ...` appends one row to the list that is there; `--fresh` in front begins a new list."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    fresh = words[:1] == ["--fresh"]
    try:
        metrics = dict(_pair(word) for word in words[fresh:])
        row = _encoded(metrics.pop("step", None), metrics)
        folder = _result_dir()
        with _locked(folder):
            rows = [*([] if fresh else _rows_in(folder)), row]
            _write(folder, ("[" + ",\n ".join(rows)).encode())
    except (OSError, TypeError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        print("usage: python -m hpo_trainees.report [--fresh] [step=N] name=value ...", file=sys.stderr)
        return 2
    return 0


def _result_dir() -> str:
    return os.environ.get("RESULT_DIR") or os.getcwd()


def _encoded(step: Any, metrics: Mapping[str, Any]) -> str:
    """One row as JSON text; Python's NaN and Infinity tokens are part of the format."""
    row = {} if step is None else {"step": _step(step)}
    for name, value in metrics.items():  # (`epoch` or `steps` may be what the study minimizes)
        row[name] = _step(value) if name in STEP_KEYS else _number(name, value)
    if not metrics:
        raise ValueError("a row needs at least one metric, such as loss=0.31")
    return json.dumps(row)  # ASCII: the same in every locale


def _step(value: Any) -> float:
    number = _number("step", value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _number(name: str, value: Any) -> float:
    value = value.detach() if hasattr(value, "detach") else value  # torch warns about tensors that want a gradient
    try:
        with contextlib.suppress(TypeError, ValueError):
            whole = int(value) if isinstance(value, str) else operator.index(value)
            if abs(whole) > 1 << 53:  # a float would not be the same number
                return whole
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be one number, not {value!r}"[:200]) from None


def _write(folder: str, text: bytes | bytearray) -> None:
    """The list (and its last bracket), aside and then renamed.

    Not synced to the disk: a machine that goes down takes the training with it, and that runs again from its start.
    """
    path = os.path.join(folder, RESULT_FILE)
    aside = f"{path}.{os.getpid()}.tmp"
    try:
        with open(aside, "wb") as file:
            file.writelines((text, b"]\n"))
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _rows_in(folder: str) -> list[str]:
    path = os.path.join(folder, RESULT_FILE)
    try:
        with open(path, encoding="utf-8-sig") as file:
            found = json.load(file)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); remove it, or begin anew with --fresh") from None
    return [json.dumps(row) for row in (found if isinstance(found, list) else [found])]


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Holds the folder, so that two commands of one script that report at the same moment lose no row."""
    try:
        import fcntl
    except ImportError:  # not on this system: a script's commands normally run one after the other
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals):
        raise ValueError(f'"{word}" is not name=value')
    return name, value


_noted: set[str] = set()


def _note_once(text: str) -> None:
    if text not in _noted:
        _noted.add(text)
        print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
