"""The result of a check as values and as JSON."""

from __future__ import annotations

from typing import Any

from hpo_engine.probe.cost import cost
from hpo_engine.probe.findings import findings
from hpo_engine.probe.values import Cost, Evidence, Finding, Level, Ran, Report
from hpo_engine.text.tables import counted, duration

_GIB = 1 << 30


def report_of(evidence: Evidence) -> Report:
    """Call it while the scratch study exists."""
    price = cost(evidence)
    found = [*_of_cost(evidence, price), *findings(evidence)]
    ordered = sorted(found, key=lambda finding: list(Level).index(finding.level))
    return Report(evidence.spec.name, evidence, tuple(ordered), price)


def _of_cost(e: Evidence, price: Cost) -> list[Finding]:
    found = []
    if price.disk_bytes is not None and price.disk_bytes > price.free_bytes:
        text = f"{counted(price.runs or 0, 'run')} of {price.run_bytes / _GIB:.1f} GiB each do not fit on the disk"
        action = f"it has {price.free_bytes / _GIB:.1f} GiB free: keep fewer checkpoints, or use another --root"
        found.append(Finding(Level.PROBLEM, "cost", "disk_full", text, action))
    limit = e.spec.budget.time_s
    if limit is not None and price.total_s is not None and price.total_s > limit:
        text = f"the study would take about {duration(price.total_s)}, and its time_limit is {duration(limit)}"
        found.append(Finding(Level.NOTE, "cost", "study_time_limit", text, "fewer trials will run"))
    return found


def as_object(report: Report) -> dict[str, Any]:
    """What `check --json` prints; documented in docs/check.md."""
    e = report.evidence
    return {
        "study": report.study,
        "ok": report.worst() is not Level.PROBLEM,
        "worst": report.worst().value,
        "findings": [
            {"level": f.level.value, "topic": f.topic, "code": f.code, "text": f.text, "action": f.action}
            for f in report.findings
        ],
        "trials": [_trial_object(run) for run in e.runs],
        "cost": _cost_object(report.cost),
        "notes": list(e.notes),
        "seconds": round(e.seconds, 3),
        "kept": report.kept or None,
    }


def _trial_object(run: Ran) -> dict[str, Any]:
    steps = [row.step for row in run.rows]
    return {
        "trial": run.id,
        "purpose": run.purpose.why.value,
        "parameter": run.purpose.parameter or None,
        "compared_with": run.purpose.base,
        "command": list(run.preview.command),
        "environment": dict(run.preview.environment),
        "config": dict(run.preview.config),
        "files": {path: list(lines) for path, lines in run.preview.files.items()},
        "exit": str(run.exit),
        "ended_by_check": run.asked or None,
        "reason": run.reason,
        "seconds": run.exit.seconds,
        "cpu_s": run.exit.cpu_s,
        "memory_peak_mb": run.exit.memory_peak_mb,
        "disk_bytes": run.disk_bytes,
        "config_read": run.config_read,
        "source": run.reading.source,
        "metrics": list(run.reading.metrics),
        "rows": len(run.rows),
        "steps": [min(steps), max(steps)] if steps else None,
        "arrivals": [[round(a.after_s, 3), a.rows] for a in run.arrivals],
    }


def _cost_object(price: Cost) -> dict[str, Any]:
    return {
        "runs": price.runs,
        "parallel": price.parallel,
        "run_s": price.run_s,
        "run_s_is_at_least": price.at_least,
        "resource_s": price.resource_s,
        "plan": price.plan or None,
        "total_s": price.total_s,
        "run_bytes": price.run_bytes,
        "disk_bytes": price.disk_bytes,
        "free_bytes": price.free_bytes,
    }
