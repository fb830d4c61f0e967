"""A training script as written for WMLA: parameters from config.json, results to val_dict_list.json in RESULT_DIR.

It fits a straight line to forty points by gradient descent, in plain Python.
"""

import argparse
import json
import os
import random

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
args = parser.parse_args()

hyper_params = {"learning_rate": 0.1}  # of a training without a search
try:
    with open("config.json") as f:
        hyper_params.update(json.load(f))
except Exception:
    print("no config.json, using the defaults")
rate = float(hyper_params["learning_rate"])

rng = random.Random(0)
points = [(x / 40, 3 * x / 40 + 1 + rng.gauss(0, 0.1)) for x in range(40)]
slope = intercept = 0.0
test_metrics = []
for epoch in range(1, args.epochs + 1):
    errors = [(slope * x + intercept - y, x) for x, y in points]
    slope -= rate * 2 * sum(e * x for e, x in errors) / len(points)
    intercept -= rate * 2 * sum(e for e, _ in errors) / len(points)
    loss = sum((slope * x + intercept - y) ** 2 for x, y in points) / len(points)
    print(f"epoch {epoch} loss {loss:.5f}")
    test_metrics.append({"step": epoch, "loss": loss})

result_dir = os.environ["RESULT_DIR"]
os.makedirs(os.path.join(result_dir, "model"), exist_ok=True)
with open(os.path.join(result_dir, "model", "line.json"), "w") as f:
    json.dump({"slope": slope, "intercept": intercept}, f)
with open(os.path.join(result_dir, "val_dict_list.json"), "w") as f:
    json.dump(test_metrics, f)
