"""Files that trials share although each should have its own, and working directories other than the trial's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hpo_engine.probe.values import Evidence, Finding, Level
from hpo_engine.text.quoting import listed

_TOPIC = "files"
_SHOWN = 3


def found(e: Evidence) -> Iterator[Finding]:
    shared = _shared(e)
    if shared:
        several = e.spec.resources.parallel > 1
        text = f"trials write one and the same file: {listed(shared, _SHOWN)}"
        at_once = " and, two at a time, mix them" if several else ""
        action = f"write below the working directory (a relative path), or trials overwrite each other's files{at_once}"
        yield Finding(Level.PROBLEM if several else Level.WARNING, _TOPIC, "shared_file", text, action)
    folders = sorted(set[str]().union(*(run.seen.folders for run in e.working)))
    if folders:
        text = f"processes of trials work in {listed(folders, _SHOWN)}, not in the trial's folder"
        action = "relative paths lead there: results and checkpoints of all trials meet in one place"
        yield Finding(Level.WARNING, _TOPIC, "other_folder", text, action)


def _shared(e: Evidence) -> list[str]:
    """Files outside of the trials' folders that at least two trials have written, or that lie between these folders."""
    counts = Counter(path for run in e.runs for path in run.seen.written)
    return [*e.strays, *sorted(path for path, count in counts.items() if count > 1)]
