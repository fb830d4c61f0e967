"""The process in which a search plugin runs, and its keeper. One file, standard library only, Python 3.7 or newer.

It is run by whatever interpreter the plugin wants, which need not have this package:

    python runner.py REQUESTS REPLIES OUTPUT

REQUESTS and REPLIES are descriptors of pipes from and to the engine, OUTPUT one of the file for what the plugin prints.
The first process is the keeper: it forks the one in which the plugin runs, writes that one's output to the file, up to
a limit, and ends it, with all that it has started, when the engine has closed the pipe or is gone.

A message is two lengths (four bytes each, the highest first), a JSON object, and bytes that only the plugin's process
understands. Each request gets one reply.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import logging
import os
import pickle
import random
import select
import signal
import struct
import sys
import time
import traceback
import types
from typing import Any, Dict  # noqa: UP035 (Python 3.7)

Request = Dict[str, Any]  # noqa: UP006 (Python 3.7)
OUTPUT_LIMIT = 16 << 20  # bytes of output that one process may leave
LENGTHS = struct.Struct(">II")
GRACE_S = 1.0  # to end by itself
_SUBREAPER, _DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl(2)
_LEVELS = {"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}


# -- the keeper --------------------------------------------------------------------------------------------------------


def main() -> None:
    requests, replies, output = map(int, sys.argv[1:4])
    with contextlib.suppress(ValueError):
        sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
    _prctl(_SUBREAPER, 1)
    keeper = os.getpid()
    printed, prints = os.pipe()
    plugin = os.fork()
    if plugin == 0:
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        os.close(printed)
        _become_plugin(prints, output)
        serve(requests, replies)
        sys.exit(0)
    os.close(prints)
    os.close(replies)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    sys.exit(_keep(plugin, requests, printed, output))


class _Enough(Exception):
    """The engine wants the plugin ended now."""


def _keep(plugin: int, requests: int, printed: int, output: int) -> int:
    """Waits for the plugin's end, or ends it. Returns its exit code, or dies by the signal that it died by."""
    signal.signal(signal.SIGTERM, _raise_enough)
    status = None
    try:
        status = _watch(plugin, requests, printed, _Capped(output))
    except _Enough:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended = _end_all()
    status = ended.get(plugin, 0) if status is None else status
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.WEXITSTATUS(status)


def _watch(plugin: int, requests: int, printed: int, capped: _Capped) -> int:
    """Pumps output until the plugin's process has ended; a second after the engine has gone it is ended (_Enough)."""
    poller = select.poll()
    poller.register(printed, select.POLLIN)
    poller.register(requests, 0)  # only whether the engine's end is closed
    gone_at = None
    while True:
        for number, event in poller.poll(100):
            if number == printed:
                data = os.read(printed, 1 << 16)
                capped.write(data)
                if not data:
                    poller.unregister(printed)
            elif event & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                gone_at = time.monotonic()
                poller.unregister(requests)
        pid, status = os.waitpid(plugin, os.WNOHANG)
        if pid:
            while _ready(printed) and capped.write(os.read(printed, 1 << 16)):
                pass
            return status
        if gone_at is not None and time.monotonic() > gone_at + GRACE_S:
            raise _Enough


def _ready(number: int) -> bool:
    poller = select.poll()
    poller.register(number, select.POLLIN)
    return any(event & select.POLLIN for _, event in poller.poll(0))


class _Capped:
    """Writes to the output file until the limit, then says so and drops the rest."""

    def __init__(self, output: int) -> None:
        self._output, self._left = output, OUTPUT_LIMIT

    def write(self, data: bytes) -> bool:
        """Returns whether there was data."""
        if self._left > 0:
            with contextlib.suppress(OSError):  # a full disk must not end the search
                os.write(self._output, data[: self._left])
                if self._left <= len(data):
                    os.write(self._output, b"\n[more output is dropped]\n")
        self._left -= len(data)
        return bool(data)


def _end_all() -> dict[int, int]:
    """Kills all that is below this process. Returns the status of each."""
    ended: dict[int, int] = {}
    while True:
        for pid in _children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return ended
        ended[pid] = status


def _children() -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found


def _raise_enough(number: int, frame: object) -> None:
    raise _Enough


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


# -- the plugin's process ----------------------------------------------------------------------------------------------


def _become_plugin(prints: int, output: int) -> None:
    os.dup2(prints, 1)
    os.dup2(prints, 2)
    os.close(prints)
    os.close(output)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = open(number, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def serve(requests: int, replies: int) -> None:
    """Answers requests until the engine closes the pipe."""
    for number in (requests, replies):
        os.set_inheritable(number, False)  # not for programs that the plugin starts
    host, folder = None, ""
    while True:
        request, blob = _receive(requests)
        if request is None:
            return
        try:
            if request["do"] == "make":
                folder = request.get("folder", "")
                host = _host(request, blob)
                answer, state = host.about(), b""
            else:
                answer, state = getattr(host, "do_" + request["do"])(request, blob)
        except BaseException as error:  # SystemExit, too: the engine decides what becomes of the study
            traceback.print_exc()
            answer, state = {"error": _described(error, folder)}, b""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        _send(replies, answer, state)


def _host(request: Request, blob: bytes) -> Any:
    if request["kind"] == "wmla":
        return _Wmla(request)
    if request["kind"] == "load":
        return _Loaded(request)
    module, _, name = request["kind"].partition(":")
    return getattr(importlib.import_module(module), name)(blob)


def _receive(number: int) -> tuple[Request | None, bytes]:
    head = _read(number, LENGTHS.size)
    if head is None:
        return None, b""
    first, second = LENGTHS.unpack(head)
    text, blob = _read(number, first), _read(number, second)
    if text is None or blob is None:
        return None, b""
    return json.loads(text.decode("utf-8")), blob


def _read(number: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = os.read(number, min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)


def _send(number: int, answer: Request, blob: bytes) -> None:
    text = json.dumps(answer).encode("utf-8")
    data = memoryview(LENGTHS.pack(len(text), len(blob)) + text + blob)
    while data:
        data = data[os.write(number, data) :]


def _described(error: BaseException, folder: str) -> str:
    """As in "ValueError: no such thing (optimizer.py:12, in search: raise ValueError(...))"."""
    if isinstance(error, SystemExit):
        text = f"it ended its process (exit {error.code})"
    else:
        text = " ".join("".join(traceback.format_exception_only(type(error), error)).split())[:500]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if folder and frame.filename.startswith(folder)] or [
        frame for frame in frames if frame.filename != __file__
    ]
    if not own or isinstance(error, SyntaxError):
        return text
    last = own[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}, in {last.name}"
    return "{} ({}{})".format(text, where, ": " + last.line if last.line else "")


# -- plugins written for WMLA ------------------------------------------------------------------------------------------


class _Loaded:
    """The class PluginOptimizer of an `optimizer.py`."""

    def __init__(self, request: Request) -> None:
        level = str(request.get("log_level") or "INFO").upper()
        _lend_modules(_LEVELS.get(level, level))
        seed = request.get("seed")
        if seed is not None:
            random.seed(seed)
        sys.path.insert(0, request["folder"])
        self.cls = _class(os.path.join(request["folder"], request.get("file") or "optimizer.py"), seed)

    def about(self) -> Request:
        return {}


class _Wmla(_Loaded):
    """A plugin, made of that class."""

    def __init__(self, request: Request) -> None:
        _Loaded.__init__(self, request)
        self._plugin = self.cls(request["name"], request["hyper_parameters"], **request["options"])
        if not callable(getattr(self._plugin, "search", None)):
            raise TypeError("PluginOptimizer has no method search(number_samples, last_exp_results)")
        self._keeps_state = _keeps_state(self._plugin)

    def about(self) -> Request:
        return {"keeps_state": self._keeps_state}

    def do_restore(self, request: Request, blob: bytes) -> tuple[Request, bytes]:
        self._plugin.set_state(pickle.loads(blob))  # noqa: S301 (its own, in its own process)
        return {}, b""

    def do_search(self, request: Request, blob: bytes) -> tuple[Request, bytes]:
        found = self._plugin.search(request["count"], request["results"])
        if found is None:
            found = []
        if isinstance(found, (str, bytes, dict)) or not hasattr(found, "__iter__"):
            raise TypeError(f"search returned {_kind(found)}, not a list")
        return {"answer": [_configuration(each) for each in found]}, self._state()

    def _state(self) -> bytes:
        if not self._keeps_state:
            return b""
        try:
            state = self._plugin.get_state()
            return b"" if state is None else pickle.dumps(state)
        except Exception:  # then its calls are repeated after a restart
            traceback.print_exc()
            return b""


def _class(path: str, seed: int | None) -> type[Any]:
    name = os.path.basename(path)[:-3]
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no file {path}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if "numpy" in sys.modules and seed is not None:
        sys.modules["numpy"].random.seed(seed % (1 << 32))  # for plugins that draw without a seed of their own
    if not isinstance(getattr(module, "PluginOptimizer", None), type):
        raise AttributeError(f"{os.path.basename(path)} has no class PluginOptimizer")
    found: type[Any] = module.PluginOptimizer
    return found


def _keeps_state(plugin: object) -> bool:
    base = sys.modules["plugins.core.base_plugin_opt"].BasePluginOptimizer
    get, put = getattr(type(plugin), "get_state", None), getattr(type(plugin), "set_state", None)
    return callable(get) and callable(put) and get is not base.get_state


def _configuration(found: Any) -> dict[str, Any]:
    if not hasattr(found, "items"):
        raise TypeError(f"search returned a list with {_kind(found)} in it, not a dict of values")
    return {str(name): _plain(value, name) for name, value in found.items()}


def _plain(value: Any, name: object) -> Any:
    """The value in Python's own types: numpy's scalars have `item`."""
    if hasattr(value, "item") and not isinstance(value, (int, float, str)):
        value = value.item()
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(each, name) for each in value]
    try:
        return float(value)  # Decimal, Fraction
    except Exception:
        raise TypeError(f"search proposed {_kind(value)} for {name}") from None


def _kind(value: object) -> str:
    name = "None" if value is None else type(value).__name__
    return name if value is None else ("an " if name[0].lower() in "aeiou" else "a ") + name


def _lend_modules(level: str) -> None:
    """Makes `plugins.core.base_plugin_opt` and `plugins.core.logger` importable, in this process only."""

    class BasePluginOptimizer:
        def __init__(self, name: Any = None, hyper_parameters: Any = None, **kwargs: Any) -> None:
            self.name = name
            self.hyper_parameters = hyper_parameters
            self.kwargs = kwargs

        def search(self, number_samples: int, last_exp_results: Any = None) -> Any:
            raise NotImplementedError("a search plugin has a method search(number_samples, last_exp_results)")

        def get_state(self) -> Any:
            return None

        def set_state(self, state_dict: Any) -> None:
            pass

    logger = logging.getLogger("plugins")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.handlers, logger.propagate = [handler], False
    try:
        logger.setLevel(level)
    except ValueError:
        logger.setLevel(logging.INFO)
    made = {}
    for name in ("plugins", "plugins.core", "plugins.core.base_plugin_opt", "plugins.core.logger"):
        made[name] = sys.modules[name] = types.ModuleType(name)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(made[parent], last, made[name])
    for name in ("plugins", "plugins.core"):
        made[name].__path__ = []
    vars(made["plugins.core.base_plugin_opt"])["BasePluginOptimizer"] = BasePluginOptimizer
    vars(made["plugins.core.logger"])["logger"] = logger


if __name__ == "__main__":
    main()
