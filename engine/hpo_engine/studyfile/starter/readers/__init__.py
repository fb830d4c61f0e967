"""The readers, one for each manner in which a script takes its parameters; each is in a room of its own."""

from __future__ import annotations

from collections.abc import Callable

from hpo_engine.studyfile.starter.interface import Reading, Script
from hpo_engine.studyfile.starter.readers import argparse_options, config_json, other_texts

Reader = Callable[[Script], Reading | None]

READERS: tuple[Reader, ...] = (
    config_json.read,
    argparse_options.read,
    other_texts.read,
)
"""In this order: the first one that finds parameters decides how the script gets them."""


def read(script: Script) -> Reading:
    """How the script takes its parameters; without parameters if no reader knows."""
    readings = [found for reader in READERS if (found := reader(script)) is not None]
    return next((found for found in readings if found.parameters), readings[0] if readings else Reading(""))
