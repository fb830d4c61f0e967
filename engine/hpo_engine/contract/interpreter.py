"""The Python that runs a study's script, and the packages that are installed there: listed, never imported."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hpo_engine.contract.placeholders import literal

_LIMIT_S = 5.0
_SAY = "import json, platform, sys; print(json.dumps([platform.python_version(), sys.path]))"
_INSTALLED = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+).*\.(?:dist-info|egg-info)", re.IGNORECASE)
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*t?")


@dataclass(frozen=True)
class Interpreter:
    """`path` of a Python, its `version`, and its `packages`: name -> version, in the order of their names."""

    path: str = ""
    version: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


def interpreter_of(command: Sequence[str], env: Mapping[str, str], folder: str) -> Interpreter:
    """The Python that a command starts; nothing but defaults if it does not start one, or that cannot be known.

    Args:
        command: the words with placeholders, see `binding.command`. env: of the trials. folder: where they start.
    """
    path = _python(command[0], env, folder)
    if path is None:
        return Interpreter()
    if os.path.realpath(path) == os.path.realpath(sys.executable) and _prefix(path) == _prefix(sys.executable):
        return Interpreter(path, platform.python_version(), _installed(sys.path))
    try:
        said = subprocess.run(
            [path, "-c", _SAY], cwd=folder, env=dict(env), timeout=_LIMIT_S, check=True,
            stdin=subprocess.DEVNULL, capture_output=True,
        ).stdout  # fmt: skip
        version, places = json.loads(said)
        return Interpreter(path, str(version), _installed(map(str, places)))
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        return Interpreter(path)


def _python(word: str, env: Mapping[str, str], folder: str) -> str | None:
    """The interpreter behind the first word of a command: itself, or the one that its `#!` line names (torchrun)."""
    found = shutil.which(word, path=env.get("PATH", os.defpath)) if "/" not in word else os.path.join(folder, word)
    if found is None or found != literal(found):  # a placeholder
        return None
    if _PYTHON.fullmatch(os.path.basename(found)):
        return found
    try:
        with open(found, "rb") as file:
            first = file.readline(1024).decode(errors="replace")
    except OSError:
        return None
    words = first[2:].split() if first.startswith("#!") else []
    if len(words) > 1 and os.path.basename(words[0]) == "env":
        words = [w for w in words[1:] if not w.startswith("-")][:1]
    if not words or not _PYTHON.fullmatch(os.path.basename(words[0])):
        return None
    return words[0] if "/" in words[0] else shutil.which(words[0], path=env.get("PATH", os.defpath))


def _prefix(python: str) -> str:
    """The folder of the environment that a Python belongs to: that of its link, not of what the link leads to."""
    return os.path.dirname(os.path.realpath(os.path.dirname(python)))


def _installed(places: Iterable[str]) -> dict[str, str]:
    """The packages in these folders by the names of their metadata; the first folder that has one counts."""
    found: dict[str, str] = {}
    for place in places:
        try:
            entries = os.listdir(place or ".")
        except OSError:  # a zip archive, or no longer there
            continue
        here = [m for entry in entries if (m := _INSTALLED.fullmatch(entry))]
        for match in sorted(here, key=lambda m: str(m["name"]).lower()):
            found.setdefault(match["name"].lower().replace("_", "-"), match["version"])
    return dict(sorted(found.items()))
