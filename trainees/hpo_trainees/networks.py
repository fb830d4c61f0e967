"""Networks for small images, by name."""

from __future__ import annotations

from torch import nn

from hpo_trainees.optimizers import check_choice
from hpo_trainees.vision import need_torchvision

NETWORKS = ("cnn", "resnet18")


def make_network(arch: str, channels: int, classes: int, width: int, dropout: float) -> nn.Module:
    """A network that gives logits (n, classes) for images (n, channels, height, width of 16 or more).

    Args:
        arch: "cnn": three pairs of convolutions, `width`, 2 `width` and 4 `width` channels wide, 290,000 weights at 32;
            or "resnet18", 11 million weights, which has its own width.
        dropout: share of features dropped before the last layer while training, 0..1.
    """
    check_choice("arch", arch, NETWORKS)
    if arch == "resnet18":
        return _resnet18(channels, classes, dropout)
    stages = [_pair(channels, width), nn.MaxPool2d(2), _pair(width, 2 * width), nn.MaxPool2d(2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * width, classes)]
    return nn.Sequential(*stages, _pair(2 * width, 4 * width), *head)


def _pair(channels: int, width: int) -> nn.Module:
    """Two 3x3 convolutions; each is normalised over the batch, which makes its own bias useless."""
    first, second = (nn.Conv2d(n, width, 3, padding=1, bias=False) for n in (channels, width))
    return nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), second, nn.BatchNorm2d(width), nn.ReLU())


def _resnet18(channels: int, classes: int, dropout: float) -> nn.Module:
    """torchvision's ResNet-18 (He et al. 2016) with a stem that suits 32x32 pixels, as in section 4.2 of the paper: one
    3x3 convolution and no pooling. The stem for ImageNet would leave 8x8 of them."""
    net: nn.Module = need_torchvision().models.resnet18(num_classes=classes)
    net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    net.maxpool = nn.Identity()
    net.fc = nn.Sequential(nn.Dropout(dropout), nn.Linear(512, classes))
    return net
