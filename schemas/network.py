"""Networks that a plan may name.

A node builds them from its own installed code; nothing is imported by name.
Input is [batch, 1, height, width] from the contract, or volumes with a depth before the height. A
classification network gives one logit per image, [batch]; a segmentation network one per pixel.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from schemas.base import Record

Width: TypeAlias = Annotated[int, Field(ge=1, le=4096)]
"""A number of channels, or of layers in a block."""


class ConvolutionalNetwork(Record):
    """Blocks of 3x3 convolution, group normalisation, ReLU and 2x2 pooling, then a linear layer."""

    kind: Literal["convolutional"] = "convolutional"
    channels: tuple[Width, ...] = Field(default=(16, 32, 64, 64), min_length=1, max_length=8)
    groups: int = Field(default=8, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class DenseNet(Record):
    """MONAI DenseNet with group normalisation.

    The defaults are DenseNet121 (Huang et al. 2017, table 1).
    """

    kind: Literal["densenet"] = "densenet"
    initial_features: Width = 64
    growth_rate: Width = 32
    blocks: tuple[Width, ...] = Field(default=(6, 12, 24, 16), min_length=1, max_length=8)
    bottleneck: int = Field(default=4, ge=1, le=64)
    """Width of a layer's 1x1 convolution, in growth rates."""
    groups: int = Field(default=8, ge=1)


class ResNet(Record):
    """MONAI ResNet of basic blocks with group normalisation.

    The defaults are ResNet18 (He et al. 2016, table 1), but for the stem's stride, which suits
    small images.
    """

    kind: Literal["resnet"] = "resnet"
    blocks: tuple[Width, Width, Width, Width] = (2, 2, 2, 2)
    channels: tuple[Width, Width, Width, Width] = (64, 128, 256, 512)
    stem_stride: Literal[1, 2] = 1
    groups: int = Field(default=8, ge=1)


class EfficientNet(Record):
    """MONAI EfficientNet with group normalisation, without dropout or stochastic depth.

    The defaults are EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946).
    """

    kind: Literal["efficientnet"] = "efficientnet"
    width: float = Field(default=1.0, ge=0.25, le=2.0)
    depth: float = Field(default=1.0, ge=0.25, le=3.1)
    groups: int = Field(default=8, ge=1)


class GaborFourier(Record):
    """Fixed Gabor channels and random Fourier features with one trainable linear layer.

    Rahimi and Recht 2007. Nothing of the fixed part comes from a cohort: its constants are drawn
    from `seed`.
    """

    kind: Literal["gabor-fourier"] = "gabor-fourier"
    features: int = Field(default=4096, ge=2, le=65536, multiple_of=2)
    bandwidth: float = Field(default=1.0, gt=0, le=1e6)
    bias_scale: float = Field(default=0.3, ge=0, le=1e6)
    seed: int = Field(default=11, ge=0, lt=2**31)


class SegResNet(Record):
    """MONAI SegResNet (Myronenko 2018, arXiv:1810.11654); image sides are multiples of 8."""

    kind: Literal["segresnet"] = "segresnet"
    initial_filters: Width = 8
    blocks_down: tuple[Width, ...] = Field(default=(1, 2, 2, 4), min_length=2, max_length=6)
    blocks_up: tuple[Width, ...] = Field(default=(1, 1, 1), min_length=1, max_length=5)
    groups: int = Field(default=8, ge=1)


class AttentionUnet(Record):
    """MONAI AttentionUnet (Oktay et al. 2018, arXiv:1804.03999)."""

    kind: Literal["attention-unet"] = "attention-unet"
    channels: tuple[Width, ...] = Field(default=(16, 32, 64, 128), min_length=2, max_length=6)
    groups: int = Field(default=8, ge=1)


class BasicUnet(Record):
    """MONAI BasicUNet (Falk et al. 2019)."""

    kind: Literal["basic-unet"] = "basic-unet"
    features: tuple[Width, Width, Width, Width, Width, Width] = (32, 32, 64, 128, 256, 32)
    groups: int = Field(default=8, ge=1)


class Unet(Record):
    """MONAI UNet, with residual units where asked for (Kerfoot et al. 2019)."""

    kind: Literal["unet"] = "unet"
    channels: tuple[Width, ...] = Field(default=(16, 32, 64, 128), min_length=2, max_length=6)
    residual_units: int = Field(default=2, ge=0, le=8)
    groups: int = Field(default=8, ge=1)


ClassificationNetwork: TypeAlias = (
    ConvolutionalNetwork | DenseNet | EfficientNet | GaborFourier | ResNet
)
SegmentationNetwork: TypeAlias = AttentionUnet | BasicUnet | SegResNet | Unet
NetworkSpec: TypeAlias = Annotated[
    ClassificationNetwork | SegmentationNetwork, Field(discriminator="kind")
]
