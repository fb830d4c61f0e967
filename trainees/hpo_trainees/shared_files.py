"""Files that all trials of a study share: where they are, and how they are made once.

A data set is downloaded, a tokenizer trained, by whichever process needs it first; all others wait for it. What is made
appears under its name in one step, so that no reader ever sees half a file, not even after a kill -9.
Standard library only. Knows nothing of the engine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


class DataError(RuntimeError):
    """Data cannot be had, or cannot be read; the text says what to do about it."""


def data_root() -> Path:
    """DATA_DIR where somebody has set it, otherwise `hpo-trainees` in the user's cache folder; need not exist.

    A trial of a study without `data_dir` has its own RESULT_DIR as DATA_DIR: each trial would download its own copy.
    """
    chosen = os.environ.get("DATA_DIR")
    if chosen and chosen != os.environ.get("RESULT_DIR"):
        return Path(chosen).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache, "hpo-trainees").absolute()


def provide(root: Path, names: Sequence[str], make: Callable[[Path], None]) -> None:
    """Sees to it that `root` has the files `names`.

    Args:
        root: is created if need be; may be read-only if the files are there.
        names: paths relative to `root`.
        make: is called with an empty folder and puts `names` into it, and whatever else it likes. Called by one process
            at a time, and by none if the files are there. If it raises or is killed, nothing of it remains.

    Raises:
        DataError: `root` cannot be written to.
        What `make` raises.
    """
    if _complete(root, names):
        return
    part = Path(names[0]).parts[0]
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(root / f".{part}.lock"))
            if _complete(root, names):  # made by the process that held the lock
                return
            aside = root / f".{part}.part"
            shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed: nobody else is here
            aside.mkdir()
        except OSError as error:
            raise DataError(
                f"{root} lacks {_first_missing(root, names)}, and nothing can be written there ({error.strerror}): set "
                "DATA_DIR (in a study file: data_dir) to a folder that has the file or can be written to"
            ) from None
        stack.callback(shutil.rmtree, aside, ignore_errors=True)
        make(aside)
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / name, root / name)


def _complete(root: Path, names: Sequence[str]) -> bool:
    return all((root / name).is_file() for name in names)


def _first_missing(root: Path, names: Sequence[str]) -> str:
    return next((name for name in names if not (root / name).is_file()), names[0])


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; the kernel gives it back when that process ends, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that prepares {path.parent}", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
