"""What a trial is started with, as a person reads it: its command, its variables, its config.json, its own files."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpo_engine.contract.ownfiles import read, with_values
from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.placing import Placed, values_of
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial


@dataclass(frozen=True)
class Preview:
    """`environment`: the study's own variables. `files`: those of the script that have values of this trial, each with
    the lines that differ from the user's."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    config: Mapping[str, Any]
    files: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, trial: Trial, history: History, paths: TrialPaths) -> Preview:
        """Raises SpecError: one of its own files cannot be read."""
        spec = history.spec
        values, placed = values_of(spec, paths, history.config(trial)), Placed(spec, spec.command, spec.env)
        files: dict[str, tuple[str, ...]] = {}
        for file in spec.files:
            before = read(spec.model_dir, file.source)
            after = with_values(file, before, values, spec.config_names)
            lines = difflib.ndiff(before.splitlines(), after.splitlines())
            files[file.path] = tuple(line[2:] for line in lines if line.startswith("+ "))
        return cls(placed.command(values), placed.environment(values), history.whole_config(trial), files)

    def lines(self) -> Iterator[str]:
        yield f"command      {shlex.join(self.command)}"
        for name, value in self.environment.items():
            yield f"environment  {name}={shlex.quote(value)}"
        yield f"config.json  {json.dumps(self.config)}"
        for path, changed in self.files.items():
            yield f"file         {path}"
            yield from (f"  + {line}" for line in changed)
