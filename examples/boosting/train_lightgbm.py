"""Gradient boosting on scikit-learn's breast cancer table, with LightGBM."""

import argparse

import lightgbm as lgb
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--eta", type=float, default=0.1)
parser.add_argument("--num-leaves", type=int, default=31)
parser.add_argument("--min-child-samples", type=int, default=20)
parser.add_argument("--feature-fraction", type=float, default=1.0)
parser.add_argument("--rounds", type=int, default=60)
args = parser.parse_args()

x, y = load_breast_cancer(return_X_y=True)
x_train, x_valid, y_train, y_valid = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
train = lgb.Dataset(x_train, y_train)
valid = lgb.Dataset(x_valid, y_valid, reference=train)

params = {
    "objective": "binary",
    "metric": ["binary_logloss", "auc"],
    "learning_rate": args.eta,
    "num_leaves": args.num_leaves,
    "min_child_samples": args.min_child_samples,
    "feature_fraction": args.feature_fraction,
    "verbosity": -1,
    "seed": 0,
}
model = lgb.train(params, train, args.rounds, valid_sets=[valid], callbacks=[lgb.log_evaluation(1)])
model.save_model("model.txt")
