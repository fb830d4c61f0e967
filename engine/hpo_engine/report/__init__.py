"""Orders, remarks and forecasts, computed from a history or a spec; figures and pages of a history.

Called, as in `hpo_engine.report(step=3, loss=0.31)`, it reports a row of metrics from a function that is tuned: the
public name of that, which Python gives to this package once it is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Report(ModuleType):
    def __call__(self, step: float | None = None, **metrics: Any) -> None:
        """Reports a row of metrics, see `hpo_trainees.report.report`."""
        from hpo_trainees.report import report

        report(step, **metrics)

    def __reduce__(self) -> Any:
        """By name, as other modules: a function that reports may be pickled."""
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Report
