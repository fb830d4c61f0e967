"""The exit code as a metric, for a training that is not judged: it is good if its program ends well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpo_engine.contract.sources.candidates import EXIT_CODE
from hpo_engine.contract.sources.emetrics import Emetrics
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.val_dict_list import ValDictList
from hpo_engine.errors import ContractError
from hpo_engine.plugins.card import Card
from hpo_engine.study.objective import Row


class ExitCode(MetricSource):
    """A last row with `exit_code` 0, behind the rows of the files that scripts write for the engine."""

    card = Card("exit_code, 0 of a run that ended well, beside what val_dict_list.json or emetrics have, if anything")
    title = "the exit code"

    def __init__(self, trial: TrialFiles) -> None:
        self._beside: Sequence[MetricSource] = (ValDictList(trial), Emetrics(trial))
        self.files = [name for source in self._beside for name in source.files]

    def carry_on(self, attempt: int) -> None:
        for source in self._beside:
            source.carry_on(attempt)

    def look(self) -> bool:
        changed = [source.look() for source in self._beside]
        self.rows = next((source.rows for source in self._beside if source.rows), ())
        return any(changed)

    def final(self, *, cut: bool) -> Reading:
        found = self._reported(cut)
        if cut:
            return found
        row = found.rows[-1] if found.rows else Row(1, {})
        last = Row(row.step, {**row.values, EXIT_CODE: 0.0})
        return replace(found, rows=(*found.rows[:-1], last), source=found.source or self.title, broken=False)

    def _reported(self, cut: bool) -> Reading:
        """What the files have; that they have nothing, or cannot be read, is no fault here."""
        for source in self._beside:
            try:
                reading = source.final(cut=cut)
            except ContractError:
                continue
            if reading.rows:
                return reading
        return Reading()
