"""Constants at the top, nothing else: as notebooks become scripts."""

import math
import random

from config import BATCH_SIZE, Config

# Hyperparameters
LEARNING_RATE = 1e-2
MOMENTUM = 0.9
NUM_EPOCHS = 5
DATA_POINTS = 64


def main():
    random.seed(Config.seed)
    data = [(x / DATA_POINTS, math.sin(3 * x / DATA_POINTS)) for x in range(DATA_POINTS)]
    weights = [random.gauss(0, 0.1) for _ in range(Config.hidden_size)]
    speed = [0.0] * Config.hidden_size

    def features(x):
        return [x**k for k in range(Config.hidden_size)]

    for epoch in range(NUM_EPOCHS):
        random.shuffle(data)
        for start in range(0, len(data), BATCH_SIZE):
            batch = data[start : start + BATCH_SIZE]
            for k in range(Config.hidden_size):
                if random.random() < Config.dropout:
                    continue
                slope = 0.0
                for x, y in batch:
                    error = sum(w * f for w, f in zip(weights, features(x))) - y
                    slope += 2 * error * features(x)[k] / len(batch)
                speed[k] = MOMENTUM * speed[k] + (1 - MOMENTUM) * slope
                weights[k] -= LEARNING_RATE * speed[k]
        val_loss = sum((sum(w * f for w, f in zip(weights, features(x))) - y) ** 2 for x, y in data) / len(data)
        print(f"Epoch [{epoch + 1}/{NUM_EPOCHS}], Val Loss: {val_loss:.5f}")


if __name__ == "__main__":
    main()
