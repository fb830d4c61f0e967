"""hpo-engine: hyperparameter optimisation for plain training scripts.

The names here are those that a plugin needs; each is imported when it is first used, so that the command line starts
without what it does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "Executor": "core.ports",
    "GrowingFile": "contract.sources.files",
    "History": "study.history",
    "MetricSource": "contract.sources.interface",
    "Objective": "study.objective",
    "Proposal": "study.trial",
    "Row": "study.objective",
    "SearchSpace": "space.searchspace",
    "Searcher": "searchers",
    "SpecError": "errors",
    "Stopper": "core.ports",
    "StudySpec": "study.spec",
    "Tracker": "core.ports",
    "Traits": "searchers",
    "Trial": "study.trial",
    "WholeFile": "contract.sources.files",
    "trial_rng": "searchers",
}

__all__ = [*_PLACES, "__version__"]

if TYPE_CHECKING:
    from hpo_engine.contract.sources.files import GrowingFile as GrowingFile
    from hpo_engine.contract.sources.files import WholeFile as WholeFile
    from hpo_engine.contract.sources.interface import MetricSource as MetricSource
    from hpo_engine.core.ports import Executor as Executor
    from hpo_engine.core.ports import Stopper as Stopper
    from hpo_engine.core.ports import Tracker as Tracker
    from hpo_engine.errors import SpecError as SpecError
    from hpo_engine.searchers import Searcher as Searcher
    from hpo_engine.searchers import Traits as Traits
    from hpo_engine.searchers import trial_rng as trial_rng
    from hpo_engine.space.searchspace import SearchSpace as SearchSpace
    from hpo_engine.study.history import History as History
    from hpo_engine.study.objective import Objective as Objective
    from hpo_engine.study.objective import Row as Row
    from hpo_engine.study.spec import StudySpec as StudySpec
    from hpo_engine.study.trial import Proposal as Proposal
    from hpo_engine.study.trial import Trial as Trial


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
