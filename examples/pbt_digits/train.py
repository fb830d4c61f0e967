"""Trains a digit classifier with Lightning; goes on from a checkpoint, with new values, if there is one."""

from __future__ import annotations

import logging
import warnings

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint

from hpo_trainees.digits import DigitsData, DigitsModule
from hpo_trainees.lightning import ReportCallback, ResumeCallback, resume_from
from hpo_trainees.report import config

DEFAULTS = {"learning_rate": 1e-3, "dropout": 0.0, "weight_decay": 0.0, "epochs": 12}


def main() -> None:
    settings = config(DEFAULTS)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    pl.seed_everything(0, verbose=False)

    trainer = pl.Trainer(
        max_epochs=settings.pop("epochs"),
        accelerator="auto",
        devices=1,
        callbacks=[
            ReportCallback(),
            ModelCheckpoint(dirpath=".", filename="last", enable_version_counter=False),  # the newest one only
            # Without it, the learning rate of the checkpoint would come back, and nothing would say so.
            ResumeCallback(learning_rate=settings["learning_rate"], weight_decay=settings["weight_decay"]),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = DigitsModule(optimizer="sgd", hidden=32, **settings)
    trainer.fit(module, DigitsData(), ckpt_path=resume_from())


if __name__ == "__main__":
    main()
