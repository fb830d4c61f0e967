import json

import click


@click.group()
def cli():
    """Fits a line."""


@cli.command("evaluate")
@click.argument("checkpoint", type=click.Path(exists=True))
def evaluate(checkpoint):
    click.echo(open(checkpoint).read())


@cli.command()
@click.option("--learning-rate", "-r", type=click.FloatRange(1e-5, 1.0), default=0.05, show_default=True)
@click.option("--momentum", default=0.0, help="momentum of the steps")
@click.option("--epochs", default=6, help="number of passes")
@click.option("--loss", "loss_name", type=click.Choice(["l1", "l2"]), default="l2")
@click.option("--nesterov/--no-nesterov", default=False)
@click.option("--batch-size", type=click.IntRange(min=4, max=64), default=16)
@click.option("--normalize", is_flag=True, help="scales the data")
@click.option("--output", type=click.Path(), default="model.json")
def train_cmd(learning_rate, momentum, epochs, loss_name, nesterov, batch_size, normalize, output):
    w, v = 0.0, 0.0
    for epoch in range(epochs):
        for _ in range(64 // batch_size):
            ahead = w + momentum * v if nesterov else w
            gradient = (ahead - 2.0) if loss_name == "l2" else (1.0 if ahead > 2.0 else -1.0)
            v = momentum * v - learning_rate * gradient
            w += v
        click.echo(f"epoch={epoch} val_loss={(w - 2.0) ** 2 + 0.01 * (not normalize):.6f}")
    with open(output, "w") as file:
        json.dump({"w": w}, file)


if __name__ == "__main__":
    cli()
