"""Absolute paths that lead back into the script's folder lead into the trial's own view of it instead.

Else an edit of the original would change the trials of a study that has a copy. Redirected are words of the command,
values of `env`, the search paths of interpreters, and projects that are installed from their folder (see `editable`):
what the copy holds, so that a virtual environment, data that is left out, a new place to write to stay where they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpo_engine.contract.command import leaves_by_dots, script_of
from hpo_engine.contract.paths import absolute, is_below
from hpo_engine.contract.snapshot import editable

HERE = "\0"  # RESULT_DIR in a template: no path and no variable can hold it
_SEARCH_PATHS = (
    "PYTHONPATH", "PATH", "LD_LIBRARY_PATH", "R_LIBS", "R_LIBS_USER", "PERL5LIB", "RUBYLIB", "NODE_PATH", "CLASSPATH",
    "JULIA_LOAD_PATH", "JULIA_PROJECT", "LUA_PATH", "LUA_CPATH",
)  # fmt: skip
_KEPT = frozenset(
    ("DATA_DIR", "DLI_DATA_FS", "HOME", "TMPDIR", "TMP", "TEMP", "HPO_ATTEMPT")
)  # what they name is no trial's own
_DELIMITERS = re.compile(r"[\s'\"`:;,|&<>()=$*?\[\]{}#]")
_WILD = "*?[{$"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?$")
_MOST_CUTS = 20


@dataclass(frozen=True)
class Redirect:
    """`words`, `variables`: what stands in their place, with `HERE` for RESULT_DIR. `notes`: what still leads to the
    original, a line each."""

    words: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def command(self, argv: Sequence[str], result_dir: str) -> tuple[str, ...]:
        return tuple([self.words.get(word, word).replace(HERE, result_dir) for word in argv])

    def environment(self, env: Mapping[str, str], result_dir: str) -> dict[str, str]:
        return {**env, **{name: text.replace(HERE, result_dir) for name, text in self.variables.items()}}


NOWHERE = Redirect()


def redirect(
    argv: Sequence[str], base: Mapping[str, str], own: Mapping[str, str], model_dir: str, frozen_dir: str
) -> Redirect:
    """What has to be said otherwise in each trial.

    Args:
        argv: of the command; base, own: the environment that trials inherit, and what the study file puts over it.
        model_dir, frozen_dir: the script's folder and its copy (absolute).
    """
    folder = _Folder(model_dir, frozen_dir)
    env = {**base, **own}
    words = {word: text for word in argv[1:] if (text := folder.word(word)) is not None}
    if (program := folder.program(argv[0])) is not None:
        words[argv[0]] = program
    names = [*(name for name in own if name not in _KEPT), *(name for name in _SEARCH_PATHS if name not in own)]
    variables = {name: text for name in names if name in env and (text := folder.word(env[name])) is not None}
    notes = folder.outside(argv)
    installed = editable.found(argv, env, model_dir, frozen_dir)
    roots = [text for root in installed.roots if (text := folder.path(root)) is not None]
    if roots:
        if editable.ignores_path(argv):
            notes.append(editable.cannot(installed.names, "its interpreter is told to ignore PYTHONPATH"))
        present = variables.get("PYTHONPATH", env.get("PYTHONPATH", ""))
        parts = [*(present.split(os.pathsep) if present else ()), *roots]
        variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(parts))
    return Redirect(words, variables, (*notes, *installed.notes))


class _Folder:
    """The script's folder, under both of its names, and the copy of it."""

    def __init__(self, model_dir: str, frozen_dir: str) -> None:
        self._model, self._frozen = model_dir, frozen_dir
        self._real = os.path.realpath(model_dir)
        roots = sorted({self._model, self._real}, key=len, reverse=True)
        either = "|".join(map(re.escape, roots))
        # Not within another path or word; but after a short option (-I/path) and as an address (file:///path).
        self._embedded = re.compile(rf"(?:(?<![\w./~-])|(?<=^-[A-Za-z])|(?<=file://))(?:{either})(?![\w.-])")

    def path(self, path: str) -> str | None:
        """What stands for an absolute path; None if the copy does not hold what it leads to."""
        for top, place in ((self._model, absolute(path)), (self._real, self._resolved(path))):
            if is_below(place, top):
                below = place[len(top) :]
                end = "/" if path.endswith("/") and below else ""
                return HERE + below + end if os.path.lexists(self._frozen + below) else None
        return None

    def word(self, text: str) -> str | None:
        """What stands for a word with such paths in it; None if there is none."""
        if text.startswith("/") and (whole := self.path(text)) is not None:
            return whole
        if ".." in text.split("/") and leaves_by_dots(text, self._model):
            back = absolute(text, self._model)
            return self.path(back) if is_below(back, self._model) else None
        new = self._with_embedded(text)
        return self._with_other_names(text) if new == text else new

    def _with_embedded(self, text: str) -> str:
        """With the paths replaced that begin with a name of the folder, wherever they stand."""
        pieces, at = list[str](), 0
        for match in self._embedded.finditer(text):
            ends = self._ends(text, match) if match.start() >= at else ()
            for end in ends:
                if (found := self.path(text[match.start() : end])) is not None:
                    slash = "/" if found == HERE and text[end - 1] == "/" else ""  # what follows is below it
                    pieces += [text[at : match.start()], found, slash]
                    at = end
                    break
        return "".join([*pieces, text[at:]])

    def _with_other_names(self, text: str) -> str | None:
        """The parts of a list or of NAME=VALUE may lead into the folder by a link's name."""
        parts = re.split("([=:,])", text)
        found = [self.path(part) if part.startswith("/") else None for part in parts]
        if all(part is None for part in found):
            return None
        return "".join([old if new is None else new for new, old in zip(found, parts, strict=True)])

    def program(self, name: str) -> str | None:
        """What stands for the command's first word: one that is not copied (in a virtual environment) is the original;
        an interpreter stays what it is."""
        if "/" not in name:
            return None
        if not os.path.isabs(name):
            there = os.path.join(self._model, name)
            return there if not os.path.lexists(f"{self._frozen}/{name}") and os.path.exists(there) else None
        return None if _PYTHON.match(os.path.basename(name)) else self.path(name)

    def outside(self, argv: Sequence[str]) -> list[str]:
        """A note where the script itself is not in the folder."""
        script = script_of(argv)
        if script is None or not (script.endswith(".py") or "/" in script):
            return []
        path = os.path.join(self._model, script)
        if is_below(absolute(path), self._model) and not os.path.isabs(script):
            path = self._resolved(path)
        if not os.path.isfile(path) or is_below(self._resolved(path), self._real):
            return []
        return [f"{script} is outside model_dir and not copied: what is edited there changes trials that begin later"]

    @staticmethod
    def _resolved(path: str) -> str:
        """Without links on the way; a link at its end stays."""
        folder, name = os.path.split(path.rstrip("/"))
        return os.path.join(os.path.realpath(folder), name) if name not in ("", ".", "..") else os.path.realpath(path)

    @staticmethod
    def _ends(text: str, match: re.Match[str]) -> list[int]:
        """Where a path that begins there may end, the farthest first."""
        cuts = [m.start() for m in _DELIMITERS.finditer(text, match.end())][:_MOST_CUTS]
        ends = [len(text), *reversed(cuts)]
        if cuts and text[cuts[0]] in _WILD:
            ends.append(text.rfind("/", match.end(), cuts[0]))
        return [end for end in ends if end >= match.end()]
