"""What a metric source is: one way in which a script reports its metrics, read while it runs and once at the end.

`assembly.METRIC_SOURCES` names ours; a study uses those of its `results`, the first one that has the objective.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.sources.tree import Tree
from hpo_engine.plugins.card import NO_CARD, Card
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial


@dataclass(frozen=True)
class TrialFiles:
    """Where a source may look: the folders of a trial, and the number of the attempt that is read.

    `named`: metrics that the study file names; none of them is the step of a row, whatever it is called. `placed`:
    paths in RESULT_DIR of files into which the engine put values. `objectives`: of the named ones those searched for.
    `nonce`: identifies the attempt. `env`: variables of the study and of trackers for this attempt.
    """

    paths: TrialPaths
    attempt: int = 1
    named: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()
    objectives: frozenset[str] = frozenset()
    nonce: str = ""
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: TrialPaths, trial: Trial, spec: StudySpec) -> TrialFiles:
        """For the last attempt of a trial."""
        placed = frozenset([file.path for file in spec.files])
        objectives = frozenset([objective.metric for objective in spec.objectives])
        joining = {} if trial.attempt is None else trial.attempt.variables
        env = {**os.environ, **joining, **spec.env}
        return cls(paths, len(trial.attempts), spec.metrics, placed, objectives, trial.nonce, env)

    @cached_property
    def result_tree(self) -> Tree:
        """What is in RESULT_DIR; shared by all sources of the attempt."""
        return Tree(self.paths.result_dir)

    @cached_property
    def log_tree(self) -> Tree:
        return Tree(self.paths.log_dir)


@dataclass(frozen=True)
class Reading:
    """What a trial has reported, read once after all its processes ended.

    `source`: the file that the rows come from (""; none). `problem`: what is wrong; with rows, only a note (another
    source had them). `broken`: there are results, and they cannot be read. `strange`: metrics that are not numbers,
    and what they are. `digest`: sha256 of the file's bytes.

    Of a study that may read several sources, `Reports` also says which one this is (`key`), how its `steps` are counted
    (see `MetricSource.steps`), which `others` have the objective, and, if none has it, what they have instead (`also`).
    """

    rows: tuple[Row, ...] = ()
    source: str = ""
    problem: str | None = None
    broken: bool = False
    strange: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    key: str = ""
    steps: str = ""
    others: tuple[str, ...] = ()
    also: tuple[Reading, ...] = ()

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the rows have, in order of appearance."""
        return tuple({name: None for row in self.rows for name in row.values})


class MetricSource:
    """One way in which a script reports metrics. One is made per attempt, as `Class(trial, **options)`.

    It is also made once before the study starts, to check the options; so the constructor touches no file, and raises
    ValueError if a value is wrong. Sources that read one file derive from `WholeFile` or `GrowingFile`.
    """

    card: ClassVar[Card] = NO_CARD
    title: str
    """What it reads, for messages: "val_dict_list.json in RESULT_DIR"."""
    files: Sequence[str] = ()
    """What it reads in RESULT_DIR, by relative path: a copy that an earlier run left there is never taken for it."""
    patterns: Sequence[str] = ()
    """What it looks for by `found.Found`: what a continued attempt finds of it there is recorded before it begins."""
    rows: Sequence[Row] = ()
    """All rows that `look` has found so far."""

    def carry_on(self, attempt: int) -> None:
        """Called before a trial that has ended is trained further; `attempt`: the last one's number.

        What that reported does not count again, even if it stays in the file. A source that cannot tell old reports
        from new ones may set its file aside here.
        """

    def look(self) -> bool:
        """Adds what was reported since the last call to `rows`; returns whether they may have changed.

        It is called at every turn of the loop: at most a stat if nothing has changed, and only the new part of what
        grows is read. What is torn or odd counts as not there yet. It never waits.
        """
        raise NotImplementedError

    def final(self, *, cut: bool) -> Reading:
        """All that was reported, read anew when no process of the trial is left. `look` is not called after it.

        Args:
            cut: the attempt did not end by itself with exit code 0, so its last line may be torn.

        Raises:
            Missing, Gone: there is nothing to read.
            ContractError: it cannot be read; the text says why in one line.
            OSError: the machine cannot read at present, see `faults.at_fault`.
        """
        raise NotImplementedError

    def steps(self) -> str:
        """How the steps of its rows are counted, for people: `a step is an epoch`; "" if there is nothing to say.

        Called after `final`, once per study.
        """
        return ""
