"""Gradient boosting on scikit-learn's breast cancer table, with XGBoost."""

import json

import xgboost as xgb
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

with open("params.json") as f:
    settings = json.load(f)

x, y = load_breast_cancer(return_X_y=True)
x_train, x_valid, y_train, y_valid = train_test_split(x, y, test_size=0.3, random_state=0, stratify=y)
dtrain, dvalid = xgb.DMatrix(x_train, y_train), xgb.DMatrix(x_valid, y_valid)

booster = xgb.train(
    {**settings["booster"], "objective": "binary:logistic", "eval_metric": ["logloss", "auc"], "seed": 0},
    dtrain,
    num_boost_round=settings["rounds"],
    evals=[(dtrain, "train"), (dvalid, "valid")],
)
booster.save_model("model.json")
