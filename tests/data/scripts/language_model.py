# Options of many types: short and long ones, flags, choices, a required one, numbers in the module's constants.
import argparse
import math
import sys

DEFAULT_LR = 2e-3
MODELS = {"rnn": 1.0, "lstm": 0.6, "gru": 0.7}


def positive(text):
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be positive")
    return value


def str2bool(text):
    if text.lower() in ("yes", "true", "t", "1"):
        return True
    if text.lower() in ("no", "false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError("a boolean is expected")


def parse_args():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=1111)
    parser = argparse.ArgumentParser(parents=[common], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("data", help="the corpus")
    parser.add_argument("--out-dir", required=True, help="where the model goes")
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="lstm", choices=sorted(MODELS), help="kind of network")
    group.add_argument("--nhid", type=positive, default=128, help="hidden units per layer")
    group.add_argument("--nlayers", type=int, default=2)
    group.add_argument("--dropout", type=float, default=0.2)
    group.add_argument("--tied", action="store_true", help="tie the word embedding and softmax weights")
    optim = parser.add_argument_group("optimization")
    optim.add_argument("--learning-rate", "-lr", dest="lr", type=float, default=DEFAULT_LR)
    optim.add_argument("--weight_decay", type=float, default=0.0)
    optim.add_argument("--clip", type=float, default=0.25)
    optim.add_argument("--optimizer", default="adam", type=str.lower)
    optim.add_argument("--nesterov", type=str2bool, default=False)
    optim.add_argument("--layer-norm", action=argparse.BooleanOptionalAction, default=True)
    optim.add_argument("--betas", nargs=2, type=float, default=(0.9, 0.999))
    optim.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-v", "--verbose", action="count", default=0)
    return parser.parse_args()


def main():
    args = parse_args()
    words = len(open(args.data).read().split())
    if args.optimizer == "adam":
        best = 1e-3
    elif args.optimizer in ("sgd", "asgd"):
        best = 1.0
    else:
        sys.exit(f"unknown optimizer {args.optimizer}")
    distance = abs(math.log10(args.lr / best)) + abs(args.dropout - 0.35) + abs(math.log2(args.nhid / 200)) / 4
    for epoch in range(1, args.epochs + 1):
        loss = MODELS[args.model] * (4 + distance) / epoch**0.1 / (1 + words / 1e4) - 0.1 * args.tied - 0.05 * args.layer_norm
        print("-" * 89)
        print(f"| end of epoch {epoch:3d} | time: 0.01s | valid loss: {loss:5.2f} | valid ppl: {math.exp(loss):8.2f}")
    open(f"{args.out_dir}/model.pt", "w").close()


if __name__ == "__main__":
    main()
