"""A fork of a launcher becomes a Python program: the script finds what a new interpreter would have given it.

Runs in the fork, under the script's own interpreter: standard library only. What a script may look at is listed in
tests/support/likeness, where each of many small scripts is run both ways.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import contextlib
import ctypes
import gc
import io
import os
import signal
import sys
import weakref
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from hpo_engine.executors.preload.title import ProcessTitle

_FLUSH_FAILED = 120  # CPython's exit status if standard output cannot be flushed

_flush_c = ctypes.CDLL(None).fflush


class ForkedScript:
    """The script of `order` as `__main__`, in this process. Made at the launcher's outermost level, which then runs

        exec(script.code, script.names)   # its exceptions go to `failed`
        script.end()                     # does not return

    so that a single frame lies below the script's own.

    Args:
        order: argv (of the command), env, script (see `LauncherSpec.script`).
        title: the process's.
        known: names of the modules that the launcher had imported.
        changes: what the imports did to the environment, None for a variable that they removed.
        collecting: whether the garbage collector was on after the imports.
    """

    def __init__(
        self,
        order: dict[str, Any],
        title: ProcessTitle,
        known: frozenset[str],
        changes: dict[str, str | None],
        collecting: bool,
    ) -> None:
        self._known, self._status, self._interrupted = known, 0, False
        script, argv = order["script"], order["argv"]
        self._is_file = script["module"] is None
        title.set(argv, _set_environment(order["env"]))
        _change_environment(changes)
        _as_if_imported_now()
        if collecting:
            gc.enable()
        main = ModuleType("__main__")
        self.names = main.__dict__
        sys.modules["__main__"] = main
        _lead(script["folder"], argv)
        here = has_own_folder()
        if script["module"] is not None:
            if here:
                sys.path.insert(0, os.getcwd())
            self._skip = 2
            _fill(main, None)
            run = f"__import__('runpy')._run_module_as_main({script['module']!r})"
            self.code = compile(run, "<string>", "exec", dont_inherit=True)
            self.names = {}
            return
        self._skip = 1
        path = os.path.join(os.getcwd(), argv[script["words"]])  # ".." stays: behind a link only the kernel knows it
        if here:
            sys.path.insert(0, _folder_of(path))
        _fill(main, path)
        self.code = self._compiled(path, argv[0])

    def _compiled(self, path: str, python: str) -> Any:
        try:
            with open(path, "rb") as file:
                text = file.read()
            if b"\0" in text:
                _start_anew()  # an archive, or compiled
        except OSError as error:
            print(f"{python}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
            self._status = 2
            self.end()
        try:
            return compile(text, path, "exec", dont_inherit=True)
        except BaseException as error:
            if isinstance(error, SyntaxError) and not _is_utf8(text):
                _start_anew()  # its message differs
            self._skip = 1_000  # no frame of it is the script's
            self.failed(error)
            self.end()

    def failed(self, error: BaseException) -> None:
        """What the interpreter does with an exception that nobody caught."""
        self._flush_after_file()
        if isinstance(error, SystemExit):
            self._status = _status_of(error.code)
            return
        traceback = error.__traceback__
        for _ in range(self._skip):
            traceback = None if traceback is None else traceback.tb_next
        error = error.with_traceback(traceback)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, traceback
        sys.last_exc = error  # type: ignore[attr-defined]
        try:
            sys.excepthook(type(error), error, traceback)
        except SystemExit as leaving:
            self._status = _status_of(leaving.code)
            return
        except BaseException as second:
            trace = second.__traceback__.tb_next if second.__traceback__ else None
            second.__context__ = None if second.__context__ is error else second.__context__
            print("Error in sys.excepthook:", file=sys.stderr)
            sys.__excepthook__(type(second), second.with_traceback(trace), trace)
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(type(error), error, traceback)
        self._status, self._interrupted = 1, isinstance(error, KeyboardInterrupt)

    def end(self) -> None:
        """As the interpreter ends: threads, exit functions, the script's own objects; not what was imported before."""
        self._flush_after_file()
        try:
            threading = sys.modules.get("threading")
            if threading is not None:
                threading._shutdown()
        except BaseException as error:
            if sys.version_info < (3, 13):
                print(f"Exception ignored in: {threading!r}", file=sys.stderr)
            traceback = error.__traceback__ and error.__traceback__.tb_next  # the first frame is this one
            sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        try:
            atexit._run_exitfuncs()
        except BaseException:
            pass  # it has reported it
        broken = _flush((sys.stdout, sys.stderr))
        if broken is not None:
            print(f"Exception ignored in: {sys.stdout!r}\n{type(broken).__name__}: {broken}", file=sys.stderr)
        self.names = {}
        with contextlib.suppress(BaseException):  # the exit status is settled
            _end_handlers()
            self._drop_modules()
        broken = _flush((sys.stdout, sys.stderr)) or broken
        _flush_c(None)  # what C code has printed
        if self._interrupted:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(self._status if broken is None or self._status else _FLUSH_FAILED)

    def _flush_after_file(self) -> None:
        if self._is_file:  # the interpreter does that after a file, and not after a module
            _flush((sys.stderr, sys.stdout))

    def _drop_modules(self) -> None:
        """Objects of the script go: files are written out, `__del__` is called."""
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            if hasattr(sys, name):
                setattr(sys, name, None)
        for thing in gc.get_objects():  # those of the script; the collector might close a file under its buffer
            # By type: asking a dead weakref.proxy for its class raises, and asking any other object may run its code.
            if issubclass(type(thing), (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)):
                with contextlib.suppress(Exception):
                    thing.flush()
        own = [name for name in sys.modules if name not in self._known or name == "__main__"]
        left = []
        for name in own:
            module = sys.modules.pop(name)
            if type(module) is ModuleType:
                left.append(weakref.ref(module))
            del module
        gc.collect()
        for reference in reversed(left):
            survivor = reference()
            if survivor is not None:
                _clear(survivor.__dict__)
        gc.collect()


def _end_handlers() -> None:
    """Objects that go at the end are not interrupted by handlers any more."""
    for number in range(1, _signal.NSIG):
        if callable(_signal.getsignal(number)):
            _signal.signal(number, _signal.SIG_DFL)


def _start_anew() -> NoReturn:
    """The command in a new interpreter, in place of this one."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is executed would inherit that
        signal.signal(number, signal.SIG_DFL)
    os.execve(sys.orig_argv[0], sys.orig_argv, os.environ)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def forget(name: str) -> None:
    """Takes the package `name` out of sys.modules: a script that imports it means the one of its own environment."""
    for ours in [n for n in sys.modules if n == name or n.startswith(f"{name}.")]:
        del sys.modules[ours]


def pretend(order: dict[str, Any]) -> ModuleType:
    """Arguments (to stay) and `__main__` are the script's from now on; returns the `__main__` that was."""
    ours = sys.modules["__main__"]
    main = ModuleType("__main__")
    _fill(main, order["script"])
    words = order["argv"][order["words"] :]
    sys.argv = words if order["module"] is None else ["-m", *words[1:]]
    sys.orig_argv, sys.modules["__main__"] = list(order["argv"]), main
    return ours


def has_own_folder() -> bool:
    """Whether the script's folder is the first of sys.path."""
    return not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated)


def _lead(folder: str, argv: list[str]) -> None:
    """What led the launcher into `folder` leads this process into its own, which is a view of that."""
    here = os.getcwd()
    for k, path in enumerate(sys.path):
        if path == folder or path.startswith(f"{folder}/"):
            sys.path[k] = here + path[len(folder) :]
    own = {shared: word for shared, word in zip(sys.orig_argv, argv) if shared != word}  # noqa: B905  (Python 3.9)
    more = argv[len(sys.orig_argv) :]  # the launcher has only those that all attempts share
    if own or more:
        sys.argv[:] = [*(own.get(word, word) for word in sys.argv), *more]
        sys.orig_argv = list(argv)


def _fill(main: ModuleType, path: str | None) -> None:
    """The names of a `__main__` as the interpreter makes it."""
    main.__dict__.clear()
    # Where importlib.machinery has them from; importing that would take a fork longer than all the rest.
    frozen: Any = sys.modules["_frozen_importlib" if path is None else "_frozen_importlib_external"]
    loader = frozen.BuiltinImporter if path is None else frozen.SourceFileLoader("__main__", path)
    main.__dict__.update(__name__="__main__", __doc__=None, __package__=None, __loader__=loader, __spec__=None)
    if sys.version_info < (3, 14):
        main.__dict__["__annotations__"] = {}
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    if path is not None:
        main.__dict__.update(__file__=path, __cached__=None)


def _set_environment(env: dict[str, str]) -> dict[str, str]:
    """Returns what was different in the launcher."""
    for name in [name for name in os.environ if name not in env]:
        del os.environ[name]
    new = {name: value for name, value in env.items() if os.environ.get(name) != value}
    os.environ.update(new)
    return new


def _change_environment(changes: dict[str, str | None]) -> None:
    for name, value in changes.items():
        if value is not None:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def _folder_of(path: str) -> str:
    """Where the script really is."""
    here = os.getcwd()  # without links, so that the usual case needs no walk along the path
    if os.path.dirname(path) == here and not os.path.islink(path):
        return here
    return os.path.dirname(os.path.realpath(path))


def take_chances_anew() -> None:
    """What modules have taken from chance when they were imported, they take anew."""
    loaded: dict[str, Any] = sys.modules
    if "numpy.random" in loaded:
        loaded["numpy.random"].seed()
    if "torch" in loaded:
        loaded["torch"].default_generator.seed()  # the one of the CPU; the others are seeded when they are made
    if "multiprocessing.process" in loaded:
        loaded["multiprocessing.process"].current_process().authkey = os.urandom(32)


def _as_if_imported_now() -> None:
    """What modules have taken from the process or the clock when they were imported, they take anew."""
    loaded: dict[str, Any] = sys.modules
    if "multiprocessing.process" in loaded:
        loaded["multiprocessing.process"].ORIGINAL_DIR = os.path.abspath(os.getcwd())
    if "logging" in loaded:
        import time

        now = time.time_ns() if isinstance(loaded["logging"]._startTime, int) else time.time()
        loaded["logging"]._startTime = now


def _status_of(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    if sys.stderr is not None:
        print(code, file=sys.stderr)
    else:
        os.write(2, f"{code}\n".encode(errors="backslashreplace"))
    return 1


def _flush(streams: tuple[Any, ...]) -> Exception | None:
    """Returns the error that kept standard output from being flushed."""
    broken = None
    for stream in streams:
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception as error:
            broken = error if stream is sys.stdout else broken
    return broken


def _clear(names: dict[str, Any]) -> None:
    """In CPython's order: first the names with one underscore, then all others."""
    for first in (True, False):
        for name in list(names):
            single = name.startswith("_") and not name.startswith("__")
            if name != "__builtins__" and single == first and names.get(name) is not None:
                names[name] = None
