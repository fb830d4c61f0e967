"""What other processes see of a fork in /proc: its command line, and the variables that tell it from its launcher.

Runs in the launcher and in the fork: standard library only.
"""

from __future__ import annotations

import ctypes
import os

_MARK = b"HPO_ATTEMPT="
MARK_ROOM = 8192  # bytes of HPO_ATTEMPT in a launcher's environment: room for what differs in an attempt's


class ProcessTitle:
    """The process's command line and environment, as others see them in /proc: they stand where the launcher's stood.

    Made in the launcher. What its environment has in common with an attempt's stays in its place, as pointers to it may
    be held.
    """

    def __init__(self) -> None:
        self._args = self._mark = memoryview(bytearray())
        try:
            with open("/proc/self/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            args, args_end, env, env_end = map(int, fields[45:49])
            if not (0 < args < args_end <= env < env_end):
                return
            found = ctypes.string_at(env, env_end - env).find(_MARK)
            if found >= 0:
                self._mark = _memory(env + found, len(_MARK) + MARK_ROOM)
            self._args = _memory(args, args_end - args)
        except (OSError, ValueError, IndexError):
            pass

    def set(self, argv: list[str], new: dict[str, str]) -> None:
        """`new`: the variables that were different in the launcher."""
        room = len(self._args)
        if room > 1:
            # A last byte that is not 0 makes the kernel show no more than up to the first 0 (proc(5)).
            self._args[:] = os.fsencode(" ".join(argv))[: room - 2].ljust(room - 1, b"\0") + b"x"
        room = len(self._mark)
        if len(mark := _MARK + os.fsencode(new.pop("HPO_ATTEMPT", ""))) < room:
            shown = b"\0".join([mark, *(os.fsencode(f"{name}={value}") for name, value in new.items())])
            self._mark[:] = shown[: room - 1].ljust(room, b"\0")


def _memory(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")
