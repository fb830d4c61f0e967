"""Imports what a script needs into its launcher, and finds out whether forks of it are as good as new interpreters.

Runs in the launcher, under the script's own interpreter: standard library only. Imports and nothing else: a launcher
that has computed anything with several threads would hang its forks.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import signal
import sys
import time

from hpo_engine.executors.preload import forked, privatefiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

OLDEST = (3, 9)  # the oldest Python that can be forked: earlier ones give scripts a relative __file__
_HARMLESS_FILES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_PROBES = 3
# Arrow's allocator cleans up in a thread of its own, unless it is told not to before it is loaded. pandas imports Arrow
# if it is there (MLflow brings it), and scikit-learn imports pandas: none of them could be forked.
_QUIET = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
_ENDING_S = 0.5  # how long a thread may take that is about to end

_own_files: set[int] = set()  # the launcher's descriptors, not an import's


class NotForkable(Exception):  # noqa: N818
    """Forks of this process would not be as good as new interpreters; says why."""


def begin() -> None:
    """Before any import: signals as in a process that was started with nothing ignored and nothing blocked."""
    _own_files.update(int(name) for name in os.listdir("/proc/self/fd"))
    for number in range(1, signal.NSIG):
        if number in (signal.SIGPIPE, getattr(signal, "SIGXFSZ", 0)):
            continue  # Python ignores these itself
        try:
            if signal.getsignal(number) is signal.SIG_IGN:
                own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, own)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def preload(order: dict[str, Any], bare: frozenset[str], announce: Callable[[str], None]) -> dict[str, Any]:
    """Does the imports. `order`: modules (names, or None: those that the script imports), script, module, folder, argv
    (of the command), per_trial (variables that differ per trial); `bare`: names of the modules that each
    interpreter loads before its script; `announce` is called with each module before its import.

    Returns packages (top-level names that are not the standard library's), seconds, output (what the imports printed),
    environment (the variables that they set, with None for those that they removed).

    Raises:
        NotForkable
    """
    if sys.version_info < OLDEST:
        raise NotForkable(f"Python {sys.version_info[0]}.{sys.version_info[1]} is too old")
    if order["modules"] is None:
        found = _in_a_fork(lambda: _read(order))
    else:
        found = {"steps": [["import", name, []] for name in order["modules"]], "quiet": False, "moved": False}
    forked.forget("hpo_engine")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)  # (in this process alone: a fork gets its trial's variables)
    begin = time.perf_counter()
    output = _Output()
    packages: list[str] = []
    environment: dict[str, str | None] = {}
    ours, here = forked.pretend(order), os.getcwd()
    try:
        for kind, name, value in found["steps"]:
            if kind == "set":
                os.environ[name] = value
                continue
            top = name.partition(".")[0]
            kept = dict(os.environ)
            announce(name)
            with _watched(top, order["per_trial"]), privatefiles.FileWatch() as watch:
                _import(name, value, "preload" if order["modules"] is not None else None)
            if problem := watch.problem():
                raise NotForkable(f"import {top} {problem}")
            _check(top, here)
            if watch.doubt() and (problem := watch.verdict(_interpreter(order), sys.argv, name, value)):
                raise NotForkable(f"import {top} {problem}")
            environment.update(_changed(kept))
            if top not in packages and top not in getattr(sys, "stdlib_module_names", ()):
                packages.append(top)
    finally:
        text = output.end()
        sys.modules["__main__"] = ours
    if forked.has_own_folder():
        _check_hidden(_folder(order), bare)
    if found["moved"]:
        for folder, _, _ in os.walk(order["folder"]):
            _check_hidden(folder, bare)
    return {
        "packages": packages,
        "seconds": time.perf_counter() - begin,
        "output": "" if found["quiet"] else text.decode("latin-1"),
        "environment": environment,
    }


@contextlib.contextmanager
def not_without(socket: int) -> Iterator[None]:
    """Meanwhile the end of the other side of `socket`, which must not send anything, ends this process by SIGIO: an
    import that never ends must not stay when its engine has gone."""
    flags = fcntl.fcntl(socket, fcntl.F_GETFL)
    fcntl.fcntl(socket, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(socket, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(socket, fcntl.F_SETFL, flags)


def fork_seconds() -> float:
    """How long a fork takes, and what it copies at once."""
    times = []
    for _ in range(_PROBES):
        begin = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        times.append(time.perf_counter() - begin)
    return sorted(times)[_PROBES // 2]


def end_as_an_interpreter(files: tuple[int, ...]) -> int:
    """The pid of a fork that ends in the long way, out of others' way; its processor time is what is wanted. 0: there
    can be none at present.

    Functions that imports have registered for the end are not called: no trial has ended.
    """
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid:
        return pid
    os.nice(19)
    atexit._clear()
    for fd in files:
        os.close(fd)
    for fd in (1, 2):
        os.dup2(os.open("/dev/null", os.O_WRONLY), fd)
    raise SystemExit(0)


def _import(name: str, names: list[str], asked_by: str | None) -> None:
    try:
        __import__(name, {}, {}, names)
    except ModuleNotFoundError as error:
        if asked_by is not None:
            raise NotForkable(f"{error}, and {asked_by} asks for it") from None
        if error.name is None or error.name.partition(".")[0] == name.partition(".")[0]:
            raise NotForkable(f"import {name} fails: {error}") from None
        raise NotForkable(f"import {name} fails: it needs {error.name}") from None
    except BaseException as error:
        raise NotForkable(f"import {name} raises {type(error).__name__}: {error}") from None


@contextlib.contextmanager
def _watched(top: str, per_trial: list[str]) -> Iterator[None]:
    """Raises NotForkable if an import looks at variables that each trial has for itself."""
    asked: set[str] = set()
    encode: Any = os.environ.encodekey  # called with each name that is asked for

    def encode_and_note(name: str) -> Any:
        asked.add(name)
        return encode(name)

    os.environ.encodekey = encode_and_note
    try:
        yield
    finally:
        os.environ.encodekey = encode
    for name in sorted(asked & set(per_trial) - set(os.environ)):  # (who looks at all there are means none of them)
        raise NotForkable(f"import {top} looks at {name}")


def _interpreter(order: dict[str, Any]) -> list[str]:
    """The interpreter of the command and its options."""
    head: list[str] = order["argv"][: order["words"] - (order["module"] is not None)]
    return head


def _check(top: str, here: str) -> None:
    """Raises NotForkable if the last import has left something that forks could not have for themselves."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        raise NotForkable(f"import {top} ignores SIGCHLD")
    if _threads() > 1:
        # Some libraries take their threads down before a fork and start them anew when they need them.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        if not _alone_soon():
            raise NotForkable(f"import {top} starts a thread")
    try:
        os.waitpid(-1, os.WNOHANG)
        raise NotForkable(f"import {top} starts a process")
    except ChildProcessError:
        pass
    if os.getcwd() != here:
        raise NotForkable(f"import {top} changes the working directory")
    if any(signal.getitimer(which)[0] for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)):
        raise NotForkable(f"import {top} sets a timer")
    opened = sorted(set(_open_files().values()) - set(_HARMLESS_FILES))
    for path in opened:
        if path.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri")):
            raise NotForkable(f"import {top} opens the GPU ({path})")
        raise NotForkable(f"import {top} keeps {path} open")
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and hasattr(cuda, "is_initialized") and cuda.is_initialized():
        raise NotForkable(f"import {top} initialises CUDA")


def _check_hidden(folder: str, bare: frozenset[str]) -> None:
    """Raises NotForkable if a new interpreter would find one of this process's modules in that folder of the script."""
    known = {name for name in sys.modules if "." not in name} - bare - set(sys.builtin_module_names)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name, _, suffix = entry.name.partition(".")
        is_module = suffix in ("py", "pyc") or entry.name.endswith(".so") or (not suffix and _is_package(entry.path))
        if name in known and is_module:
            raise NotForkable(f"{entry.name} in {os.path.basename(folder)}/ hides the module {name} of others")


def _is_package(path: str) -> bool:
    return any(os.path.isfile(f"{path}/__init__.{suffix}") for suffix in ("py", "pyc"))


def _changed(before: dict[str, str]) -> dict[str, str | None]:
    """What is different in the environment now."""
    names = before.keys() | os.environ.keys()
    return {name: os.environ.get(name) for name in names if before.get(name) != os.environ.get(name)}


def opened() -> set[int]:
    """Descriptors that the imports keep."""
    return set(_open_files())


def _open_files() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in _own_files:
            try:
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:  # the listing's own
                pass
    return found


def _alone_soon() -> bool:
    """Whether no other thread is left, or is on its way out (a timer that was cancelled, a download that is done)."""
    deadline = time.monotonic() + _ENDING_S
    while _threads() > 1:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _folder(order: dict[str, Any]) -> str:
    """What the script finds its own modules in."""
    folder: str = os.path.dirname(os.path.realpath(order["script"])) if order["script"] else order["folder"]
    return folder


def _read(order: dict[str, Any]) -> dict[str, Any]:
    from hpo_engine.executors.preload import imports

    folder = _folder(order)
    sys.path.insert(0, folder)
    if order["script"]:
        found = imports.of_script(os.path.realpath(order["script"]), order["per_trial"])
    else:
        found = imports.of_module(order["module"], folder, order["per_trial"])
    return {"steps": found.steps, "quiet": found.quiet, "moved": found.moved}


def _in_a_fork(work: Any) -> Any:
    """What `work` returns; done in a fork, so that this process has not done it."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            try:
                text = json.dumps([True, work()])
            except Exception as error:
                text = json.dumps([False, f"{type(error).__name__}: {error}"])
            with open(write_end, "w") as out:
                out.write(text)
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end) as text_in:
        answer = text_in.read()
    os.waitpid(pid, 0)
    good, value = json.loads(answer) if answer else (False, "its reader died")
    if not good:
        raise NotForkable(f"its imports cannot be read ({value})")
    return value


class _Output:
    """What is printed from when it is made until `end`."""

    def __init__(self) -> None:
        self._file = os.memfd_create("output")
        self._kept = [os.dup(1), os.dup(2)]
        _own_files.update((self._file, *self._kept))
        for fd in (1, 2):
            os.dup2(self._file, fd)

    def end(self) -> bytes:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        text = os.pread(self._file, 1 << 20, 0)
        for fd, kept in zip((1, 2), self._kept):  # noqa: B905  (Python 3.9)
            os.dup2(kept, fd)
            os.close(kept)
        os.close(self._file)
        _own_files.difference_update((self._file, *self._kept))
        return text
