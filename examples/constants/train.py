"""Recognises handwritten digits with a support vector machine on random features, one pass per epoch.

Change the settings below and run it again.
"""

import csv

import numpy as np
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

# ---------------------------------------------------------------- settings
EPOCHS = 12
ALPHA = 1e-4  # weight of the penalty
GAMMA = 0.05  # width of the kernel
LOSS = "hinge"  # or log_loss, modified_huber
N_COMPONENTS = 200
RUN_NAME = "baseline"


class Config:
    average = False
    test_size: float = 0.3


# -------------------------------------------------------------------- data
x, y = load_digits(return_X_y=True)
x = RBFSampler(gamma=GAMMA, n_components=N_COMPONENTS, random_state=0).fit_transform(x / 16)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=Config.test_size, random_state=0)

# ---------------------------------------------------------------- training
model = SGDClassifier(loss=LOSS, alpha=ALPHA, average=Config.average, random_state=0)
print("run", RUN_NAME)
with open("history.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["epoch", "train_accuracy", "test_accuracy"])
    for epoch in range(EPOCHS):
        model.partial_fit(x_train, y_train, classes=np.arange(10))
        writer.writerow([epoch, round(model.score(x_train, y_train), 5), round(model.score(x_test, y_test), 5)])
        file.flush()
