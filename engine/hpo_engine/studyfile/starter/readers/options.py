"""What readers of command lines share: names of options, and the placeholder that writes them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpo_engine.studyfile.starter.interface import Parameter


def option_name(spellings: Sequence[str]) -> str:
    """The name of a parameter from its options, the first one that counts: `learning_rate` of --learning-rate."""
    return spellings[0].lstrip("-").replace("-", "_") if spellings else ""


def form_of(parameters: Iterable[Parameter]) -> str:
    """The placeholder that writes most of the options as they are spelled."""
    options = [p.option for p in parameters if p.option and not p.word]
    return "{params:-}" if any("-" in option.lstrip("-") for option in options) else "{params}"


_TRAINING = ("train", "fit", "training", "main", "run", "tune", "search")


def command_word(words: Sequence[str]) -> str:
    """Of several sub-commands, the one that most likely trains."""
    return min(words, key=lambda word: _TRAINING.index(word.lower()) if word.lower() in _TRAINING else len(_TRAINING))
