"""A trial's metrics, read as an engine reads them from the sources that every study has."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.sources.candidates import Candidate
from hpo_engine.contract.sources.emetrics import Emetrics
from hpo_engine.contract.sources.interface import Reading, TrialFiles
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.contract.sources.val_dict_list import ValDictList
from hpo_engine.study.objective import Row

OWN = [Candidate("val_dict_list", ValDictList, own=True), Candidate("emetrics", Emetrics, own=True)]
"""The sources of a study file of WMLA's."""


class Restless(Reports):
    """Reads at every call, however long the last one took on a busy machine."""

    def fresh(self, used: Sequence[str] = ()) -> tuple[tuple[Row, ...], bool] | None:
        self._not_before = 0.0
        return super().fresh(used)


def reports(paths: TrialPaths, named: Collection[str] = (), kind: type[Reports] = Restless) -> Reports:
    trial = TrialFiles(paths, named=frozenset(named))
    return kind(trial, OWN)


def final_rows(paths: TrialPaths, named: Collection[str] = ()) -> Reading:
    return reports(paths, named).final()
