"""A multilayer perceptron in Keras on scikit-learn's handwritten digits, with the history as CSV."""

import os

import keras
import numpy as np
import yaml
from sklearn.datasets import load_digits

with open("conf/model.yaml") as f:
    conf = yaml.safe_load(f)

keras.utils.set_random_seed(conf["seed"])
x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)

layers = [keras.Input((64,))]
for units in conf["model"]["units"]:
    layers += [
        keras.layers.Dense(units, activation=conf["model"]["activation"]),
        keras.layers.Dropout(conf["model"]["dropout"]),
    ]
model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
model.compile(
    optimizer=keras.optimizers.Adam(conf["optimizer"]["learning_rate"]),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
os.makedirs("runs", exist_ok=True)
model.fit(
    x,
    y,
    batch_size=conf["optimizer"]["batch_size"],
    epochs=conf["epochs"],
    validation_split=0.2,
    callbacks=[keras.callbacks.CSVLogger("runs/training.csv")],
    verbose=2,
)
