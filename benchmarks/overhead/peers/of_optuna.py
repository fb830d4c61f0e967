"""Optuna's random sampler, one process per trial, `n_jobs` threads."""

from __future__ import annotations

import json
import sys
import tempfile
import time

import optuna
from trial import run


def main(script: str, trials: int, parallel: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as root:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        begin = time.perf_counter()
        study.optimize(lambda t: run(script, t.suggest_float("x", -1, 1), root), trials, n_jobs=parallel)
        seconds = time.perf_counter() - begin
    print(json.dumps({"version": optuna.__version__, "seconds": seconds}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
