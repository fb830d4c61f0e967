"""The words of a command: which of them is the script, and whether a path leaves its folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

_INTERPRETERS = {
    "sh": ".sh",
    "bash": ".sh",
    "node": ".js",
    "Rscript": ".R",
    "julia": ".jl",
    "perl": ".pl",
    "ruby": ".rb",
}
_WITH_VALUE = ("-W", "-X", "-o", "-O")  # options of interpreters whose value is the next word


@dataclass(frozen=True)
class _Reader:
    """A program that reads a program from one of its words.

    `option`: asks for that, and group 1, if not empty, is the text itself. `valued`: options whose value is the next
    word. `late`: the text comes after all options. `many`: it takes several texts. `between`: the words that are no
    options and may come before the text.
    """

    name: re.Pattern[str]
    option: re.Pattern[str]
    valued: re.Pattern[str]
    late: bool
    many: bool
    between: int


def _reader(
    name: str, option: str, valued: str = "(?!)", *, late: bool = False, many: bool = False, between: int = 0
) -> _Reader:
    named, asks, takes = (re.compile(rf"(?:{text})$", re.DOTALL) for text in (name, option, valued))
    return _Reader(named, asks, takes, late=late, many=many, between=between)


_SHELL = _reader(
    r"(ba|da|z|k|mk|pdk|lk|ya|a|c|tc|fi|rba|po)?sh[0-9.]*",
    r"-[a-zA-Z]*c[a-zA-Z]*()|-[a-zA-Z]*c(.+)|--command(?:=(.*))?",
    r"[-+][a-zA-Z]*[oO][a-zA-Z]*|--(rcfile|init-file)",
    late=True,
)
_READERS = (
    _SHELL,
    _reader(
        r"(python|pypy)[0-9.]*[a-z]?", r"-[bBdEhiIOPqRsSuvVx?]*c(.*)", r"-[bBdEhiIOPqRsSuvVx?]*[WX]|--check-hash.*-pycs"
    ),
    _reader(r"perl[0-9.]*", r"-[acfhlnpstuwWSTUX0-9]*[eE](.*)", "-I", many=True),
    _reader(r"j?ruby[0-9.]*", r"-[acdhlnpsSvwy0-9]*e(.*)", r"-[ICr]", many=True),
    _reader(
        r"node(js)?|bun",
        r"-[pe]{1,2}()|--(?:eval|print)(?:=(.*))?",
        r"-[rC]|--(require|import|loader|env-file)",
        many=True,
    ),
    _reader(r"julia", r"-[eE](.*)|--(?:eval|print)(?:=(.*))?", "-[JtpLCHm]|--(threads|procs|load|sysimage)", many=True),
    _reader(r"R|Rscript|r|littler", r"-e(.*)", many=True),
    _reader(r"(lua|luajit)[0-9.-]*|osascript", r"-e(.*)", "-l", many=True),
    _reader(r"php[0-9.]*", r"-[rBRE](.*)", "-[cdfz]"),
    _reader(r"env", r"-[iv0]*S(.*)|--split-string(?:=(.*))?", r"-[iv0]*[uC]|--(unset|chdir)"),
    _reader(
        r"su|runuser|script|flock|sg",
        r"-[a-zA-Z]*c()|-c(.*)|--command(?:=(.*))?|--session-command(?:=(.*))?",
        r"-[a-zA-Z]*[gGsuwEIOBTm]|--(user|group|shell|timeout|wait|supp-group)",
        between=1,
    ),
)


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
    """The numbers of the words that are programs themselves, as in `sh -c TEXT` or `python -c TEXT`.

    A program whose name is a placeholder may be a shell.
    """
    found, reader, asked, between, valued = set[int](), None, False, 0, False
    for number, word in enumerate(words):
        if number in found:
            reader = reader if reader is not None and reader.many else None
        elif reader is not None and valued:
            valued = False
        elif reader is not None and re.match(r"[-+].", word) and word != "--":
            if option := reader.option.match(word):
                attached = any(option.groups())
                asked = asked or (reader.late and not attached)
                if attached or not reader.late:
                    found.add(number if attached else number + 1)
            valued = bool(reader.valued.match(word))
        elif reader is not None and (reader.late or reader.between) and word in ("-", "--"):
            pass
        elif asked:
            found.add(number)
            reader, asked = None, False
        elif reader is not None and between > 0:
            between -= 1
        else:  # the script, or a command before an interpreter
            reader = _reader_of(word, first=number == 0)
            between = reader.between if reader is not None else 0
    return frozenset(found)


def _reader_of(word: str, *, first: bool) -> _Reader | None:
    base = os.path.basename(word)
    known = next((reader for reader in _READERS if reader.name.match(base)), None)
    return _SHELL if known is None and first and "{" in word else known
