"""Whether an import makes files or folders that each interpreter has for itself, as a temporary folder is.

Forks would share them, and the first fork that ends could remove them for all. A cache with a fixed name is shared by
all interpreters anyway, wherever it is, and does no harm. If the name alone does not show it, a second interpreter does
the same import: what it makes once more, under another name, or removes at its end, is its own. Runs in a launcher:
standard library only.
"""

from __future__ import annotations

import atexit
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType
    from typing import Any

_NEAR = 6  # source files, from the one that makes a folder upwards, in which the words of its name are looked for
_REMOVERS = frozenset(("rmtree", "unlink", "rmdir", "removedirs", "rm", "cleanup"))
_DEPTH = 3  # of functions that call functions
_BLANKS = bytes(c if chr(c).isalnum() and c < 128 else 32 for c in range(256))
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, prctl(2)


class FileWatch:
    """Notes, while it is entered, what is made and what is registered for the end."""

    def __init__(self) -> None:
        self._made: dict[str, bool] = {}  # path -> whether its name has a plain origin, see `_is_plain`
        self._drawn: list[str] = []  # made by tempfile
        self._at_exit: list[Any] = []  # functions
        self._kept = os.mkdir, os.open, atexit.register

    def __enter__(self) -> FileWatch:
        self._temporary = _temporary_names()
        self._finalizers = set(_finalizers())
        mkdir, open_, register = self._kept

        def mkdir_and_note(path: Any, *more: Any, **named: Any) -> None:
            mkdir(path, *more, **named)
            self._note(path, named.get("dir_fd"), sys._getframe(2))

        def open_and_note(path: Any, flags: int, *more: Any, **named: Any) -> int:
            fd = open_(path, flags, *more, **named)
            if flags & os.O_CREAT and sys._getframe(2).f_globals.get("__name__") == "tempfile":
                self._drawn.append(_absolute(path))
            return fd

        def register_and_note(function: Any, *args: Any, **named: Any) -> Any:
            self._at_exit.append(function)
            return register(function, *args, **named)

        os.mkdir, os.open = _Stand(mkdir_and_note), _Stand(open_and_note)
        atexit.register = _Stand(register_and_note)
        return self

    def __exit__(self, *error: object) -> None:
        os.mkdir, os.open, atexit.register = self._kept
        new = [info for key, info in _finalizers().items() if key not in self._finalizers]
        self._at_exit += [info.func for info in new if info.atexit]
        self._made = {path: plain for path, plain in self._made.items() if os.path.lexists(path)}

    def _note(self, path: Any, dir_fd: int | None, frame: FrameType) -> None:
        if frame.f_globals.get("__name__") == "tempfile":
            self._drawn.append(_absolute(path))
        elif dir_fd is None:
            self._made[_absolute(path)] = _is_plain(os.path.basename(_absolute(path)), frame)

    def problem(self) -> str | None:
        """What is certainly its own, in words that follow "import X"; None if there is no such thing.

        Removes it: this process is not used then, and leaves without its exit functions.
        """
        problems = []
        for path in filter(os.path.lexists, self._drawn):
            problems.append(f"makes a temporary {'folder' if os.path.isdir(path) else 'file'} ({path})")
            _remove(path)
        here = os.getcwd()
        for path in [path for path in self._made if path.startswith(f"{here}/")]:
            problems.append(f"makes a folder in the working directory ({os.path.relpath(path, here)})")
            _remove(path)
        for name in sorted(_temporary_names() - self._temporary):
            if str(os.getpid()) in _words(name):
                problems.append(f"makes a temporary file for its process ({os.path.join(_temporary(), name)})")
        return problems[0] if problems else None

    def doubt(self) -> bool:
        """Whether only a second interpreter can show it."""
        return not all(self._made.values()) or any(map(_removes, self._at_exit))

    def verdict(self, head: list[str], argv: list[str], name: str, names: list[str]) -> str | None:
        """As `problem`, by a second interpreter.

        Args:
            head: the interpreter and its options; argv: sys.argv; name, names: as `__import__` takes them.
        """
        read_end, write_end = os.pipe()
        order = json.dumps([write_end, argv, name, names])
        null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
        os.set_inheritable(write_end, True)
        pid = os.posix_spawn(head[0], [*head, os.path.abspath(__file__), order], os.environ, file_actions=null)
        os.close(write_end)
        with open(read_end, encoding="utf-8") as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
        if not text:
            return "fails in a second interpreter"
        once_more = json.loads(text)
        for path in (*once_more, *self._made):
            if not os.path.lexists(path):
                return f"makes what it removes at its end ({path})"
        return f"makes what each process has for itself ({once_more[0]})" if once_more else None


class _Stand:
    """In the place of a built-in function; like one, it does not become a method in a class that keeps it."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._function(*args, **named)


def _is_plain(name: str, frame: FrameType) -> bool:
    """Whether each word of the name stands in the sources that lead to its making, or in what all processes of this
    user have in common; numbers only in the latter, as a time or a pid can be written by chance in any source."""
    words = _words(name)
    common = _words(" ".join((*os.environ.values(), *os.uname(), *map(str, sys.version_info[:3]), str(os.getuid()))))
    left = words - (common - {str(os.getpid())})
    if any(word.isdigit() for word in left):
        return False
    for path in _sources(frame):
        if not left:
            break
        try:
            with open(path, "rb") as file:
                left -= _words(file.read())
        except OSError:
            pass
    return not left


def _sources(frame: FrameType | None) -> Iterator[str]:
    seen: set[str] = set()
    while frame is not None and len(seen) < _NEAR:
        path = frame.f_code.co_filename
        if path not in seen and not path.startswith("<"):
            seen.add(path)
            yield path
        frame = frame.f_back


def _words(text: str | bytes) -> set[str]:
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    return {word.decode() for word in data.lower().translate(_BLANKS).split()}


def _removes(function: Any) -> bool:
    """Whether an exit function may remove files, by the names in its code."""
    try:
        names = set().union(*(_called_in(each) for each in _reached(function, _DEPTH)))
    except Exception:  # an object of a library's own may raise when it is looked at
        return True
    return bool(names & _REMOVERS) or {"os", "remove"} <= names  # lists have `remove`, too


def _reached(function: Any, depth: int) -> list[Any]:
    """The function, those that it names and those that they name, so many levels deep."""
    plain = _plain(function)
    if depth == 1 or not hasattr(plain, "__code__"):
        return [function]
    called = [plain.__globals__.get(name) for name in _names_in(plain.__code__)]
    inner = [each for other in called if hasattr(other, "__code__") for each in _reached(other, depth - 1)]
    return [function, *inner]


def _called_in(function: Any) -> set[str]:
    plain = _plain(function)
    if hasattr(plain, "__code__"):
        return _names_in(plain.__code__)
    return {getattr(plain, "__name__", ""), "os" if getattr(plain, "__module__", "") == os.mkdir.__module__ else ""}


def _plain(function: Any) -> Any:
    """What a partial or a method calls."""
    return getattr(function, "func", getattr(function, "__func__", function))


def _names_in(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if hasattr(const, "co_names")]
    return set(code.co_names).union(*(_names_in(const) for const in inner))


def _finalizers() -> dict[Any, Any]:
    """Those of weakref.finalize."""
    finalize = getattr(sys.modules.get("weakref"), "finalize", None)
    return dict(getattr(finalize, "_registry", {}))


def _temporary() -> str:
    return os.environ.get("TMPDIR") or "/tmp"


def _temporary_names() -> set[str]:
    try:
        return set(os.listdir(_temporary()))
    except OSError:
        return set()


def _absolute(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path))


def _remove(path: str) -> None:
    import shutil  # tempfile has imported it

    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        try:
            os.unlink(path)
        except OSError:
            pass


def _second(fd: int, argv: list[str], name: str, names: list[str]) -> None:
    """The import in an interpreter of its own; reports what it has made that is there after it."""
    import ctypes

    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, 9, 0, 0, 0)  # it must not outlive the launcher
    os.set_inheritable(fd, False)
    made: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        makes = event == "os.mkdir" or (event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT)
        if makes and isinstance(args[0], (str, bytes, os.PathLike)):
            path = _absolute(args[0])
            if not os.path.lexists(path):
                made.append(path)

    sys.argv = argv
    sys.addaudithook(hook)
    __import__(name, {}, {}, names)
    with open(fd, "w", encoding="utf-8") as pipe:
        json.dump([path for path in made if os.path.lexists(path)], pipe)


if __name__ == "__main__":
    if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]
    _second(*json.loads(sys.argv[1]))
