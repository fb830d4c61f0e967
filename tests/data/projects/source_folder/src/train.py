"""PYTHONPATH=. python src/train.py --data data/line.csv --lr 0.1"""

import argparse

from shapes.data import load


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="a CSV file with x and y")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    points = load(args.data)
    a = b = 0.0
    for epoch in range(args.epochs):
        for x, y in points:
            error = a * x + b - y
            a -= args.lr * (error * x + args.weight_decay * a)
            b -= args.lr * (error + args.weight_decay * b)
        loss = sum((a * x + b - y) ** 2 for x, y in points) / len(points)
        print(f"epoch={epoch} loss={loss:.6f}")


if __name__ == "__main__":
    main()
