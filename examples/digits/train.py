"""Trains a small digit classifier with Lightning, with the parameters of config.json; runs by hand as well."""

from __future__ import annotations

import argparse
import logging
import warnings

import lightning.pytorch as pl

from hpo_trainees.digits import DigitsData, DigitsModule
from hpo_trainees.lightning import ReportCallback
from hpo_trainees.report import config

DEFAULTS = {"arch": "mlp", "hidden": 64, "batch_size": 64, "learning_rate": 1e-3, "optimizer": "adam", "epochs": 6}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=0, help="of the weights, the batches and dropout")
    seed = arguments.parse_args().seed
    settings = config(DEFAULTS)  # inside a trial: the values that the search chose
    print("settings:", settings)

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")  # "use more workers", "GPU available but not used" ...
    pl.seed_everything(seed, verbose=False)

    data = DigitsData(batch_size=settings.pop("batch_size"))
    trainer = pl.Trainer(
        max_epochs=settings.pop("epochs"),
        accelerator="auto",
        devices=1,
        callbacks=[ReportCallback()],  # writes val_dict_list.json after every epoch
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(DigitsModule(**settings), data)
    print(", ".join(f"{name} {float(value):.4f}" for name, value in trainer.callback_metrics.items()))


if __name__ == "__main__":
    main()
