"""What the first trials of a study would run: their commands, variables and files. Nothing is made or started."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from hpo_engine.text.tables import safe_text

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.spec import StudySpec

_TRIALS = 3


def show_first(spec: StudySpec, paths: StudyPaths) -> None:
    """Prints them. Raises SpecError, SearcherError."""
    from hpo_engine import assembly, studies
    from hpo_engine.contract.binding import Resumed
    from hpo_engine.contract.needed import refuse_missing
    from hpo_engine.contract.preview import Preview
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
        for line in Preview.of(trial, history, paths.trial(trial.id)).lines():
            click.echo(f"  {safe_text(line)}")
    first, resource = history.trials[0], spec.resource
    if resource is None or resource.resume == "never" or first.proposal.resource in (None, resource.max):
        return
    promoted = replace(first, proposal=replace(first.proposal, resource=resource.max))
    click.echo(f"\ntrial 0, if it goes on from its checkpoint to {safe_text(resource.name)} {resource.max}")
    resumed = Resumed(first.proposal.resource or 0, checkpoint="(its newest checkpoint)")
    for line in Preview.of(promoted, history, paths.trial(0), resumed).lines():
        click.echo(f"  {safe_text(line)}")
