"""Small invented cohorts and networks for the tests of training."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hospital_node.models.registry import Network, build
from hospital_node.training.examples import Examples
from schemas.network import ConvolutionalNetwork, NetworkSpec

SMALL = ConvolutionalNetwork(channels=(4, 8), groups=2)


def small_network(spec: NetworkSpec = SMALL, *, seed: int = 0) -> Network:
    return build(spec, height=16, width=16, seed=seed)


def linear_network(features: int = 3, name: str = "linear") -> Network:
    torch.nn.init.zeros_((layer := nn.Linear(features, 1, bias=False)).weight)
    return Network(name, nn.Sequential(layer, nn.Flatten(0)), _identity, (features,))


def examples_for(network: Network, images: Sequence[int], *, seed: int = 0) -> Examples:
    """Invent one patient for each number of images, in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    patients = torch.repeat_interleave(torch.tensor(list(images), dtype=torch.long))
    count = len(patients)
    return Examples(
        inputs=torch.randn((count, *network.shape), generator=generator),
        labels=torch.randint(2, (count,), generator=generator).float(),
        patients=patients[torch.randperm(count, generator=generator)],
    )


def _identity(images: Tensor) -> Tensor:
    return images
