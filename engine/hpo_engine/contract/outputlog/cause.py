"""Why a run failed, in one line, from what it has printed: the error itself, not merely the last line, and its place
in the user's own code.

In this order: the error of the last Python traceback, a line that says `error: ...` in the manner of some language,
the last line that is not a progress bar, a warning or a farewell.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from hpo_engine.text.quoting import shortened

NEAR, NEAR_KILLED = 60, 5
"""So many ordinary lines may follow an error that ended the run; fewer where a signal did, as it strikes anywhere."""
_SAID_BEFORE = 2  # so many ordinary lines may stand between what a program says and what its shell does
_JOINED = 300  # characters up to which a line that ends with a colon gets the next one
_STACK = 100  # lines of a crash report that are searched for its place
_PLACED = 240  # characters of an error that are kept before its place

_HEADER = re.compile(r"Traceback \(most recent call last\)")
_GROUP = re.compile(r"^[ |]*\+ Exception Group Traceback \(most recent call last\)")
_FIRST_LEAF = re.compile(r"^[ |]*\+-\+-+ 1 -+$")
_BORDER = re.compile(r"^[ |]*\+-[+-]*( \d+ | \.\.\. )?-*$")
_MARGIN = re.compile(r"^[ |]*\| ?")
_FRAME = re.compile(r'^(?P<margin>.*?)(?:  |> )File "(?P<file>[^"]+)", line (?P<line>\d+)')
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib(?:64)?/python\d|/hpo_trainees/report\.py$|^<")
"""Files of Python and of installed packages, our reporter wherever it is, and code without a file."""
_SYNTAX = re.compile(r"^(?:Syntax|Indentation|Tab)Error: ")
_ASIDE = re.compile(r"Exception ignored (?:in|on)\b|^--- Logging error ---|^Error in atexit")
_HOLLOW = re.compile(
    r"ChildFailedError|ProcessExitedException|CalledProcessError|RemoteTraceback|exited unexpectedly"
    r"|returned non-zero exit status|^SystemExit|Set the environment variable HYDRA_FULL_ERROR"
)
"""Errors that only say that something else failed, which has mostly told of it before."""

_NUMBERS_ONLY = r"(?!\W*-?(?:\d|nan\b|inf\b|None\b)\S*\s*(?:$|[,;|/%(\[]))"
_ERRORS = re.compile(
    "|".join((
        rf"(?:^|[\s:\]>])(?:[Ff]atal |internal compiler )?(?:[Ee]rror|ERROR)(?:\[\w+\])?:(?=\s){_NUMBERS_ONLY}",
        rf"(?:^|[\s\[|:=<-])(?:ERROR|CRITICAL|FATAL|SEVERE|FAILED)(?=$|[\s\]|:>-]){_NUMBERS_ONLY}",
        r"\blevel=(?:error|fatal)\b|^[EF]\d{4} \d\d:\d\d",
        r"^Error (?:in|using|executing|at|while|loading|running|reading|opening|parsing)\b",
        r"^(?:fatal|panic|FATAL|Fatal)(?: error)?: |^Fatal Python error|^PHP Fatal|^Uncaught |^Unhandled ",
        r"^Exception in thread|^Caused by: |^thread '.*' (?:\(\d+\) )?panicked at|^terminate called |^\s*what\(\): ",
        r"^(?:Uncaught |Unhandled )?(?:[\w$]+(?:\.|::))*\w*(?:Error|Exception|Failure|Interrupt|Warning)"
        r"(?: \[\w+\]|\([^)]*\))?:\s",
        r"\((?:\w+::)*\w*Error\)$",
        r"\bAssertion\b.*\bfailed\b|: assertion failed",
        r": (?:command )?not found$|[:\]] No such file or directory|[:\]] Permission denied|: cannot execute\b",
        r"error while loading shared libraries|: Exec format error|cannot allocate memory|Cannot allocate memory",
        r"\b(?:Segmentation fault|Bus error|Floating point exception|Illegal instruction|stack smashing|core dumped)\b",
        r"^(?:Killed|Aborted|Out of memory)\b|\bKilled\s{2,}|\boom-kill|\bout of memory\b",
        r"double free|invalid pointer|invalid size",
        r"\bdied at .* line \d+|^\w+: .*:\d+: (?:attempt to|bad argument)|Can't locate \S+ in @INC",
    ))
)  # fmt: skip
_ERROR_TITLE = re.compile(r"^(?:[\w ]{1,20} )?[Ee]rrors?$|^Error (?:using|in) .*\(line \d+\)$")
_SHELL = re.compile(r"\b(?:Aborted|Killed|Segmentation fault|core dumped)\b")
"""What a shell says of a program that a signal ended; the program has often said more just before."""

_PROGRESS = re.compile(
    r"\d%\s*\||\|\s*\d+/(?:\d+|\?)\s*\[|\[\d+:\d\d(?::\d\d)?<|\d ?(?:it|batch|step|sample|example|B|s)/(?:s|it)\b"
    r"|[━█▏▎▍▌▋▊▉⣿#]{4,}|\[[=>#*.\s-]{8,}\]|[=]{5,}>|\bETA\b:? ?\d|^[\s\d%/|.]+$"
)
_WARNING = re.compile(
    r"\b(?!\w*Error)\w*Warning\b|^(?:\S+: )?[Ww]arning: |(?:^|[\s\[|:-])(?:WARNING|WARN|Warning)(?=$|[\s\]|:-])"
    r"|^\[?(?:\w+\]:)?\[?W\d{4} \d\d:|^\[(?:rank\d+\]:\[)?W |leaked \w+ objects|^In addition: |^Warning message"
)
_FAREWELL = re.compile(
    r"^wandb: (?!ERROR)|^wandb:$|HYDRA_FULL_ERROR|^Given value: |^\s*(?:full_key|object_type|reference_type)[:=]"
    r"|(?i:^(?:now )?(?:exiting|exited|bye|goodbye|done|finished|cleaning up|cleaned up|cleanup|shutting down|closing"
    r"|stopping)\b[\w\s]{0,40}[.! ]*$)"
    r"|^exit status \d+$|^Execution halted|^Calls: |^Node\.js v|RUST_BACKTRACE|JAX_TRACEBACK_FILTERING|TORCH_SHOW_CPP"
    r"|^make(?:\[\d+\])?: |^(?:Stacktrace|stack traceback|Backtrace|Call stack):|^\s+(?:at |@ |\[C\]|\[\d+\] )"
    r"|^in expression starting at|^goroutine |^\[\.\.\. \d+ bytes dropped|^(?:usage|Usage): |--help|^Try '"
    r"|^(?:The above exception was|During handling of the above)|^Detected KeyboardInterrupt|Trainer\.fit` stopped"
    r"|^(?:Extension modules|Current thread|Thread 0x|Python runtime state)"
    r"|^\(?(?:for|For|See|see) more (?:information|details)"
    r"|^(?:See|Please see|see) https?://\S+$|^(?:View|Synced|Find logs|💡)|^Hint: |^note: |^Original exception was"
    r"|^\W*View (?:run|experiment|project)\b|^NoneType: None$|^error: called from|^CallStack|^\s+\w+, called at "
    r"|^Error termination\. Backtrace|^#\d+ "
)
_BOX = "│┃╭╮╰╯─━┌┐└┘═║╔╗╚╝"


def cause(lines: Sequence[str], *, killed: bool = False) -> tuple[str, bool]:
    """What ended the run, and whether it is an error (else it is only the last thing that was printed).

    Args:
        lines: the end of the output, as a terminal shows it. killed: it was ended by a signal.
    """
    lines = [_unboxed(line) for line in lines]
    lines = _without_asides(lines) or lines
    near = NEAR_KILLED if killed else NEAR
    found = _of_traceback(lines, near) or _of_error_line(lines, near)
    if found:
        return found, True
    spoken = [line for line in lines if any(map(str.isalnum, line))]
    return next((line.strip() for line in reversed(_ordinary(spoken) or spoken)), ""), False


def _unboxed(line: str) -> str:
    """Without the frame that rich draws around errors."""
    bare = line.strip()
    if bare and (bare[0] in _BOX or bare[-1] in _BOX) and not _PROGRESS.search(line):
        return bare.strip(_BOX).strip()
    return line.rstrip()


# -- tracebacks --------------------------------------------------------------------------------------------------------


def _of_traceback(lines: Sequence[str], near: int) -> str:
    """The error of the last traceback that is near enough to the end; "" if there is none."""
    hollow = ""
    for i in reversed(range(len(lines))):
        if not (begin := _begins(lines, i)):
            continue
        text, end = _group(lines, i) if begin == "group" else _error_after(lines, i)
        if not text:
            continue
        if not hollow and len(_ordinary(lines[end:], near + 1)) > near:
            return ""  # the run went on for long
        if not _HOLLOW.search(text):
            return text
        hollow = hollow or text
    if hollow:
        return _of_error_line(lines[: _last_header(lines)], near) or hollow
    return ""


def _without_asides(lines: Sequence[str]) -> list[str]:
    """Without errors that ended nothing: in logging, at exit, in `__del__`."""
    out, i = [], 0
    while i < len(lines):
        header = next((j for j in range(i, min(i + 3, len(lines))) if _HEADER.search(lines[j])), None)
        if header is not None and _ASIDE.search(lines[i]):
            i = _error_after(lines, header)[1]
        else:
            out.append(lines[i])
            i += 1
    return out


def _last_header(lines: Sequence[str]) -> int:
    return next((i for i in reversed(range(len(lines))) if _HEADER.search(lines[i])), 0)


def _begins(lines: Sequence[str], i: int) -> str:
    """What begins at line i: "group", "traceback", "syntax" (an error of the main script, which has no header)."""
    line = lines[i]
    if "Traceback" in line and _HEADER.search(line):
        if _GROUP.match(line):
            return "" if line.lstrip().startswith("|") else "group"  # a group in a group is found from the outer one
        if line.lstrip().startswith("|"):
            return ""
        return "traceback"
    if line.startswith("Fatal Python error: "):
        return "fatal"
    return "syntax" if _SYNTAX.match(line) and _place(lines, i) else ""


def _error_after(lines: Sequence[str], begin: int) -> tuple[str, int]:
    """The error at the end of the traceback that begins there, and the line after it; "" if it was cut off."""
    if not _HEADER.search(lines[begin]):
        return _told(lines, begin, "", _crash_place(lines, begin)), begin + 1
    margin, place, found, i = None, "", ("", begin + 1), begin + 1
    while i < len(lines):
        line = lines[i]
        frame = _FRAME.match(line)
        if frame and (margin is None or frame["margin"] == margin):
            margin = frame["margin"]
            place = _own_place(frame) or place
            found = ("", i + 1)
        elif margin is None and i - begin > 3:
            break
        elif found[0] and not line.startswith(f"{margin}  "):
            break  # what follows the error is not the traceback of another process in its message
        elif margin is not None and not found[0] and line.startswith(margin):
            rest = line[len(margin) :]
            if rest and not rest[0].isspace() and rest[0] not in "│└":
                found = (_told(lines, i, margin, place), i + 1)
        i += 1
    if margin is None and begin + 1 < len(lines):  # drawn in a box, or without frames
        return next(((_told(lines, j, ""), j + 1) for j in range(begin + 1, len(lines)) if _names(lines[j])), found)
    return found


def _names(line: str) -> bool:
    """Whether the line begins with the name of an error."""
    return bool(re.match(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt|Warning|Failure)\b", line))


def _told(lines: Sequence[str], i: int, margin: str, place: str = "") -> str:
    """The error on line i, with the next line of its message if the first one only announces it, and its place.

    Args:
        place: the last frame of the user's own code. A syntax error has a better one, just above it.
    """
    text = lines[i][len(margin) :].strip()
    if "Interrupt" in text:
        return text
    if _SYNTAX.match(text):
        place = _place(lines, i)
    text = _joined(text, [line.removeprefix(margin) for line in lines[i + 1 : i + 4]])
    return f"{shortened(text, _PLACED)} ({place})" if place else text


def _joined(text: str, after: Sequence[str]) -> str:
    if not text.endswith(":") or len(text) > _JOINED:
        return text
    more = next((line.strip() for line in after if any(map(str.isalnum, line))), "")
    return text if not more or _HEADER.search(more) or more.startswith("File ") else f"{text} {more}"


def _own_place(frame: re.Match[str]) -> str:
    """`train.py, line 3`; "" for a frame of a library."""
    return "" if _LIBRARY.search(frame["file"]) else f"{os.path.basename(frame['file'])}, line {frame['line']}"


def _crash_place(lines: Sequence[str], begin: int) -> str:
    """The place of a crash that faulthandler reports; its frames have the most recent call first."""
    stack = range(begin + 1, min(begin + _STACK, len(lines)))
    first = next((i for i in stack if lines[i].endswith("(most recent call first):")), begin + _STACK)
    frames = (_FRAME.match(line) for line in lines[first + 1 : first + _STACK])
    return next(filter(None, (_own_place(frame) for frame in frames if frame)), "")


def _place(lines: Sequence[str], i: int) -> str:
    """The place of the frame shortly before line i."""
    frames = (_FRAME.match(line) for line in reversed(lines[max(0, i - 5) : i]))
    return next((_own_place(frame) for frame in frames if frame), "")


def _group(lines: Sequence[str], begin: int) -> tuple[str, int]:
    """The first error in the tree of an exception group."""
    end = next((i for i in range(begin + 1, len(lines)) if not _MARGIN.match(lines[i]) and not _tree(lines[i])), None)
    tree = lines[begin:end]
    borders = [i for i, line in enumerate(tree) if _BORDER.match(line)]
    first = next((i for i in borders if _FIRST_LEAF.match(tree[i])), None)
    if first is None:
        return "", begin + 1
    after = next((i for i in borders if i > first), len(tree))
    while after < len(tree) and _FIRST_LEAF.match(tree[after]):  # a group in the group
        first, after = after, next((i for i in borders if i > after), len(tree))
    leaf = [_MARGIN.sub("", line) for line in tree[first + 1 : after]]
    last = _last_header(leaf)
    text = _error_after(leaf, last)[0] if leaf and _HEADER.search(leaf[last]) else next((t for t in leaf if t), "")
    return text.strip(), begin + len(tree)


def _tree(line: str) -> bool:
    return bool(_BORDER.match(line) or _GROUP.match(line))


# -- other lines -------------------------------------------------------------------------------------------------------


def _of_error_line(lines: Sequence[str], near: int) -> str:
    """The last line that says of itself that it is an error."""
    passed, shell = 0, ""
    for i in reversed(range(len(lines))):
        line = lines[i]
        if not line.strip() or _FAREWELL.search(line):
            continue
        if _ERROR_TITLE.match(line.strip()):
            return shell or _joined(f"{line.strip()}:", lines[i + 1 : i + 4])
        if not _progress(line) and not _WARNING.search(line) and (found := _ERRORS.search(line)):
            if line.lstrip().startswith("what():") and i and lines[i - 1].startswith("terminate called"):
                return f"{lines[i - 1].strip()}: {line.strip()}"
            begin = found.start() if _progress(line[: found.start()]) else 0
            text = _joined(line[begin:].strip(), lines[i + 1 : i + 4])
            if shell or not _SHELL.search(text):
                return text
            shell, near = text, passed + _SAID_BEFORE
            continue
        passed += bool(_ordinary([line]))
        if passed > near:
            break
    return shell


def _ordinary(lines: Sequence[str], most: int | None = None) -> list[str]:
    """Lines that are not progress, warnings (with the source line below them), farewells or rules."""
    out: list[str] = []
    warned = False
    for line in lines:
        below = warned and line.startswith("  ")
        warned = bool(_WARNING.search(line))
        if below or warned or _progress(line) or _FAREWELL.search(line) or _FRAME.match(line):
            continue
        if any(map(str.isalnum, line)):
            out.append(line)
            if most is not None and len(out) >= most:
                break
    return out


def _progress(line: str) -> bool:
    return bool(_PROGRESS.search(line))
