import argparse
import random


def train(args, weights, epoch):
    total = 0.0
    for batch_idx in range(10):
        error = sum((w - t) ** 2 for w, t in zip(weights, (0.3, -0.7)))
        for i, target in enumerate((0.3, -0.7)):
            weights[i] -= args.lr * 0.1 * (weights[i] - target) * (0.5 + random.random())
        total += error
        if batch_idx % args.log_interval == 0:
            print("Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}".format(epoch, batch_idx, 10, 10.0 * batch_idx, error))
            if args.dry_run:
                break
    args.lr *= args.gamma


def test(weights):
    loss = sum((w - t) ** 2 for w, t in zip(weights, (0.3, -0.7)))
    correct = max(0, 100 - int(100 * loss))
    print("\nTest set: Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)\n".format(loss, correct, 100, correct))


def main():
    parser = argparse.ArgumentParser(description="Digits Example")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="input batch size (default: 64)")
    parser.add_argument("--test-batch-size", type=int, default=1000, metavar="N")
    parser.add_argument("--epochs", type=int, default=4, metavar="N", help="number of epochs to train")
    parser.add_argument("--lr", type=float, default=1.0, metavar="LR", help="learning rate (default: 1.0)")
    parser.add_argument("--gamma", type=float, default=0.7, metavar="M", help="learning rate step gamma")
    parser.add_argument("--no-accel", action="store_true", help="disables accelerator")
    parser.add_argument("--dry-run", action="store_true", help="quickly check a single pass")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="random seed (default: 1)")
    parser.add_argument("--log-interval", type=int, default=10, metavar="N")
    parser.add_argument("--save-model", action="store_true", help="for saving the current model")
    args = parser.parse_args()
    random.seed(args.seed)
    weights = [0.0, 0.0]
    for epoch in range(1, args.epochs + 1):
        train(args, weights, epoch)
        test(weights)
    if args.save_model:
        open("weights.txt", "w").write(str(weights))


if __name__ == "__main__":
    main()
