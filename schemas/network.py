"""Networks that a plan may name.

A node builds them from its own installed code; nothing is imported by name.
Input is [batch, 1, height, width] from the contract; output is one logit per image, [batch].
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


class GaborFourier(Record):
    """Fixed Gabor channels and random Fourier features with one trainable linear layer.

    Rahimi and Recht 2007. Nothing of the fixed part comes from a cohort: its constants are drawn
    from `seed`.
    """

    kind: Literal["gabor-fourier"] = "gabor-fourier"
    features: int = Field(default=4096, ge=2, le=65536, multiple_of=2)
    bandwidth: float = Field(default=1.0, gt=0)
    bias_scale: float = Field(default=0.3, ge=0)
    seed: int = Field(default=11, ge=0, lt=2**31)


NetworkSpec: TypeAlias = Annotated[
    ConvolutionalNetwork | DenseNet | GaborFourier, Field(discriminator="kind")
]
