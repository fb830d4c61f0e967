"""`modelSpec.args`, the command line of the dialect's launcher: its own options, and what is left for the script.

The launcher's vocabulary is open: what is not known here goes to the script, with a note if it looks like one of its
options.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from hpo_engine.contract.paths import absolute, is_below
from hpo_engine.space.params import json_text
from hpo_engine.studyfile.common import env_problem, split_command, study_name_problem
from hpo_engine.studyfile.wmla.fields import as_number

# Options of the launcher; each takes a value, as the next word or after "=".
_OPTIONS = frozenset((
    "--exec-start", "--model-main", "--model-dir", "--cs-datastore-meta", "--python-version", "--gpuPerWorker",
    "--numWorker", "--numPs", "--workerDeviceType", "--workerDeviceNum", "--workerMemory", "--driverMemory",
    "--edt-options", "--conda-env-name", "--appName", "--debug-level", "--rest-host", "--rest-port", "--master-host",
    "--msd-env", "--msd-image-name", "--ig", "--mpiarg", "--accelerators", "--ddl_opts", "--username", "--password",
))  # fmt: skip
_FLAGS = frozenset(("--exclusive",))
_KNOWN = {name.lower() for name in _OPTIONS | _FLAGS}
_LOOKS_KNOWN = re.compile(r"--(worker|driver|msd-|cs-|dl)", re.IGNORECASE)
_SECRET = "--password"
_HIDDEN = "***"
_END = "--"


@dataclass(frozen=True)
class Arguments:
    """`options`: the last value of each of the launcher's options ("" of a flag), never a password. `env`: of all
    --msd-env. `script`: what is left. `line`: the line itself, passwords hidden. `notes`: what the user should know."""

    options: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    script: tuple[str, ...] = ()
    line: str = ""
    notes: tuple[str, ...] = ()

    @property
    def data_path(self) -> str | None:
        """The data folder, relative to the shared data root (a slash in front counts for nothing)."""
        meta = dict(part.partition("=")[::2] for part in self.options.get("--cs-datastore-meta", "").split(","))
        return meta.get("data_path", "").strip().lstrip("/") or None

    @property
    def gpus(self) -> int | None:
        """GPUs of one trial: those of all its workers. None if the arguments do not say: GPUs are not managed then."""
        device = self.options.get("--workerDeviceType", "").lower()
        if device == "cpu":
            return 0
        if self.elastic:
            return self.elastic
        per_worker = self.options.get("--gpuPerWorker") or self.options.get("--workerDeviceNum")
        if per_worker is None and device != "gpu":
            return None
        return int(as_number(per_worker or 1) or 0) * max(1, int(as_number(self.options.get("--numWorker", 1)) or 1))

    @property
    def elastic(self) -> int | None:
        """`maxWorkers` of --edt-options: how many GPUs (or cores) one trial may use at most."""
        found = re.search(r"maxWorkers\s*=\s*([0-9]{1,6})\b", self.options.get("--edt-options", ""))
        return int(found[1]) or None if found else None


def read_arguments(line: str) -> Arguments:
    """Raises ValueError, in plain words, for what cannot be read."""
    return _read(line) if _SECRET in line else _read_once(line)


@lru_cache(maxsize=64)
def _read_once(line: str) -> Arguments:
    """A request is looked at several times, and clients send many with the same arguments."""
    return _read(line)


def _read(line: str) -> Arguments:
    # Clients break long lines with backslashes, also behind the last one, and some join them again without a break.
    words = split_command(re.sub(r"(?:^|(?<=\s))\\(?=\s|$)", "", line.replace("\r\n", "\n")))
    options: dict[str, str] = {}
    env: dict[str, str] = {}
    script: list[str] = []
    notes: list[str] = []
    for name, value, word in _split(words):
        if name in ("", _END):
            script.append(word)
            if not name and _looks_known(word):
                notes.append(_strange(word))
        elif name == _SECRET:
            notes.append(f"{_SECRET} is not needed here, and was not kept")
        elif name == "--msd-env":
            variable, given, content = value.partition("=")
            if not given or env_problem(variable):
                raise ValueError(f"--msd-env must be NAME=VALUE, not {json_text(value)}")
            env[variable] = content
        else:
            options[name] = value
    if "--edt-options" in options and "--numWorker" in options:  # scripts for elastic training read it, too
        script += ["--numWorker", options["--numWorker"]]
    hidden = _without_secrets(words) if any(note.startswith(_SECRET) for note in notes) else line
    return Arguments(options, env, tuple(script), hidden, (*notes, *_check(options)))


def _split(words: list[str]) -> Iterator[tuple[str, str, str]]:
    """(option, its value, "") of the launcher's, ("", "", word) for each word of the script; ("--", "", word) for those
    behind a "--", which are the script's whatever they look like."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == _END:
            yield from ((_END, "", rest) for rest in words[at:])
            return
        name, equals, value = word.partition("=")
        if name in _FLAGS:
            yield name, value, ""
        elif name not in _OPTIONS:
            yield "", "", word
        else:
            if not equals:
                if at == len(words) or words[at].partition("=")[0] in _OPTIONS | _FLAGS:
                    raise ValueError(f"{name} needs a value")
                value = words[at]
                at += 1
            yield name, value, ""


def _without_secrets(words: list[str]) -> str:
    """The line again, with passwords hidden."""
    out, ended, hide = [], False, False
    for word in words:
        name, equals, _ = word.partition("=")
        ended = ended or (word == _END and not hide)
        secret = name == _SECRET and not ended
        out.append(_HIDDEN if hide else f"{name}={_HIDDEN}" if secret and equals else word)
        hide = secret and not equals and not hide
    return shlex.join(out)


def _looks_known(word: str) -> bool:
    name = word.partition("=")[0]
    return _LOOKS_KNOWN.match(name) is not None or name.lower() in _KNOWN


def _strange(word: str) -> str:
    name = word.partition("=")[0]
    return f"{name} looks like an option of WMLA's launcher but is not a known one; it is passed to the script"


def _check(options: dict[str, str]) -> Iterator[str]:
    """Notes on values that are taken as something else. Raises ValueError for values without a meaning."""
    for name in ("--gpuPerWorker", "--workerDeviceNum", "--numWorker"):
        if name in options:
            number = as_number(options[name])
            if not isinstance(number, int) or number < 0:
                raise ValueError(f"{name} must be a whole number from 0 up, not {json_text(options[name])}")
            if number == 0 and name == "--numWorker":
                yield f"{name} 0 counts as 1"
    device = options.get("--workerDeviceType", "cpu")
    if device.lower() not in ("cpu", "gpu"):
        yield f"--workerDeviceType {json_text(device)} is neither cpu nor gpu and is ignored"


def inside(folder: str, path: str) -> str | None:
    """The absolute path of `path` below `folder`; None if it is outside."""
    full = absolute(path, folder)
    return full if is_below(full, folder) else None


def conda_python(name: str, env: Mapping[str, str]) -> str | None:
    """The interpreter of a conda environment, looked for where conda keeps them."""
    if study_name_problem(name):
        return None
    prefix, home = env.get("CONDA_PREFIX"), env.get("HOME")
    roots = [f"{prefix}/envs", os.path.dirname(prefix)] if prefix else []
    roots += [f"{home}/{base}/envs" for base in ("anaconda3", "miniconda3", "miniforge3")] if home else []
    found = (f"{root}/{name}/bin/python" for root in roots)
    return next((path for path in found if os.access(path, os.X_OK)), None)
