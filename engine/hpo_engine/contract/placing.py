"""Where a study's parameters go in a script's command line and environment, and what their placeholders stand for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.placeholders import RESUME_FROM, Template, as_word
from hpo_engine.study.spec import StudySpec


class Placed:
    """The command and the environment of a study with placeholders, to be filled for each attempt.

    `varying`: variables whose values differ from trial to trial.

    Args:
        words: of the command; env: the study's own variables; both as they are written.

    Raises:
        PlaceholderError: see `Template.parse`; the study file's reader has refused such a study.
    """

    def __init__(self, spec: StudySpec, words: Sequence[str], env: Mapping[str, str]) -> None:
        names = spec.config_names
        self._command = Template.parse(words, names)
        self._env = {name: Template.parse_text(text, names) for name, text in env.items()}
        self._all = {} if spec.params_env is None else {variable(spec.params_env, name): name for name in names}
        in_files = (file.names for file in spec.files)
        placed = self._command.placed.union(*in_files, *(template.placed for template in self._env.values()))
        self._rest = tuple(name for name in names if name not in placed)
        self._spellings = spec.spellings
        self.varying = frozenset([*self._all, *(name for name, template in self._env.items() if template.placed)])

    @property
    def in_config_only(self) -> tuple[str, ...]:
        """The names that the script finds in config.json and nowhere else."""
        return () if self._command.takes_all or self._all else self._rest

    @property
    def fixed(self) -> int:
        """The number of words at the beginning of the command that are the same in all trials."""
        return self._command.fixed

    def command(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The argv of an attempt. `values`: see `values_of`."""
        return self._command.fill(values, self._rest, self._spellings)

    def environment(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The study's own variables of an attempt. Those with a parameter that does not apply are left out; one that is
        only the checkpoint to go on from is empty while there is none."""
        everything = {name: as_word(values[of]) for name, of in self._all.items() if of in values}
        own = {name: template.fill(values) or template.instead for name, template in self._env.items()}
        return everything | {name: words[0] for name, words in own.items() if words}


def filled_command(spec: StudySpec, paths: TrialPaths, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A trial's command with its parameters, as a person would type it; () if the study places none in it."""
    placed = Placed(spec, spec.command, spec.env)
    return placed.command(values_of(spec, paths, config)) if placed.fixed < len(spec.command) else ()


def values_of(
    spec: StudySpec, paths: TrialPaths, config: Mapping[str, Any], resume_from: str | None = None
) -> dict[str, Any]:
    """What placeholders stand for in a trial.

    Args:
        config: what the study decides of its config.json.
        resume_from: the checkpoint that the attempt goes on from; None: it begins afresh.
    """
    built_in = {
        "trial": paths.trial_id,
        "study": spec.name,
        "seed": trial_seed(spec.seed or 0, paths.trial_id),
        "result_dir": paths.result_dir,
        "log_dir": paths.log_dir,
        "data_dir": spec.data_dir or spec.data_root or paths.result_dir,
        **({} if resume_from is None else {RESUME_FROM: resume_from}),
    }
    # A parameter of such a name hides it in all trials, also in those to which the parameter does not apply.
    return {name: value for name, value in built_in.items() if name not in spec.config_names} | dict(config)


def trial_seed(seed: int, trial_id: int) -> int:
    """A seed for each trial of a study, 0 to 2**31 - 1: the same whenever and wherever the trial runs."""
    return int.from_bytes(hashlib.sha256(f"{seed} {trial_id}".encode()).digest()[:4], "big") >> 1


def variable(prefix: str, name: str) -> str:
    """The variable of a parameter under `params_env`: HP_ and `learning rate` give HP_LEARNING_RATE."""
    return prefix + re.sub(r"\W", "_", name).upper()
