import argparse


def train(args):
    for step in range(args.steps):
        error = abs(args.eta - 0.3) + 0.02 * args.max_depth + abs(args.subsample - 0.8) + 1 / (step + 1)
        print(f"[{step}]\ttrain-rmse:{error / 2:.5f}\tvalid-rmse:{error:.5f}")


def predict(args):
    print(open(args.model).read())


parser = argparse.ArgumentParser(description="boosted trees")
parser.add_argument("--quiet", action="store_true")
commands = parser.add_subparsers(dest="command", required=True)
predicting = commands.add_parser("predict")
predicting.add_argument("--model", required=True)
predicting.set_defaults(func=predict)
training = commands.add_parser("train", help="fits the trees")
training.add_argument("--eta", type=float, default=0.3, help="learning rate")
training.add_argument("--max_depth", type=int, default=6)
training.add_argument("--subsample", type=float, default=1.0)
training.add_argument("--lambda", dest="reg_lambda", type=float, default=1.0)
training.add_argument("--steps", type=int, default=4)
training.set_defaults(func=train)

if __name__ == "__main__":
    arguments = parser.parse_args()
    arguments.func(arguments)
