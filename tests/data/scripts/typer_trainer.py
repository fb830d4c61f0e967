import enum
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

app = typer.Typer(help="Fits a curve.")


class Optim(str, enum.Enum):
    sgd = "sgd"
    adam = "adam"


@app.command()
def main(
    learning_rate: Annotated[float, typer.Option("--lr", min=1e-6, max=1.0, help="step size")] = 1e-2,
    hidden_dim: int = typer.Option(64, min=8, max=128),
    dropout: float = 0.1,
    optim: Optim = Optim.adam,
    schedule: Annotated[Literal["cosine", "linear"], typer.Option()] = "cosine",
    augment: bool = False,
    limit: Optional[int] = None,
    epochs: int = 3,
    out: Path = Path("runs"),
    seed: int = 0,
) -> None:
    out.mkdir(exist_ok=True)
    for epoch in range(epochs):
        error = abs(learning_rate - 0.02) + abs(dropout - 0.3) + 8 / hidden_dim + 0.1 * (optim is Optim.sgd)
        error += 0.05 * (schedule == "linear") - 0.02 * augment
        typer.echo(f"Epoch {epoch + 1}/{epochs} - train_loss: {error / 2:.4f} - val_loss: {error / (epoch + 1):.4f}")


if __name__ == "__main__":
    app()
