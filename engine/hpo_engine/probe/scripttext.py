"""What the texts of a script's folder name: options, files, paths. Reads texts only; runs nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from hpo_engine.contract.command import script_of
from hpo_engine.contract.paths import CONFIG
from hpo_engine.study.spec import StudySpec

_MOST_FILES, _MOST_BYTES = 300, 4 << 20
_TEXTS = (".py", ".sh", ".bash", ".r", ".R", ".jl", ".js", ".pl", ".rb", ".lua")
_SETTINGS = re.compile(r".+\.(json|ya?ml|toml|ini|cfg|conf)$", re.IGNORECASE)
_QUOTED = re.compile(r"([\"'])((?:(?!\1)[^\\\n]){1,300})\1")
_BARE = re.compile(r"(?<![\w.$}/~-])(~?/[\w.+@-][\w./+@-]*)")  # of shell scripts
_NOT_DATA = ("/usr/", "/bin/", "/sbin/", "/lib", "/proc/", "/dev/", "/sys/", "/etc/", "/opt/")
_SHARED = ("/tmp", "/var/tmp", "/home", "/root", "/mnt", "/data", "/scratch", "/")


@dataclass(frozen=True)
class ScriptText:
    """`texts`: by path relative to the script's folder, that of the script first."""

    texts: dict[str, str]

    @classmethod
    def of(cls, spec: StudySpec, folder: str) -> ScriptText:
        """`folder`: the study's copy of the script's."""
        first = script_of(spec.command) or ""
        names = sorted(_names(folder), key=lambda name: (os.path.normpath(name) != os.path.normpath(first), name))
        return cls(dict(_read(folder, names[:_MOST_FILES])))

    @cached_property
    def literals(self) -> list[str]:
        """The quoted texts, and in other languages than Python the paths that stand there without quotes."""
        found: dict[str, None] = {}
        for name, text in self.texts.items():
            found.update(dict.fromkeys(match[2] for match in _QUOTED.finditer(text)))
            if not name.endswith(".py"):
                found.update(dict.fromkeys(_BARE.findall(text)))
        return list(found)

    @cached_property
    def options(self) -> list[str]:
        """What looks like an option of a command line: --batch-size."""
        return [text for text in self.literals if re.fullmatch(r"--?[A-Za-z][\w.-]*", text)]

    @cached_property
    def words(self) -> frozenset[str]:
        """All identifiers."""
        return frozenset(word for text in self.texts.values() for word in re.findall(r"[A-Za-z_]\w*", text))

    def settings(self) -> Iterator[str]:
        """Relative names of files with settings, as in "params.json", that are not the trial's config.json."""
        for text in self.literals:
            if _SETTINGS.match(text) and not text.startswith(("/", "~", ".")) and " " not in text and text != CONFIG:
                yield text

    def other_configs(self) -> list[str]:
        """Paths that lead to a config.json elsewhere: "/home/me/project/config.json", "../config.json"."""
        found = (text for text in self.literals if os.path.basename(text) == CONFIG and text != CONFIG)
        return [text for text in found if os.path.normpath(text) != CONFIG]

    def outside(self, result_dir: str) -> list[str]:
        """Absolute paths that the texts name and that all trials share, as far as they lead out of a trial's folder."""
        found: dict[str, None] = {}
        for text in self.literals:
            path = os.path.expanduser(text.split("{")[0])
            if ".." in path.split("/"):
                path = os.path.normpath(os.path.join(result_dir, path))
            path = os.path.normpath(path) if path.startswith("/") and not re.search(r"\s", path) else ""
            if path and path not in _SHARED and not path.startswith((*_NOT_DATA, f"{result_dir}/")):
                found[path] = None
        return list(found)


def _names(folder: str) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.relpath(os.path.join(at, name), folder) for name in names if name.endswith(_TEXTS))


def _read(folder: str, names: list[str]) -> Iterator[tuple[str, str]]:
    left = _MOST_BYTES
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read(left)
        except OSError:
            continue
        left -= len(data)
        yield name, data.decode(errors="replace")
        if left <= 0:
            return
