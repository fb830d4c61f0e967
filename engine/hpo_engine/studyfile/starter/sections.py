"""Which values of a configuration are settings of a model and its training; the others are about places and tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from hpo_engine.space.params import name_problem
from hpo_engine.studyfile.starter.interface import Parameter, usable
from hpo_engine.studyfile.starter.kinds import Kind, kind_of

_ASIDE = re.compile(
    r"(?i)^(hydra|paths?|logg(er|ing)s?|callbacks?|extras?|wandb|mlflow|tensorboard|checkpoints?|model_checkpoint"
    r"|early_?stopping|debug|test|testing|eval|evaluation|inference|predict|val|valid|validation|distributed|slurm"
    r"|launcher|system|server|database|db|env_vars|metadata|export|deploy(ment)?|api)$"
)
_SCHEDULER = re.compile(r"(?i)schedul")
_DATA = re.compile(r"(?i)^(data|datasets?|datamodule|data_?loaders?|loader)$")
_OF_A_SCHEDULER = (Kind.RATE, Kind.GAMMA, Kind.WARM_UP, Kind.CHOICE)
_TEXT = re.compile(r"[A-Za-z][\w.-]{0,39}$")


def settings(values: Iterable[tuple[str, Any]]) -> Iterator[Parameter]:
    """The parameters among the values of a tree, by their dotted names: numbers, switches and short words."""
    for name, value in values:
        *above, last = name.split(".")
        if value is None or isinstance(value, (list, tuple)) or not usable(value) or last.startswith("_"):
            continue
        if name_problem(name) is not None:
            continue
        if isinstance(value, str) and not _TEXT.match(value):  # paths, interpolations, sentences
            continue
        if any(_ASIDE.match(section) for section in above):
            continue
        if any(_SCHEDULER.search(section) for section in above) and kind_of(last) not in _OF_A_SCHEDULER:
            continue
        if any(_DATA.match(section) for section in above) and kind_of(last) is Kind.OTHER:
            continue  # the noise of the data is no setting: less of it is always better
        yield Parameter(name, value, type(value))


def with_options(parameters: Iterable[Parameter], form: str) -> tuple[Parameter, ...]:
    """The parameters as options of the command line. `form`: `--{}` or `{}=`."""
    return tuple(replace(p, option=form.format(p.name)) for p in parameters)
