import argparse
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter

from models.mlp import build_model
from utils.config import load_config


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=str, default="configs/base.yaml", help="path to the configuration")
    parser.add_argument("--device", type=str, default="cpu")
    return parser.parse_args()


def run_epoch(model, loader, loss_fn, optimizer=None):
    total = 0.0
    for x, y in loader:
        loss = loss_fn(model(x), y)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * len(x)
    return total / len(loader.dataset)


def main():
    args = parse_args()
    cfg = load_config(args.config)
    torch.manual_seed(cfg["seed"])
    torch.set_num_threads(1)
    x = torch.linspace(-2, 2, cfg["data"]["n_samples"]).unsqueeze(1)
    y = torch.sin(2 * x) + cfg["data"]["noise"] * torch.randn_like(x)
    order = torch.randperm(len(x))
    cut = len(x) * 4 // 5
    train_set, val_set = TensorDataset(x[order[:cut]], y[order[:cut]]), TensorDataset(x[order[cut:]], y[order[cut:]])
    train_loader = DataLoader(train_set, batch_size=cfg["data"]["batch_size"], shuffle=True)
    val_loader = DataLoader(val_set, batch_size=64)

    model = build_model(cfg["model"])
    lr, wd = float(cfg["train"]["lr"]), float(cfg["train"]["weight_decay"])
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[cfg["train"]["optimizer"]]
    optimizer = kind(model.parameters(), lr=lr, weight_decay=wd)
    writer = SummaryWriter(Path(cfg["log_dir"]) / cfg["experiment"])
    for epoch in range(cfg["train"]["epochs"]):
        writer.add_scalar("Loss/train", run_epoch(model, train_loader, torch.nn.MSELoss(), optimizer), epoch)
        with torch.no_grad():
            writer.add_scalar("Loss/val", run_epoch(model, val_loader, torch.nn.MSELoss()), epoch)
    writer.close()


if __name__ == "__main__":
    main()
