"""The words of a command: which of them is the script, and whether a path leaves its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_INTERPRETERS = {
    "sh": ".sh",
    "bash": ".sh",
    "node": ".js",
    "Rscript": ".R",
    "julia": ".jl",
    "perl": ".pl",
    "ruby": ".rb",
}
_SHELLS = re.compile(r"(ba|da|z|k|a)?sh$")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*$")
_TAKES_TEXT = {"node": "-e", "perl": "-e", "ruby": "-e", "julia": "-e", "Rscript": "-e"}
_WITH_VALUE = ("-W", "-X", "-o", "-O")  # options of interpreters whose value is the next word


def leaves_by_dots(path: str, folder: str) -> bool:
    """Whether a relative path climbs above the folder that it begins in: a trial's folder has something else there.
    (A link out of the folder leads to the same place from a trial's.)"""
    top = here = os.path.realpath(folder)
    for part in path.split("/"):
        if part == ".." and here == top:
            return True
        here = os.path.realpath(f"{here}/{part}")
    return False


def script_of(command: Sequence[str]) -> str | None:
    """The script that the command runs, as written there; None if there is none."""
    program, *words = command
    if os.sep in program and not re.match(r"python|pypy", os.path.basename(program)):
        return program
    if re.fullmatch(r"python[0-9.]*|pypy[0-9.]*", os.path.basename(program)):
        suffix = ".py"
    else:
        suffix = _INTERPRETERS.get(program, "")
    skip = False
    for word in words if suffix else ():
        if skip or (word.startswith("-") and word not in ("-m", "-c", "-e", "-")):
            skip = not skip and word in _WITH_VALUE
            continue
        return word if word.endswith(suffix) else None
    return None


def program_texts(words: Sequence[str]) -> frozenset[int]:
    """The numbers of the words that are programs themselves, as in `sh -c TEXT` or `python -c TEXT`."""
    found, option, before = set[int](), "", ""
    for number, word in enumerate(words):
        base = os.path.basename(word)
        if number in found:
            pass
        elif option and word.startswith("-"):
            if re.match(rf"-[a-zA-Z]*{option[1]}$", word):
                found.add(number + 1)
                option = ""
        elif not option or before not in _WITH_VALUE:  # the script, or a command before an interpreter
            interprets = bool(_SHELLS.match(base) or _PYTHON.match(base))
            option = "-c" if interprets else _TAKES_TEXT.get(base, "")
        before = word
    return frozenset(found)
