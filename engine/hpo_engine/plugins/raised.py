"""What a plugin raised, in one line that names the plugin's file and line."""

from __future__ import annotations

import os
import traceback
from types import FrameType

from hpo_engine.plugins.loader import is_plugin

_LOADING = ("hpo_engine.plugins.", "importlib.")
_MOST = 300  # characters of a message


def described(error: BaseException) -> str:
    """As in "ValueError: no such thing (climb.py:12)": the first line of the message, and the last line of a plugin on
    the way to the error, or the line that raised it if the plugin is an installed package."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0][:_MOST] if lines else ""
    more = " ..." if len(lines) > 1 or text != "".join(lines[:1]) else ""
    return ": ".join(filter(None, (type(error).__name__, text))) + more + _place(error)


def by_plugin(error: BaseException) -> bool:
    """Whether a plugin's code was running when the error was raised."""
    return any(_of_plugin(frame) for frame, _ in traceback.walk_tb(error.__traceback__))


def _place(error: BaseException) -> str:
    """As in " (climb.py:12)"; "" for an error of the loader's own, which names the file itself."""
    frames = list(traceback.walk_tb(error.__traceback__))
    frame, line = next((f for f in reversed(frames) if _of_plugin(f[0])), frames[-1] if frames else (None, 0))
    if frame is None or isinstance(error, SyntaxError) or _name(frame).startswith(_LOADING):
        return ""
    return f" ({os.path.basename(frame.f_code.co_filename)}:{line})"


def _of_plugin(frame: FrameType) -> bool:
    return is_plugin(_name(frame))


def _name(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
