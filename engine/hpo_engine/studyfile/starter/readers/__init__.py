"""The readers, one for each manner in which a script takes its parameters; each is in a room of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hpo_engine.studyfile.starter.interface import Reading, Script
from hpo_engine.studyfile.starter.plan import worth_searching
from hpo_engine.studyfile.starter.readers import (
    absl_flags,
    argparse_options,
    argument_words,
    called_functions,
    click_options,
    config_json,
    constants,
    dataclass_options,
    environment,
    hydra,
    lightning_cli,
    optuna_trials,
    other_languages,
    other_texts,
    own_file,
    shell_words,
    tuned_modules,
    typer_options,
)

Reader = Callable[[Script], Reading | None]

READERS: tuple[Reader, ...] = (
    tuned_modules.read,
    lightning_cli.read,
    hydra.read,
    own_file.of_an_option,
    own_file.of_the_code,
    own_file.of_the_contract,
    config_json.read,
    optuna_trials.read,
    dataclass_options.read,
    click_options.read,
    typer_options.read,
    absl_flags.read,
    called_functions.read,
    argparse_options.read,
    own_file.beside_options,
    argument_words.read,
    environment.read,
    shell_words.read,
    other_languages.read,
    other_texts.read,
    constants.read,
)
"""In this order: the first one that finds something to search decides how the script gets its parameters."""

BESIDE: tuple[Reader, ...] = (environment.read,)
"""What these find is added to what one of the others has found: its places do not depend on the command."""


def read(script: Script) -> Reading:
    """How the script takes its parameters; without parameters if no reader knows."""
    readings = [found for reader in READERS if (found := reader(script)) is not None]
    useful = [r for r in readings if worth_searching(r.parameters)] or [r for r in readings if r.notes] or readings
    chosen = useful[0] if useful else Reading("")
    same = [note for other in readings if other is not chosen and other.manner == chosen.manner for note in other.notes]
    chosen = replace(chosen, notes=(*chosen.notes, *same)) if same else chosen
    # What another manner needs is needed all the same.
    needed = [p for other in readings if other is not chosen for p in other.parameters if p.required and p.option]
    beside = [p for reader in BESIDE if (found := reader(script)) is not None for p in found.parameters]
    names = {p.name for p in chosen.parameters}
    added = [p for p in [*needed, *beside] if p.name not in names]
    form = chosen.form or next((other.form for other in readings if other.form and needed), "")
    return replace(chosen, parameters=(*chosen.parameters, *added), form=form) if added else chosen
