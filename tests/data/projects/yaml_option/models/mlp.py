from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def build_model(cfg):
    return nn.Sequential(
        nn.Linear(1, cfg["hidden_dim"]), ACTIVATIONS[cfg["activation"]](), nn.Dropout(cfg["dropout"]),
        nn.Linear(cfg["hidden_dim"], 1),
    )
