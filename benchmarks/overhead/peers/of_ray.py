"""Ray Tune over a function that runs the script as a process; a fourth argument `reuse` keeps the actors."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_DEDUP_LOGS"] = "0"

import ray
from ray import tune


def main(script: str, trials: int, parallel: int, reuse: bool) -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    ray.init(num_cpus=parallel, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as root:

        def trainable(config: dict[str, Any]) -> dict[str, float]:
            sys.path.insert(0, here)
            from trial import run

            return {"loss": run(script, config["x"], root)}

        tuner = tune.Tuner(
            trainable,
            param_space={"x": tune.uniform(-1, 1)},
            tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=trials, reuse_actors=reuse),
            run_config=tune.RunConfig(storage_path=f"{root}/ray", verbose=0),
        )
        begin = time.perf_counter()
        results = tuner.fit()
        seconds = time.perf_counter() - begin
        assert not results.errors and len(results) == trials
    ray.shutdown()
    print(json.dumps({"version": ray.__version__, "seconds": seconds}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["reuse"])
