"""Polynomial ridge regression by stochastic gradient descent, on scikit-learn's diabetes table."""

import click
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import PolynomialFeatures, StandardScaler


def rmse(x, y, weights):
    return float(np.sqrt(np.mean((x @ weights - y) ** 2)))


@click.command()
@click.option("--learning-rate", "-l", default=0.01, show_default=True, help="Step size.")
@click.option("--l2", default=1e-3, show_default=True, help="Strength of the penalty.")
@click.option("--batch-size", default=32, show_default=True)
@click.option("--degree", type=click.IntRange(1, 3), default=1, show_default=True)
@click.option("--average/--no-average", default=False, help="Average the weights over the last half.")
@click.option("--epochs", default=30, show_default=True)
def main(learning_rate, l2, batch_size, degree, average, epochs):
    """Trains, and prints the error on held-out rows after each epoch."""
    rng = np.random.default_rng(0)
    x, y = load_diabetes(return_X_y=True)
    x = StandardScaler().fit_transform(PolynomialFeatures(degree, interaction_only=True).fit_transform(x))
    x = np.hstack([x, np.ones((len(x), 1))])
    y = (y - y.mean()) / y.std()
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.3, random_state=1)

    weights, kept = np.zeros(x.shape[1]), []
    for epoch in range(epochs):
        order = rng.permutation(len(x_train))
        for begin in range(0, len(order), batch_size):
            rows = order[begin : begin + batch_size]
            gradient = x_train[rows].T @ (x_train[rows] @ weights - y_train[rows]) / len(rows)
            weights = weights - learning_rate * (gradient + l2 * weights)
        kept = [*kept, weights] if epoch >= epochs // 2 else []
        used = np.mean(kept, axis=0) if average and kept else weights
        click.echo(
            f"Epoch {epoch + 1}/{epochs} - train_rmse: {rmse(x_train, y_train, used):.4f}"
            f" - val_rmse: {rmse(x_val, y_val, used):.4f}"
        )


if __name__ == "__main__":
    main()
