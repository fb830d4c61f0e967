"""Logistic regression by gradient descent on made-up data; standard library only."""

import json
import math
import os
import random

with open("config.json") as file:
    config = json.load(file)
rate, epochs = config["learning_rate"], 20

rng = random.Random(1)
points = [(rng.gauss(0, 1), rng.gauss(0, 1)) for _ in range(400)]
data = [(x, y, 1.0 if 2 * x - y + rng.gauss(0, 1) > 0 else 0.0) for x, y in points]


def predicted(weights, x, y):
    return 1 / (1 + math.exp(-(weights[0] * x + weights[1] * y + weights[2])))


weights, rows = [0.0, 0.0, 0.0], []
for epoch in range(1, epochs + 1):
    for x, y, label in data[:300]:
        error = predicted(weights, x, y) - label
        a, b, c = weights
        weights = [a - rate * error * x, b - rate * error * y, c - rate * error]
    loss = 0.0
    for x, y, label in data[300:]:
        p = min(max(predicted(weights, x, y), 1e-9), 1 - 1e-9)
        loss -= math.log(p if label else 1 - p) / 100
    rows.append({"step": epoch, "loss": loss})

with open(os.path.join(os.environ["RESULT_DIR"], "val_dict_list.json"), "w") as file:
    json.dump(rows, file)
