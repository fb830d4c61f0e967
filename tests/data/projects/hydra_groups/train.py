"""Fits a line. python train.py optimizer=sgd optimizer.lr=0.05"""

import logging
import random

import hydra
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)


def points(n):
    return [(x / n, 3 * x / n - 1) for x in range(n)]


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    log.info("Configuration:\n%s", OmegaConf.to_yaml(cfg))
    random.seed(cfg.seed)
    data = points(cfg.points)
    a, b = 0.0, 0.0
    va = vb = 0.0
    keep = cfg.optimizer.beta1 if cfg.optimizer.name == "adam" else cfg.optimizer.momentum
    rate = cfg.optimizer.lr
    for epoch in range(1, cfg.epochs + 1):
        random.shuffle(data)
        for start in range(0, len(data), cfg.batch_size):
            batch = data[start : start + cfg.batch_size]
            ga = sum(2 * (a * x + b - y) * x for x, y in batch) / len(batch)
            gb = sum(2 * (a * x + b - y) for x, y in batch) / len(batch)
            va, vb = keep * va + (1 - keep) * ga, keep * vb + (1 - keep) * gb
            a, b = a - rate * va, b - rate * vb
        rate *= cfg.scheduler.gamma
        val_loss = sum((a * x + b - y) ** 2 for x, y in points(50)) / 50
        log.info(f"epoch {epoch}: val_loss={val_loss:.6f}")


if __name__ == "__main__":
    main()
