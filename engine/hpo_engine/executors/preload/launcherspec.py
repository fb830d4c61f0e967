"""Which commands can be forked from a launcher that has done their imports, and what that launcher is started with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract import binding
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.preload.title import MARK_ROOM

Modules = tuple[str, ...] | None
"""What to import; None: what the script does."""

_PYTHON = re.compile(r"python(\d(\.\d+)?)?t?$")
_ALONE = set("bBdEIOPqsSuv")  # options of the interpreter without a value ...
_VALUED = set("WX")  # ... and with one
_SEARCHED = ("PYTHONPATH", "PATH", "LD_LIBRARY_PATH")  # variables that a launcher has, too
_READ_EARLY = re.compile(r"PYTHON|LD_|PATH$|MALLOC_|([GK]?O?MP|MKL|OPENBLAS|BLIS|CUDA|NCCL|TF|XLA)_|\w+_THREADS$")
"""Variables that an interpreter reads when it starts, or a library in C when it is loaded: an import's own reading of
variables is noticed, theirs is not."""
_NOT_SHARED = ("importtime", "frozen_modules", "showrefcount", "perf", "presite")  # of -X: about the start itself


@dataclass(frozen=True)
class Command:
    """`python OPTIONS script.py ...` or `python OPTIONS -m module ...`; `words`: how many come before sys.argv."""

    words: int
    script: str | None = None
    module: str | None = None

    @classmethod
    def of(cls, argv: tuple[str, ...]) -> Command | None:
        """None if it is something else, or of a kind that only a new interpreter can run."""
        if not _PYTHON.match(os.path.basename(argv[0])):
            return None
        k = 1
        while k < len(argv) and argv[k].startswith("-") and argv[k] not in ("-", "-m"):
            option = argv[k]
            if option[1:2] in _VALUED and (len(option) > 2 or k + 1 < len(argv)):
                value = option[2:] or argv[k + 1]
                if option[1] == "X" and value.startswith(_NOT_SHARED):
                    return None
                k += 1 if len(option) > 2 else 2
            elif set(option[1:]) <= _ALONE and len(option) > 1:
                k += 1
            else:
                return None
        if k + 1 < len(argv) and argv[k] == "-m":
            return cls(k + 1, module=argv[k + 1])
        return cls(k, script=argv[k]) if k < len(argv) and argv[k] not in ("-", "-m") else None


@dataclass(frozen=True)
class LauncherSpec:
    """How to start a launcher with imports done: `key` is the same for all attempts that one launcher can serve.

    `preload`: what it imports (see `importing.preload`); `script`: what an attempt's order says about its script (see
    `forked.ForkedScript`).
    """

    key: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: str
    preload: Mapping[str, Any]
    script: Mapping[str, Any]


def spec_of(launch: BoundLaunch, argv0: str, modules: Modules) -> LauncherSpec | None:
    """The launcher that this attempt can be forked from; None if only a new interpreter can run it.

    Args:
        argv0: the command's program as a path.
    """
    folder, result_dir = launch.paths.study.model, launch.paths.result_dir
    argv = tuple([_shared(word, result_dir, folder) for word in launch.argv[: launch.fixed]])
    command = Command.of(argv) if argv else None
    if command is None or not _absolute(launch.env.get("PYTHONPATH")) or not os.path.isdir(folder):
        return None
    if any(_READ_EARLY.match(name) for name in launch.varying):
        return None
    if "/" in launch.argv[0] and not os.path.isabs(launch.argv[0]):
        return None  # an interpreter in the model folder: each trial has its own
    script = None if command.script is None else os.path.join(folder, command.script)
    if script is not None and not os.path.isfile(script):
        return None  # a folder or an archive can be run, too; or it is missing, which the interpreter reports
    own = {k for k, v in launch.env.items() if result_dir in v and v != result_dir and k not in _SEARCHED}
    own |= binding.PER_ATTEMPT | launch.varying
    env = {k: v for k, v in launch.env.items() if k not in own and (v != result_dir or k in _SEARCHED)}
    env |= {k: _shared(env[k], result_dir, folder) for k in _SEARCHED if k in env}
    head = (argv0, *argv[1 : command.words - (command.module is not None)])
    preload = {
        "modules": modules,
        "script": script,
        "module": command.module,
        "folder": folder,
        "per_trial": sorted(own),
        "argv": [argv0, *argv[1:]],
        "words": command.words,
    }
    return LauncherSpec(
        key=json.dumps([head, preload, sorted(env.items())]),
        argv=head,
        env={**env, "HPO_ATTEMPT": "-" * MARK_ROOM},
        folder=folder,
        preload=preload,
        script={"words": command.words, "module": command.module, "folder": folder},
    )


def _shared(text: str, result_dir: str, folder: str) -> str:
    """What leads into the trial's folder leads a launcher, which has none, to what that is a view of."""
    if result_dir not in text:
        return text
    return re.sub(re.escape(result_dir) + r"(?![\w.-])", lambda _: folder, text)


def _absolute(path: str | None) -> bool:
    """Whether PYTHONPATH means the same in every folder."""
    return not path or all(os.path.isabs(part) for part in path.split(os.pathsep))
