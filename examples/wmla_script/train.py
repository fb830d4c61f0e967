"""A training script as written for WMLA: nothing in it was changed, and nothing needs to be.

It reads config.json from the working directory, finds its result folder by RESULT_DIR or, as older scripts do, by
DLI_RESULT_FS, reports live through emetrics while it trains, and writes val_dict_list.json once, at the end.
"""

import argparse
import json
import os

import numpy as np
from emetrics import EMetrics
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=32)
args = parser.parse_args()

with open("config.json") as f:
    hyper_params = json.load(f)
print("hyperparameters:", hyper_params)

if "RESULT_DIR" in os.environ:
    result_dir = os.environ["RESULT_DIR"]
else:
    user_folder = os.path.join(os.environ["DLI_RESULT_FS"], os.environ["USER"], "batchworkdir")
    result_dir = os.path.join(user_folder, os.environ["DLI_EXECID"])

x, y = load_breast_cancer(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
scaler = StandardScaler().fit(x_train)
x_train, x_test = scaler.transform(x_train), scaler.transform(x_test)

net = MLPClassifier(
    hidden_layer_sizes=(hyper_params["hidden"],),
    activation=hyper_params["activation"],
    learning_rate_init=hyper_params["learning_rate"],
    alpha=hyper_params["weight_decay"],
    batch_size=args.batch_size,
    random_state=0,
)

history = []
with EMetrics.open(os.environ.get("SUBID")) as metrics:
    for epoch in range(1, hyper_params["epochs"] + 1):
        net.partial_fit(x_train, y_train, classes=np.unique(y))
        train_loss = log_loss(y_train, net.predict_proba(x_train))
        test_loss = log_loss(y_test, net.predict_proba(x_test))
        accuracy = net.score(x_test, y_test)
        metrics.record(EMetrics.TRAIN_GROUP, epoch, {"loss": train_loss})
        metrics.record(EMetrics.TEST_GROUP, epoch, {"loss": test_loss, "accuracy": accuracy})
        history.append({"steps": str(epoch), "loss": test_loss, "accuracy": accuracy})
        print(f"epoch {epoch}: loss {test_loss:.4f} accuracy {accuracy:.4f}")

model_dir = os.path.join(result_dir, "model")
os.makedirs(model_dir, exist_ok=True)
np.savez(os.path.join(model_dir, "net.npz"), *net.coefs_, *net.intercepts_)

with open(os.path.join(result_dir, "val_dict_list.json"), "w") as f:
    json.dump(history, f)
