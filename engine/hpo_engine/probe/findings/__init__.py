"""What the trials of a check mean: one room for each topic, pure functions of the evidence."""

from __future__ import annotations

from hpo_engine.probe.findings import files, metrics, parameters, processes, resuming
from hpo_engine.probe.values import Evidence, Finding, Level


def findings(evidence: Evidence) -> list[Finding]:
    """All that was found, the worst first, otherwise in the order of a trial's life."""
    rooms = (processes.started, parameters.found, resuming.found, metrics.found, processes.found, files.found)
    found = [finding for room in rooms for finding in room(evidence)]
    return sorted(found, key=lambda finding: list(Level).index(finding.level))
