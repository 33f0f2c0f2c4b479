"""Trained image classifiers: [batch, 1, (depth,) height, width] to a logit per image, [batch].

* Group normalisation only: an image's logit depends on that image alone.
* No operation works in place, since hooks that compute per-image gradients would see overwritten
  values.
"""

import math
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from hospital_node.models.adaptation import BasicResidual, adapted, refuse_unfit, worded
from hospital_node.models.dropout import SeededDropout
from schemas.network import ConvolutionalNetwork, DenseNet, EfficientNet, ResNet

_VOLUME = 3
_EFFICIENTNET = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
"""Repeats, kernel, stride, expansion, channels in and out, squeeze: Tan and Le 2019, table 1."""


class Classifier(nn.Module):
    """A body that gives [batch, 1], read as [batch]."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit per image."""
        return cast("Tensor", self.body(images)).squeeze(1)


def convolutional(spec: ConvolutionalNetwork, size: tuple[int, ...]) -> nn.Module:
    """Make blocks of convolution, group normalisation, ReLU and pooling, then one linear layer."""
    blocks = len(spec.channels)
    features = spec.channels[-1] * math.prod(side >> blocks for side in size)
    if features == 0:
        message = f"{blocks} poolings of {worded(size)} leave none"
        raise ValueError(message)
    layers: list[nn.Module] = []
    is_volume = len(size) == _VOLUME
    convolution, pooling = (nn.Conv3d, nn.MaxPool3d) if is_volume else (nn.Conv2d, nn.MaxPool2d)
    for before, after in pairwise((1, *spec.channels)):
        layers += [
            convolution(before, after, kernel_size=3, padding=1),
            nn.GroupNorm(spec.groups, after),
            nn.ReLU(),
            pooling(2),
        ]
    tail = [nn.Flatten(), SeededDropout(spec.dropout), nn.Linear(features, 1)]
    return Classifier(nn.Sequential(*layers, *tail))


def densenet(spec: DenseNet, size: tuple[int, ...]) -> nn.Module:
    """Make MONAI's DenseNet with group normalisation."""
    from monai.networks import nets  # noqa: PLC0415 - a second that other networks need not wait

    module = Classifier(
        nets.DenseNet(
            spatial_dims=len(size),
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
    refuse_unfit(module, size, shape=())
    return module


def resnet(spec: ResNet, size: tuple[int, ...]) -> nn.Module:
    """Make MONAI's ResNet of basic blocks with group normalisation.

    Raises:
        ValueError: the specification or the image size does not fit.
    """
    from monai.networks.nets import resnet as monai  # noqa: PLC0415 - as above

    body = monai.ResNet(
        monai.ResNetBlock,
        list(spec.blocks),
        list(spec.channels),
        spatial_dims=len(size),
        n_input_channels=1,
        conv1_t_stride=spec.stem_stride,
        num_classes=1,
        bias_downsample=False,
    )
    blocks = {monai.ResNetBlock: BasicResidual}
    module = Classifier(adapted(body, groups=spec.groups, blocks=blocks))
    refuse_unfit(module, size, shape=())
    return module


def efficientnet(spec: EfficientNet, size: tuple[int, int]) -> nn.Module:
    """Make MONAI's EfficientNet with group normalisation, without dropout or stochastic depth.

    Raises:
        ValueError: the image size does not fit.
    """
    from monai.networks import nets  # noqa: PLC0415 - as above

    body = nets.EfficientNet(
        list(_EFFICIENTNET),
        spatial_dims=2,
        in_channels=1,
        num_classes=1,
        width_coefficient=spec.width,
        depth_coefficient=spec.depth,
        dropout_rate=0.0,
        image_size=max(size),
        drop_connect_rate=0.0,
    )
    # The default is a function of its own in autograd, which vmap cannot pass.
    body.set_swish(memory_efficient=False)
    module = Classifier(adapted(body, groups=spec.groups))
    refuse_unfit(module, size, shape=())
    return module
