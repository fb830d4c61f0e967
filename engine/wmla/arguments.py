"""`modelSpec.args`, the command line of the dialect's launcher: its own options, and what is left for the script."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.forms import env_problem, split_command, study_name_problem
from engine.params import json_text
from engine.paths import absolute, is_below
from engine.wmla.fields import as_number

# Options of the launcher; each takes a value, as the next word or after "=".
_OPTIONS = (
    "--exec-start", "--model-main", "--model-dir", "--cs-datastore-meta", "--python-version", "--gpuPerWorker",
    "--numWorker", "--workerDeviceType", "--edt-options", "--conda-env-name", "--appName", "--debug-level",
    "--rest-host", "--msd-env",
)  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    """`options`: the last value of each of the launcher's options. `env`: of all --msd-env. `script`: what is left."""

    options: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    script: tuple[str, ...] = ()

    @property
    def data_path(self) -> str | None:
        """The data folder, relative to the shared data root."""
        meta = dict(part.partition("=")[::2] for part in self.options.get("--cs-datastore-meta", "").split(","))
        return meta.get("data_path", "").strip() or None

    @property
    def gpus(self) -> int | None:
        """GPUs of one trial: those of all its workers. None where nothing is said: they are not managed then."""
        per_worker, device = self.options.get("--gpuPerWorker"), self.options.get("--workerDeviceType", "")
        if device.lower() == "cpu":
            return 0
        workers = int(self.options.get("--numWorker", 1))
        return int(per_worker or 1) * workers if per_worker or device else None


def read_arguments(line: str) -> Arguments:
    """Raises ValueError, in plain words, for what cannot be read."""
    options: dict[str, str] = {}
    env: dict[str, str] = {}
    script: list[str] = []
    words = split_command(line)
    while words:
        word = words.pop(0)
        if word == "--":  # all that follows is the script's, whatever it looks like
            script += words
            break
        name, equals, value = word.partition("=")
        if name not in _OPTIONS:
            script.append(word)
            continue
        if not equals:
            if not words or words[0].partition("=")[0] in _OPTIONS:
                raise ValueError(f"{name} needs a value")
            value = words.pop(0)
        if name == "--msd-env":
            variable, given, content = value.partition("=")
            if not given or env_problem(variable):
                raise ValueError(f"--msd-env must be NAME=VALUE, not {json_text(value)}")
            env[variable] = content
        else:
            options[name] = value
    _check(options)
    return Arguments(options, env, tuple(script))


def _check(options: Mapping[str, str]) -> None:
    for name, least in (("--gpuPerWorker", 0), ("--numWorker", 1)):
        if name in options:
            number = as_number(options[name])
            if not isinstance(number, int) or number < least:
                raise ValueError(f"{name} must be a whole number from {least} up, not {json_text(options[name])}")
    device = options.get("--workerDeviceType", "cpu")
    if device.lower() not in ("cpu", "gpu"):
        raise ValueError(f"--workerDeviceType must be cpu or gpu, not {json_text(device)}")


def inside(folder: str, path: str) -> str | None:
    """The absolute path of `path` below `folder`; None where it leads out of it."""
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
