"""Making many objects at once, none of which is garbage."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()
_blocks = 0
_before = False


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Python does not look for cyclic garbage until the end of the block (or of the last one, if threads are in several
    at a time): a hundred thousand new objects make it look through all there are again and again, which may take half
    of the time. For blocks of seconds at most."""
    global _blocks, _before
    with _lock:
        if not _blocks:
            _before = gc.isenabled()
            gc.disable()
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks and _before:
                gc.enable()


def _forked() -> None:
    """In a new process there is only the thread that has forked, which is in no block."""
    global _lock, _blocks
    _lock = threading.Lock()
    if _blocks:
        _blocks = 0
        if _before:
            gc.enable()


os.register_at_fork(after_in_child=_forked)
