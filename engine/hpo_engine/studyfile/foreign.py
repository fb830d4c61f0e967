"""Words of a command that are meant for somebody else: a shell that does not run, or a tool that fills in placeholders.

Such words reach the script unchanged, which is never what their author wants. Knows no form of a study file; looks only
at text, and for patterns such as `*.csv` at the folder in which they would be expanded.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpo_engine.contract.command import program_texts
from hpo_engine.space.params import json_text
from hpo_engine.studyfile import shellwords
from hpo_engine.studyfile.shellwords import HIDDEN, Word

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPERATOR = re.compile(r"(\|\||&&|\|&?|&|;;?|[0-9]*(<|>|<<<?|>>|<>|>\|)(&?[0-9-]+)?|&>>?|[0-9]*[<>]&[0-9-]+)$")
_REDIRECT = re.compile(r"([0-9]*(>>?|>\|)|&>>?|[0-9]+<|<<?)[^<>=]+$")
_ENDS_COMMAND = re.compile(r"[^-=&;|][^=&;|]*(;|&|&&[^=&]*|\|\|[^=|]*)$")
_EXPANDED = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|\{[^{}]*\}|\(|[0-9@*#?!])|`")
_GLOB = re.compile(r"[*?]|\[[^\]]+\]")
_PARAMS = "params"
_ALL_OF_THEM = ("args", "params", "parameters", "hparams", "hyperparameters")  # what tools call all parameters at once
_DEEP = 3  # folders of a pattern that is tried on the disk
_STARTS = ("python", "python3", "sh", "bash", "cd", "export", "source", ".", "pip", "conda", "mkdir", "echo", "module")


@dataclass(frozen=True)
class Findings:
    """What is wrong, and what the user should only know."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def in_command(command: str | Sequence[str], names: Collection[str], folder: str) -> Findings:
    """What a command contains that nothing will interpret as it was meant.

    Args:
        command: a text that is split as a shell would, or words, which no shell would have looked at.
        names: the study's parameters. folder: where the command runs (patterns of file names).
    """
    if not isinstance(command, str):
        text = " ".join(word.text for word in _looked_at([Word(word, "", "") for word in command]))
        problems = [_home(command[0])] if command and command[0].startswith("~") else []
        return Findings(tuple(problems), tuple(_placeholder(found) for found in _placeholders(text, names)))
    try:
        words = _looked_at(shellwords.words(command))
    except ValueError:  # reported where it is split
        return Findings()
    if not words:
        return Findings()
    problems = [*_beginning(words)]
    if not problems:
        problems += [*_operators(words, command), *_lines(words)]
    filled = list(_placeholders(" ".join(word.bare for word in words), names))
    problems += [_placeholder(found) for found in filled]
    quoted = " ".join(word.text for word in words if word.bare != word.text)
    notes = [_placeholder(found) for found in _placeholders(quoted, names) if found not in filled]
    return Findings(tuple(problems), (*notes, *_expansions(words, filled), *_patterns(words, folder)))


def sets_variable(word: str) -> bool:
    """Whether a command begins with an assignment: its first word is not a program."""
    return bool(_VARIABLE.match(word))


def in_arguments(arguments: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    """Notes on words that another tool's launcher would have handed to the script."""
    filled = list(_placeholders(" ".join(arguments), names))
    words = [Word(text, text, text) for text in arguments if not any(found in text for found in filled)]
    odd = [word.text for word in words if _is_operator(word) or _EXPANDED.search(word.live)]
    shown = ", ".join(json_text(word) for word in dict.fromkeys(odd))
    shell = [f"{shown}: handed over to the script as written; no shell reads it"] if odd else []
    return (*(_placeholder(found) for found in filled), *shell)


def in_environment(env: Mapping[str, str], names: Collection[str]) -> tuple[str, ...]:
    """Notes on values of variables that hold what a shell or another tool would replace."""
    notes = []
    for name, value in env.items():
        if found := next(_placeholders(value, names), None):
            notes.append(f"env.{name}: {_placeholder(found)}")
        elif expanded := _EXPANDED.search(value):
            notes.append(f"env.{name}: {_shown(expanded)} is not replaced: no shell reads the value")
    return tuple(notes)


def _looked_at(words: Sequence[Word]) -> list[Word]:
    """Without the program text of `sh -c TEXT`, `python -c TEXT` and the like, which reaches its reader."""
    texts = program_texts([word.text for word in words])
    return [word for number, word in enumerate(words) if number not in texts]


# -- what a shell would do ---------------------------------------------------------------------------------------------


def _beginning(words: Sequence[Word]) -> Iterator[str]:
    """A command that begins with what only a shell has."""
    first = words[0].bare
    rest = [word.text for word in words[1:]]
    variables = []
    for word in words[1:] if first == "export" else words:
        if not _VARIABLE.match(word.bare):
            break
        name, _, value = word.text.partition("=")
        variables.append(f"{name}: {json_text(value)}")
    if variables:
        yield f"{words[0].text} sets a variable in a shell, and no shell runs; write env: {{{', '.join(variables)}}}"
    elif first.startswith("~"):
        yield _home(words[0].text)
    elif first == "cd" and rest:
        yield f"cd changes the folder of a shell, and no shell runs; write model_dir: {rest[0]}"
    elif first in ("source", ".") and rest:
        python = f"{os.path.dirname(rest[0]) or '.'}/python"
        yield f"{first} changes a shell, and no shell runs; to use that environment write interpreter: {python}"
    elif words[0].text in ("conda", "mamba", "micromamba") and rest[:1] == ["activate"]:
        yield "conda activate changes a shell, and no shell runs; write interpreter: with the path of its bin/python"


def _home(program: str) -> str:
    whole = os.path.expanduser(program)
    return f"{json_text(program)} begins with ~, and no shell runs that would replace it; write {json_text(whole)}"


def _operators(words: Sequence[Word], text: str) -> Iterator[str]:
    # A semicolon at the very end separates nothing.
    if found := [w.text for i, w in enumerate(words, 1) if _is_operator(w) and (i < len(words) or w.bare[-1] != ";")]:
        shown = ", ".join(json_text(word) for word in dict.fromkeys(found))
        kept = "; what a trial prints is kept anyway (hpo-engine logs)" if _only_output(found) else ""
        yield f"{shown}: no shell runs the command{kept}; to have one, write {_by_shell(text)}"


def _is_operator(word: Word) -> bool:
    bare = word.bare
    ends = _ENDS_COMMAND.match(bare) and "://" not in bare
    return bool(_OPERATOR.match(bare) or _REDIRECT.match(bare) or ends)


def _only_output(found: Sequence[str]) -> bool:
    return all(re.match(r"([0-9]*>|&>)", word) for word in found)


def _by_shell(text: str) -> str:
    line = " ".join(text.split())
    return f"command: [sh, -c, {json_text(line if len(line) <= 200 else line[:197] + '...')}]"


def _lines(words: Sequence[Word]) -> Iterator[str]:
    """Several commands on lines of their own."""
    known = (words[0].bare, *_STARTS)
    second = next((word.text for word in words[1:] if word.first and word.bare in known), None)
    if second is not None:
        yield (
            f"holds several commands, the second one begins with {json_text(second)}; put them into a script, "
            "or write command: [sh, -c, ...]"
        )


def _expansions(words: Sequence[Word], filled: Sequence[str]) -> Iterator[str]:
    for word in words:
        found = _EXPANDED.search(word.live)
        if found and not any(placeholder in word.text for placeholder in filled):
            yield (
                f"command: {json_text(word.text)} is passed on with its {_shown(found)}: no shell runs; write the "
                "value, or command: [sh, -c, ...]; in single quotes it is meant as it stands"
            )


def _shown(found: re.Match[str]) -> str:
    return {"$(": "$(...)", "`": "`...`"}.get(found[0], found[0])


def _patterns(words: Sequence[Word], folder: str) -> Iterator[str]:
    """File names that a shell would fill in, where it would find any."""
    for word in words:
        if re.match(r"~(/|$)", word.bare):
            yield f"command: {json_text(word.text)} is passed on with its ~: no shell runs; write the whole path"
        elif (
            _GLOB.search(word.bare)
            and HIDDEN not in word.bare
            and word.bare.count("/") <= _DEEP
            and not os.path.isabs(word.bare)
            and next(glob.iglob(os.path.join(glob.escape(folder), word.bare)), None)
        ):
            yield f"command: {json_text(word.text)} is passed on as it is; no shell runs that would list the files"


# -- what other tools would fill in --------------------------------------------------------------------------------


def _placeholders(text: str, names: Collection[str]) -> Iterator[str]:
    """Placeholders in the text that stand for a parameter, or for all of them; each once."""
    known = [re.escape(name) for name in sorted({*names, *_ALL_OF_THEM}, key=len, reverse=True)]
    name = rf"(?:[\w.]+\.)?(?:{'|'.join(known)})"
    pattern = re.compile(  # {name} is ours, and {{name}} is text
        rf"\{{\{{\s+{name}\s*\}}\}}|\{{\s+{name}\s*\}}|\{{{name}(?:\s+|\[[^{{}}]*\])\}}|\$\{{{name}\}}|\$\({name}\)|\{{{name}(?:![rsa]|(?:![rsa])?:[^{{}}]*[a-zA-Z%])\}}"
        rf"|\${name}(?!\w)|%{name}%|%\({name}\)[a-z]|<{name}>|@{name}@"
    )
    yield from dict.fromkeys(found for found in pattern.findall(text) if not found.startswith(f"{{{_PARAMS}"))


def _placeholder(found: str) -> str:
    meant = re.search(r"[^\W\d][\w.]*", found)
    name = meant[0].rpartition(".")[2] if meant else ""
    return f"{found} is not filled in; write {{{_PARAMS if name in _ALL_OF_THEM else name}}}"
