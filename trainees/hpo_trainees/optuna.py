"""Runs a script that searches with Optuna, unchanged, as one trial of a study.

    python -m hpo_trainees.optuna train.py

`study.optimize()` calls the objective once. Its suggest_* calls get the values in config.json (or, if one is not
there, what Optuna's sampler chooses); what it passes to `trial.report()` and what it returns is reported as `value`, or
as `value_0`, `value_1` ... with several objectives. `trial.should_prune()` is never true: the engine ends bad trials.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from typing import Any

from hpo_trainees.report import config, report


def main(words: Sequence[str]) -> int:
    """`words`: the script and its arguments."""
    if not words:
        print("usage: python -m hpo_trainees.optuna SCRIPT [ARGUMENTS]", file=sys.stderr)
        return 2
    _one_trial_only()
    sys.argv = list(words)
    sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
    runpy.run_path(words[0], run_name="__main__")
    return 0


def _one_trial_only() -> None:
    """Makes Optuna's studies try one configuration, and report what comes of it."""
    from optuna.study import Study
    from optuna.trial import Trial

    optimize, note = Study.optimize, Trial.report

    def optimize_once(self: Any, func: Any, n_trials: Any = None, *args: Any, **keywords: Any) -> None:
        self.enqueue_trial(config(), skip_if_exists=False)

        def objective(trial: Any) -> Any:
            value = func(trial)
            _report(value)
            return value

        optimize(self, objective, 1, *args, **keywords)

    def report_too(self: Any, value: float, step: int) -> None:
        note(self, value, step)
        report(step=step, value=value)

    Study.optimize = optimize_once  # type: ignore[method-assign]
    Trial.report = report_too  # type: ignore[method-assign]
    Trial.should_prune = lambda self: False  # type: ignore[method-assign]


def _report(value: Any) -> None:
    """The result of the objective is the last row."""
    if isinstance(value, Sequence):
        report(**{f"value_{number}": part for number, part in enumerate(value)})
    else:
        report(value=value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
