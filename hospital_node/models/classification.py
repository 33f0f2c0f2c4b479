"""Trained image classifiers: [batch, 1, height, width] to one logit per image, [batch].

* Group normalisation only: an image's logit depends on that image alone.
* No operation works in place, since hooks that compute per-image gradients would see overwritten
  values.
"""

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from hospital_node.models.dropout import SeededDropout
from schemas.network import ConvolutionalNetwork, DenseNet


class Classifier(nn.Module):
    """A body that gives [batch, 1], read as [batch]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit per image."""
        return cast("Tensor", self.body(images)).squeeze(1)


def convolutional(spec: ConvolutionalNetwork, *, height: int, width: int) -> nn.Module:
    """Make blocks of convolution, group normalisation, ReLU and pooling, then one linear layer."""
    blocks = len(spec.channels)
    features = spec.channels[-1] * (height >> blocks) * (width >> blocks)
    if features == 0:
        message = f"{blocks} poolings of {height} x {width} pixels leave none"
        raise ValueError(message)
    layers: list[nn.Module] = []
    for before, after in pairwise((1, *spec.channels)):
        layers += [
            nn.Conv2d(before, after, kernel_size=3, padding=1),
            nn.GroupNorm(spec.groups, after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    tail = [nn.Flatten(), SeededDropout(spec.dropout), nn.Linear(features, 1)]
    return Classifier(nn.Sequential(*layers, *tail))


def densenet(spec: DenseNet) -> nn.Module:
    """Make MONAI's DenseNet with group normalisation."""
    from monai.networks import nets  # noqa: PLC0415 - a second that other networks need not wait

    return Classifier(
        nets.DenseNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            init_features=spec.initial_features,
            growth_rate=spec.growth_rate,
            block_config=spec.blocks,
            bn_size=spec.bottleneck,
            act=("relu", {"inplace": False}),
            norm=("group", {"num_groups": spec.groups}),
        )
    )
