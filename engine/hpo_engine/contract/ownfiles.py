"""The script's own files in which a trial's values stand: read from the frozen folder, written into RESULT_DIR."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from hpo_engine.contract import binding
from hpo_engine.contract.layout import opened
from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.placeholders import BUILT_IN, PlaceholderError, Template
from hpo_engine.contract.scriptfiles import EditError, edited
from hpo_engine.errors import LaunchError, nearest
from hpo_engine.study.spec import ScriptFile, StudySpec
from hpo_engine.text.quoting import shown

_MOST_BYTES = 1 << 18  # each trial's is made anew, and a parser of YAML in Python takes seconds for more


class OwnFiles:
    """The files of one study. `folder`: the script's, frozen."""

    def __init__(self, spec: StudySpec, folder: str) -> None:
        self._files, self._names, self._folder = spec.files, spec.config_names, folder
        self._texts: dict[str, str] = {}

    def write(self, paths: TrialPaths, values: Mapping[str, Any]) -> None:
        """Writes all of them into a RESULT_DIR that is laid out. `values`: see `placing.values_of`.

        Raises:
            LaunchError: one of them cannot be read, cannot take the values, or something stands in its place.
        """
        for file in self._files:
            try:
                if file.source not in self._texts:
                    self._texts[file.source] = read(self._folder, file.source)
                text = with_values(file, self._texts[file.source], values, self._names)
            except EditError as error:
                raise LaunchError(f"trial {paths.trial_id}: {file.path} {error}") from None
            folder, _, name = f"{paths.result_dir}/{file.path}".rpartition("/")
            with opened(paths, folder) as fd:
                try:
                    binding.put(fd, name, text.encode(), mode=_mode(f"{self._folder}/{file.source}"))
                except IsADirectoryError:
                    raise LaunchError(f"{folder}/{name} is a folder: remove it") from None


def read(folder: str, name: str) -> str:
    """The text of a file, its ends of lines as they are. Raises EditError."""
    try:
        # Looked at before it is opened: a pipe would block, and opening a device alone can make it act.
        found = os.stat(os.path.join(folder, name))
        if not stat.S_ISREG(found.st_mode):
            raise EditError("is not a regular file")
        if found.st_size > _MOST_BYTES:
            raise EditError(f"is too big ({found.st_size:,} bytes, at most {_MOST_BYTES:,})")
        with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
            return file.read(_MOST_BYTES)
    except UnicodeDecodeError:
        raise EditError("is not text in UTF-8") from None
    except OSError as error:
        raise EditError(f"cannot be read: {error.strerror}") from None


def with_values(file: ScriptFile, text: str, values: Mapping[str, Any], known: Iterable[str]) -> str:
    """The file of a trial. `text`: of its source; `known`: the study's parameters and its resource.

    Raises:
        EditError: it cannot take the values, or a placeholder names nothing.
    """
    names = frozenset(known)
    try:
        if file.keys is None:
            return Template.parse_text(text, names).fill_text(values)
        taken = {key: _value(placed, values, names) for key, placed in file.keys.items()}
    except PlaceholderError as error:
        raise EditError(f"cannot be filled: {error}") from None
    return edited(file.path, text, {key: value for key, value in taken.items() if value is not _NOTHING})


_NOTHING = object()


def _value(placed: str, values: Mapping[str, Any], names: frozenset[str]) -> Any:
    """The value for a key: that of the parameter itself, or a text with placeholders."""
    if placed in names or placed in BUILT_IN:
        return values.get(placed, _NOTHING)
    words = Template.parse_text(placed, names).fill(values)
    return words[0] if words else _NOTHING


def placed_in(file: ScriptFile, text: str, known: Iterable[str]) -> tuple[str, ...]:
    """The parameters whose values the file gets.

    Raises:
        PlaceholderError: a placeholder names nothing, or what a key gets is no parameter and has no placeholder.
    """
    names = frozenset(known)
    for placed in (file.keys or {}).values():
        if placed not in (*names, *BUILT_IN) and "{" not in placed:
            raise PlaceholderError(f"is to get {shown(placed)}, which is no parameter{nearest(placed, names)}")
    texts = (text,) if file.keys is None else file.keys.values()
    found = (frozenset([t]) if t in names else Template.parse_text(t, names).placed for t in texts)
    return tuple(sorted(names & frozenset[str]().union(*found)))


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o777 | 0o200
