"""Trained segmenters: [batch, 1, (depth,) height, width] to one logit per pixel, the same shape.

* MONAI's networks with one channel in and one out, in two dimensions or in three, adapted so that
  an image's logits depend on that image alone.
"""

from typing import Any

from torch import nn

from hospital_node.models.adaptation import PreactivatedResidual, adapted, refuse_unfit
from schemas.network import AttentionUnet, BasicUnet, SegmentationNetwork, SegResNet, Unet


def segmenter(spec: SegmentationNetwork, size: tuple[int, ...]) -> nn.Module:
    """Make a segmentation network.

    Raises:
        ValueError: the specification or the image size does not fit.
    """
    from monai.networks.blocks.segresnet_block import ResBlock  # noqa: PLC0415 - as in densenet

    module = adapted(
        _made(spec, len(size)), groups=spec.groups, blocks={ResBlock: PreactivatedResidual}
    )
    refuse_unfit(module, size, shape=(1, *size))
    return module


def _made(spec: SegmentationNetwork, dimensions: int) -> nn.Module:
    from monai.networks import nets  # noqa: PLC0415 - a second that other networks need not wait

    planes: dict[str, Any] = {"spatial_dims": dimensions, "in_channels": 1, "out_channels": 1}
    module: nn.Module
    match spec:
        case SegResNet():
            module = nets.SegResNet(
                **planes,
                init_filters=spec.initial_filters,
                blocks_down=spec.blocks_down,
                blocks_up=spec.blocks_up,
                norm=("group", {"num_groups": spec.groups}),
            )
        case AttentionUnet():
            strides = (2,) * (len(spec.channels) - 1)
            module = nets.AttentionUnet(**planes, channels=spec.channels, strides=strides)
        case BasicUnet():
            module = nets.BasicUNet(**planes, features=spec.features)
        case Unet():
            module = nets.UNet(
                **planes,
                channels=spec.channels,
                strides=(2,) * (len(spec.channels) - 1),
                num_res_units=spec.residual_units,
            )
    return module
