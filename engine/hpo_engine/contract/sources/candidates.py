"""The sources that a study's metrics may come from, in their order; each is made when it is first looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
from hpo_engine.plugins.card import Card

OWN = ("val_dict_list", "emetrics")
"""Files that a script writes for the engine. Their rows count at once, whatever else there is."""
LOOSE = ("csv", "jsonl", "json", "stdout")
"""Any file or line with numbers is read by these: without a metric of the study it may be something else."""
ORDER = (*OWN, "lightning_csv", "tensorboard", "csv", "jsonl", "json", "trainer_state", "stdout", "mlflow")
EXIT_CODE = "exit_code"
"""A source, and the metric that it gives; never looked for where nobody has named it."""


class Auto(MetricSource):
    """`SOURCES_AUTO`. Stands for the sources of `ORDER`, which `assembly` puts in its place; it is never made."""

    card = Card(f"the first of these that has the objective: {', '.join(ORDER)}")


@dataclass(frozen=True)
class Candidate:
    """A source that may be read. `key`: its name in the event log, `csv`, or `csv 2` for the second one of that name.

    `make`: raises SpecError if it cannot be made. `own`: see `OWN`. `named`: the study file names it.
    """

    key: str
    make: Callable[[TrialFiles], MetricSource]
    own: bool = False
    named: bool = True

    @property
    def loose(self) -> bool:
        """Whether it may have read what is no report at all; what the study file names is one."""
        return not self.named and self.key in LOOSE

    def files(self, trial: TrialFiles) -> Sequence[str]:
        """`MetricSource.files`. A file that nobody has named stays where it is: a `metrics.csv` may be data."""
        return self.make(trial).files if self.named or self.own else ()


def choosing(candidates: Sequence[Candidate]) -> bool:
    """Whether it has to be found out which of them the metrics come from."""
    return len(candidates) > 1 and not all(candidate.own for candidate in candidates)


def keys(names: Sequence[str]) -> list[str]:
    """The keys of sources with these names."""
    out: list[str] = []
    for i, name in enumerate(names):
        before = names[:i].count(name)
        out.append(f"{name} {before + 1}" if before else name)
    return out
