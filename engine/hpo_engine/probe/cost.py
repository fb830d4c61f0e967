"""What a study will cost, by what its short trials have taken."""

from __future__ import annotations

import shutil

from hpo_engine import assembly
from hpo_engine.probe.choosing import least
from hpo_engine.probe.values import Cost, Evidence
from hpo_engine.reports.pace import Pace, pace_of


def cost(e: Evidence) -> Cost:
    """Early stopping saves some of it."""
    spec, known = e.spec, pace(e)
    whole = any(run.whole for run in e.runs)
    found = assembly.rehearsed(spec, known)
    runs = None if found is None else sum(found.runs.values())
    amount = least(spec)
    run_bytes = 0 if known is None else known.trial_bytes
    carried = 0 if found is None else sum(found.carried_on.values())
    return Cost(
        runs,
        spec.resources.parallel,
        None if known is None else known.run_s(amount),
        not whole,
        None if known is None or spec.resource is None else known.unit_s,
        assembly.plan(spec),
        None if found is None or known is None else found.seconds,
        run_bytes,
        None if runs is None else (runs - carried) * run_bytes,
        shutil.disk_usage(e.folder).free,
    )


def pace(e: Evidence) -> Pace | None:
    """How long runs take, by those of the check that ran to their ends, or by the others if there are none."""
    runs = [run for run in e.runs if run.whole] or list(e.working)
    left = any(run.trial.results and run.trial.results[-1].checkpoint is not None for run in runs)
    most = max((run.disk_bytes for run in e.working), default=0)
    return pace_of([(run.resource, run.seconds) for run in runs], most, checkpoints=left)
