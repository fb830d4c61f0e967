"""CIFAR-10: 60,000 photographs of ten kinds of things, 32x32 pixels in colour (Krizhevsky 2009), by torchvision; a
download of 170 MB.

By hand: `python -m hpo_trainees.cifar10`; in a study: `command: python -m hpo_trainees.cifar10`.
"""

from __future__ import annotations

from hpo_trainees.classifier import Classifier
from hpo_trainees.images import ImageData, Source
from hpo_trainees.networks import make_network
from hpo_trainees.tune import tune_main
from hpo_trainees.vision import need_torchvision

CLASSES = 10
_PARTS = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
SOURCE = Source(
    kind=lambda: need_torchvision().datasets.CIFAR10,
    files=tuple(f"cifar-10-batches-py/{part}" for part in _PARTS),
    archives=("cifar-10-python.tar.gz",),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    flips=True,
)


class Cifar10Data(ImageData):
    """CIFAR-10 in DATA_DIR/cifar-10-batches-py; a tenth of the training set, 5,000 images, is for validation.

    Args:
        batch_size: images in a training batch, >= 1.
        augment: whether training images are moved by up to 4 pixels and mirrored.
        val_share: of the training set, for validation, 0..1.
        split_seed: which images are for validation; trials that are compared must share it.
        train_size: how many training images are used; 0: all.
    """

    def __init__(
        self,
        batch_size: int = 128,
        augment: bool = True,
        val_share: float = 0.1,
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


class Cifar10Module(Classifier):
    """A classifier of 32x32 pixels in colour; logs train_loss, val_loss and val_acc.

    Args:
        arch: "cnn" (six convolutions, for a CPU) or "resnet18" (for a GPU).
        width: channels of the first pair of convolutions of the cnn, >= 1; not used by resnet18.
        dropout: share of features dropped before the last layer while training, 0..1.
        learning_rate: > 0; with a schedule, its highest value.
        optimizer: "adam", "adamw" or "sgd".
        momentum: of sgd; not used by the others.
        weight_decay: >= 0.
        schedule: "constant" or "cosine".
        label_smoothing: share of each target that is spread over all classes, 0..1.
    """

    def __init__(
        self,
        arch: str = "cnn",
        width: int = 32,
        dropout: float = 0.1,
        learning_rate: float = 0.1,
        optimizer: str = "sgd",
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        schedule: str = "cosine",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            make_network(arch, 3, CLASSES, width, dropout),
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            weight_decay=weight_decay,
            schedule=schedule,
            label_smoothing=label_smoothing,
        )


if __name__ == "__main__":
    tune_main(Cifar10Module, Cifar10Data, defaults={"max_epochs": 20})
