"""Syne Tune's local backend. Scripts must report through its Reporter, so a few lines are put before the script."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import RandomSearch

ADDED = """
import argparse, json, os, runpy, tempfile
from syne_tune import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
args, _ = parser.parse_known_args()
folder = tempfile.mkdtemp()
os.chdir(folder)
os.environ["RESULT_DIR"] = folder
json.dump({{"x": args.x}}, open("config.json", "w"))
runpy.run_path({script!r}, run_name="__main__")
Reporter()(loss=json.load(open("val_dict_list.json"))[-1]["loss"])
"""


def main(script: str, trials: int, parallel: int) -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as root:
        os.environ["SYNETUNE_FOLDER"] = root
        os.environ["TMPDIR"] = root
        entry = Path(root, "entry.py")
        entry.write_text(ADDED.format(script=script))
        tuner = Tuner(
            trial_backend=LocalBackend(str(entry)),
            scheduler=RandomSearch({"x": uniform(-1, 1)}, metrics=["loss"], random_seed=0),
            stop_criterion=StoppingCriterion(max_num_trials_finished=trials),
            n_workers=parallel,
            sleep_time=0.01,
            print_update_interval=1e9,
            results_update_interval=1e9,
            save_tuner=False,
        )
        begin = time.perf_counter()
        tuner.run()
        seconds = time.perf_counter() - begin
    print(json.dumps({"version": metadata.version("syne-tune"), "seconds": seconds}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
