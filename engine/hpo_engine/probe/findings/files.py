"""Files that trials share although each should have its own, and working directories other than the trial's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from hpo_engine.probe.values import Evidence, Finding, Level
from hpo_engine.text.quoting import listed

_TOPIC = "files"
_SHOWN = 3


def found(e: Evidence) -> Iterator[Finding]:
    several = e.spec.resources.parallel > 1
    at_once = " and, running in parallel, mix them" if several else ""
    action = f"write below the working directory (a relative path), or trials overwrite each other's files{at_once}"
    if shared := [*e.strays, *_twice([run.seen.written for run in e.runs])]:
        text = f"trials write one and the same file: {listed(shared, _SHOWN)}"
        yield Finding(Level.PROBLEM if several else Level.WARNING, _TOPIC, "shared_file", text, action)
    elif nearby := _twice([run.seen.nearby for run in e.runs]):
        text = f"files in a folder that the script names changed with each trial: {listed(nearby, _SHOWN)}"
        yield Finding(Level.WARNING, _TOPIC, "shared_file", text, f"if trials write them: {action}")
    folders = sorted(set[str]().union(*(run.seen.folders for run in e.working)))
    if folders:
        text = f"processes of trials work in {listed(folders, _SHOWN)}, not in the trial's folder"
        action = "relative paths lead there: results and checkpoints of all trials meet in one place"
        yield Finding(Level.WARNING, _TOPIC, "other_folder", text, action)


def _twice(sets: Sequence[frozenset[str]]) -> list[str]:
    """What is in at least two of the sets."""
    counts = Counter(path for each in sets for path in each)
    return sorted(path for path, count in counts.items() if count > 1)
