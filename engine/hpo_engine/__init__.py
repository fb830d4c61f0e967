"""hpo-engine: hyperparameter optimisation for plain training scripts. `import hpo_engine as hpo`.

The names here are those of the Python interface (docs/python.md) and of plugins (docs/writing-plugins.md).
Each is imported when it is first used, so that an import costs nothing that is not needed.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to checkers it is true; `typing` itself is two thirds of what this import would cost

_PLACES = {
    "Executor": "core.ports",
    "GrowingFile": "contract.sources.files",
    "History": "study.history",
    "MetricSource": "contract.sources.interface",
    "Objective": "study.objective",
    "Optimizer": "api.optimizer",
    "Proposal": "study.trial",
    "Row": "study.objective",
    "SearchSpace": "space.searchspace",
    "Searcher": "searchers",
    "Space": "api.space",
    "SpecError": "errors",
    "Stopper": "core.ports",
    "Study": "api.study",
    "StudySpec": "study.spec",
    "Tracker": "core.ports",
    "Traits": "searchers",
    "Trial": "study.trial",
    "WholeFile": "contract.sources.files",
    "choice": "api.space",
    "constant": "api.space",
    "float": "api.space",
    "int": "api.space",
    "list_studies": "api.listing",
    "report": "api.reporting",
    "run": "api.running",
    "should_stop": "api.reporting",
    "trial_rng": "searchers",
    "tune": "api.tuning",
    "__version__": "version",
}

__all__ = [*(name for name in _PLACES if name not in ("float", "int"))]  # `import *` hides no builtin

if TYPE_CHECKING:
    from typing import Any

    from hpo_engine.api.listing import list_studies as list_studies
    from hpo_engine.api.optimizer import Optimizer as Optimizer
    from hpo_engine.api.running import run as run
    from hpo_engine.api.space import Space as Space
    from hpo_engine.api.space import choice as choice
    from hpo_engine.api.space import constant as constant
    from hpo_engine.api.space import float as float
    from hpo_engine.api.space import int as int
    from hpo_engine.api.study import Study as Study
    from hpo_engine.api.tuning import tune as tune
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
    from hpo_engine.version import __version__ as __version__
    from hpo_trainees.report import report as report
    from hpo_trainees.report import should_stop as should_stop


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
