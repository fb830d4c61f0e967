"""What a study's results say of the script rather than of its parameters: trials that are all the same.

Pure functions of a history; nothing here looks at a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hpo_engine.space.searchspace import Constant
from hpo_engine.study.history import History
from hpo_engine.study.rows import same_rows
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial, TrialState

ENOUGH = 5
_CLOCK = re.compile(r"(?i)time|sec|duration|elapsed|speed|throughput|_per_|fps|memory|mem_|date|stamp")


class Unlike:
    """Which metrics differ by themselves from trial to trial: times and speeds, unless they are an objective."""

    def __init__(self, spec: StudySpec) -> None:
        self._aims = {aim.metric for aim in spec.objectives}

    def __call__(self, metric: str) -> bool:
        return metric not in self._aims and _CLOCK.search(metric) is not None


class Sameness:
    """Whether completed trials with different parameters have all reported the same, as far as they were added.

    Times and speeds apart, which differ by themselves. Trials with more of a resource are another matter than those
    with less. `broken`: some have reported something else, and no more will change that.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._unlike = Unlike(spec)
        self._first: dict[int, Trial] = {}
        self._configurations: dict[int, set[str]] = {}
        self.broken = False

    def add(self, trial: Trial) -> None:
        if self.broken or trial.state is not TrialState.COMPLETED:
            return
        resource = trial.proposal.resource or 0
        first = self._first.setdefault(resource, trial)
        self._configurations.setdefault(resource, set()).add(
            json.dumps(searched(self._spec, trial.params), sort_keys=True, default=repr)
        )
        self.broken = first is not trial and not self._alike(first, trial)

    def remark(self) -> str:
        """`5 trials with different parameters reported identical rows: ...`; "" where that is not so."""
        count = max(map(len, self._configurations.values()), default=0)
        if self.broken or count < ENOUGH:
            return ""
        return (
            f"{count} trials with different parameters reported identical rows: does the script use its parameters? "
            'They are in config.json, in its working directory: json.load(open("config.json")); and wherever command '
            "and env of the study file place them, as in --lr {lr}"
        )

    def _alike(self, first: Trial, other: Trial) -> bool:
        return same_rows(first.rows, other.rows, but=self._unlike)


def identical(history: History) -> str:
    """What there is to say of a study whose trials are all the same; "" of any other."""
    sameness = Sameness(history.spec)
    for trial in history.trials:
        sameness.add(trial)
        if sameness.broken:
            return ""
    return sameness.remark()


def searched(spec: StudySpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that tell one trial from another."""
    return {n: v for n, v in params.items() if n not in spec.space or not isinstance(spec.space[n], Constant)}
