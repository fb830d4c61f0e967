"""The one wing that names concrete classes: the registries, the parts of a study, and its engine."""

from __future__ import annotations

from hpo_engine.assembly.backtests import backtest
from hpo_engine.assembly.engines import Clock, OpenStudy, changed_parts, engine_for, open_study
from hpo_engine.assembly.forecasts import first_trials, pace, plan, rehearsed, warnings
from hpo_engine.assembly.isolated import algorithms, reserved
from hpo_engine.assembly.parts import (
    about,
    every_source,
    metric_files,
    metric_sources,
    searcher,
    stopper,
    stopper_named,
    trackers,
    traits,
)
from hpo_engine.assembly.registries import EXECUTORS, METRIC_SOURCES, SEARCHERS, STOPPERS, TRACKERS
from hpo_engine.assembly.specs import load_spec, read_changed, spec_of

__all__ = [
    "Clock",
    "EXECUTORS",
    "METRIC_SOURCES",
    "OpenStudy",
    "SEARCHERS",
    "STOPPERS",
    "TRACKERS",
    "about",
    "algorithms",
    "backtest",
    "changed_parts",
    "engine_for",
    "every_source",
    "first_trials",
    "load_spec",
    "metric_files",
    "metric_sources",
    "open_study",
    "pace",
    "plan",
    "read_changed",
    "rehearsed",
    "reserved",
    "searcher",
    "spec_of",
    "stopper",
    "stopper_named",
    "trackers",
    "traits",
    "warnings",
]
