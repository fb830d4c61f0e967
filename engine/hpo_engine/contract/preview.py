"""What a trial is started with, as a person reads it: its command, its variables, its config.json, its own files."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract.binding import Resumed
from hpo_engine.contract.ownfiles import read, with_values
from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.placing import Placed, values_of
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial


@dataclass(frozen=True)
class Preview:
    """`environment`: the study's own variables, and those that say what it goes on from. `files`: those of the script
    that have values of this trial, each with the lines that differ from the user's."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    config: Mapping[str, Any]
    files: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, trial: Trial, history: History, paths: TrialPaths, resumed: Resumed | None = None) -> Preview:
        """What the trial would be started with.

        Args:
            resumed: the earlier training that it goes on from.

        Raises:
            SpecError: one of its own files cannot be read.
        """
        spec, config, resume_from = history.spec, history.whole_config(trial), resumed.path(paths) if resumed else None
        values = values_of(spec, paths, history.config(trial), resume_from)
        placed = Placed(spec, spec.command, spec.env)
        if resume_from is not None and spec.resume_key is not None:
            config[spec.resume_key] = resume_from
        files: dict[str, tuple[str, ...]] = {}
        for file in spec.files:
            before = read(spec.model_dir, file.source)
            after = with_values(file, before, values, spec.config_names)
            lines = difflib.ndiff(before.splitlines(), after.splitlines())
            files[file.path] = tuple(line[2:] for line in lines if line.startswith("+ "))
        engines = {} if resumed is None else resumed.variables(paths)
        return cls(placed.command(values), {**placed.environment(values), **engines}, config, files)

    def lines(self) -> Iterator[str]:
        yield f"command      {shlex.join(self.command)}"
        for name, value in self.environment.items():
            yield f"environment  {name}={shlex.quote(value)}"
        yield f"config.json  {json.dumps(self.config)}"
        for path, changed in self.files.items():
            yield f"file         {path}"
            yield from (f"  + {line}" for line in changed)
