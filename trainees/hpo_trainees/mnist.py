"""MNIST: 70,000 handwritten digits, 28x28 grey pixels (LeCun et al. 1998), by torchvision; a download of 12 MB.

By hand: `python -m hpo_trainees.mnist`; in a study: `command: python -m hpo_trainees.mnist`.
"""

from __future__ import annotations

from torch import nn

from hpo_trainees.classifier import Classifier
from hpo_trainees.images import ImageData, Source
from hpo_trainees.networks import make_network
from hpo_trainees.optimizers import check_choice
from hpo_trainees.tune import tune_main
from hpo_trainees.vision import need_torchvision

CLASSES = 10
_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
SOURCE = Source(
    kind=lambda: need_torchvision().datasets.MNIST,
    files=tuple(f"MNIST/raw/{part}-ubyte" for part in _PARTS),
    archives=tuple(f"MNIST/raw/{part}-ubyte.gz" for part in _PARTS),
    mean=(0.1307,),
    std=(0.3081,),
    flips=False,
)


class MnistData(ImageData):
    """MNIST in DATA_DIR/MNIST/raw; a twelfth of the training set, 5,000 images, is for validation.

    Args:
        batch_size: images in a training batch, >= 1.
        augment: whether training images are moved by up to 4 pixels.
        val_share: of the training set, for validation, 0..1.
        split_seed: which images are for validation; trials that are compared must share it.
        train_size: how many training images are used; 0: all.
    """

    def __init__(
        self,
        batch_size: int = 128,
        augment: bool = True,
        val_share: float = 1 / 12,
        split_seed: int = 0,
        train_size: int = 0,
    ) -> None:
        super().__init__(
            SOURCE,
            batch_size=batch_size,
            augment=augment,
            val_share=val_share,
            split_seed=split_seed,
            train_size=train_size,
        )


class MnistModule(Classifier):
    """A classifier of 28x28 grey pixels; logs train_loss, val_loss and val_acc.

    Args:
        arch: "mlp" (one hidden layer) or "cnn" (six convolutions).
        width: of the mlp: units of the hidden layer are 16 times as many; of the cnn: channels of its first pair.
        dropout: share of features dropped before the last layer while training, 0..1.
        learning_rate: > 0; with a schedule, its highest value.
        optimizer: "adam", "adamw" or "sgd".
        momentum: of sgd; not used by the others.
        weight_decay: >= 0.
        schedule: "constant" or "cosine".
    """

    def __init__(
        self,
        arch: str = "cnn",
        width: int = 16,
        dropout: float = 0.0,
        learning_rate: float = 2e-3,
        optimizer: str = "adam",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
    ) -> None:
        check_choice("arch", arch, ("mlp", "cnn"))
        super().__init__(
            _mlp(16 * width, dropout) if arch == "mlp" else make_network(arch, 1, CLASSES, width, dropout),
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            weight_decay=weight_decay,
            schedule=schedule,
        )


def _mlp(hidden: int, dropout: float) -> nn.Module:
    layers = nn.Linear(28 * 28, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, CLASSES)
    return nn.Sequential(nn.Flatten(), *layers)


if __name__ == "__main__":
    tune_main(MnistModule, MnistData, defaults={"max_epochs": 5})
