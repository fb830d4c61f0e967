"""python train.py lr=0.01 model.hidden=32"""

import json

from omegaconf import OmegaConf


def main():
    cfg = OmegaConf.merge(OmegaConf.load("default.yaml"), OmegaConf.from_cli())
    x = 1.0 + cfg.model.hidden / 100
    with open("metrics.jsonl", "w") as log:
        for step in range(cfg.training.max_steps):
            x -= cfg.lr * 2 * x / cfg.model.layers
            log.write(json.dumps({"step": step, "eval_loss": x * x}) + "\n")
            log.flush()


if __name__ == "__main__":
    main()
