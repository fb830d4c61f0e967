"""What the first trials of a study would run: their commands, variables and files. Nothing is made or started."""

from __future__ import annotations

import difflib
import json
import os
import secrets
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hpo_engine.text.tables import safe_text

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths, TrialPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec
    from hpo_engine.study.trial import Trial

_TRIALS = 3


def show_first(spec: StudySpec, paths: StudyPaths) -> None:
    """Prints them. Raises SpecError, SearcherError."""
    from hpo_engine import assembly, studies
    from hpo_engine.contract.needed import refuse_missing
    from hpo_engine.contract.snapshot.ignore import Patterns
    from hpo_engine.contract.snapshot.survey import survey

    root = os.path.realpath(os.path.dirname(paths.root))
    refuse_missing(spec, survey(os.path.realpath(spec.model_dir), excluded=[root], patterns=Patterns(spec.exclude)))
    seed = secrets.randbelow(2**31) if spec.seed is None else spec.seed
    spec = replace(spec, seed=seed, base={} if spec.base_config is None else studies.base_of(spec))
    history = assembly.first_trials(spec, _TRIALS)
    click.echo(f"{spec.name}: nothing was started; with seed {seed}, its first trials would run:")
    for trial in history.trials:
        click.echo(f"\ntrial {trial.id}")
        for line in _of_trial(trial, history, paths.trial(trial.id)):
            click.echo(f"  {safe_text(line)}")


def _of_trial(trial: Trial, history: History, paths: TrialPaths) -> Iterator[str]:
    from hpo_engine.contract.ownfiles import read, with_values
    from hpo_engine.contract.placing import Placed, values_of

    spec = history.spec
    values, placed = values_of(spec, paths, history.config(trial)), Placed(spec, spec.command, spec.env)
    yield f"command      {shlex.join(placed.command(values))}"
    for name, value in placed.environment(values).items():
        yield f"environment  {name}={shlex.quote(value)}"
    yield f"config.json  {json.dumps(history.whole_config(trial))}"
    for file in spec.files:
        before = read(spec.model_dir, file.source)
        after = with_values(file, before, values, spec.config_names)
        yield f"file         {file.path}"
        lines = difflib.ndiff(before.splitlines(), after.splitlines())
        yield from (f"  {line}" for line in lines if line.startswith("+ "))
