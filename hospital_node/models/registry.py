"""From a plan's network to a module: the only way that a network comes into being.

* Every value that training changes is a named float32 parameter; a module with a buffer, a batch
  normalisation, a shared parameter or an in-place operation is refused by name.
* The same specification, size and seed give the same arrays.
* `Network.features` is fixed; whoever trains applies it once to a cohort and keeps the result.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hospital_node.models.classification import (
    Classifier,
    convolutional,
    densenet,
    efficientnet,
    resnet,
)
from hospital_node.models.fixed_features import FixedFeatures
from hospital_node.models.initialisation import materialised
from hospital_node.models.segmentation import segmenter
from schemas.errors import ArraysRefused, InvalidRecord
from schemas.network import (
    AttentionUnet,
    BasicUnet,
    ConvolutionalNetwork,
    DenseNet,
    EfficientNet,
    GaborFourier,
    NetworkSpec,
    ResNet,
    SegResNet,
    Unet,
)
from schemas.plan import TrainingPlan
from schemas.recipe import Preprocessing
from schemas.wire.arrays import Arrays
from schemas.wire.layout import ArraySpec, Layout

Features: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Network:
    """A trainable module, the fixed part before it, and what the module is fed."""

    name: str
    """Unique for specification and image size."""
    module: nn.Module
    """[batch, *shape] to logits: [batch], or [batch, *shape] where it segments."""
    features: Features
    """[batch, 1, (depth,) height, width] to [batch, *shape]; the identity where none is fixed."""
    shape: tuple[int, ...]


def build(
    spec: NetworkSpec, *, height: int, width: int, seed: int, depth: int | None = None
) -> Network:
    """Build a plan's network with its initial arrays; with a depth it takes volumes.

    Raises:
        InvalidRecord: the specification does not fit the image size, or the module breaks a rule of
        this registry.
    """
    features: Features = _identity
    size = (height, width) if depth is None else (depth, height, width)
    shape: tuple[int, ...] = (1, *size)
    try:
        match spec:
            case ConvolutionalNetwork():
                module = materialised(lambda: convolutional(spec, size), seed=seed)
            case DenseNet():
                module = materialised(lambda: densenet(spec, size), seed=seed)
            case ResNet():
                module = materialised(lambda: resnet(spec, size), seed=seed)
            case EfficientNet():
                module = materialised(lambda: efficientnet(spec, _flat(spec, size)), seed=seed)
            case AttentionUnet() | BasicUnet() | SegResNet() | Unet():
                module = materialised(lambda: segmenter(spec, size), seed=seed)
            case GaborFourier():
                features = FixedFeatures(spec, *_flat(spec, size))
                shape = (spec.features + 1,)
                module = _zero_head(spec.features + 1)
            case _:
                assert_never(spec)
    except ValueError as error:
        message = f"network refused: {error}"
        raise InvalidRecord(message, next_step="mend the plan's network") from error
    name = f"{spec.kind}-{spec.digest.removeprefix('sha256:')[:16]}-{'x'.join(map(str, size))}"
    return Network(name, admitted(module), features, shape)


def built(plan: TrainingPlan, recipe: Preprocessing) -> Network:
    """Build a plan's network for what its contract's recipe makes.

    Raises:
        InvalidRecord: as `build`.
    """
    return build(
        plan.network,
        depth=recipe.depth,
        height=recipe.height,
        width=recipe.width,
        seed=plan.initial.seed,
    )


def admitted(module: nn.Module) -> nn.Module:
    """Return a module that keeps this registry's rules, in evaluation mode.

    Raises:
        InvalidRecord: names the layer that does not, and why.
    """
    fault = next(_faults(module), None)
    if fault is not None:
        message = f"network refused: {fault}; only named float32 parameters may change"
        raise InvalidRecord(message, next_step="name another network in the plan")
    return module.eval()


def trainable_layout(module: nn.Module) -> Layout:
    """Describe the trainable parameters, without copying them."""
    return tuple(
        ArraySpec(name=name, shape=tuple(value.shape))
        for name, value in sorted(trainable_parameters(module).items())
    )


def trainable_arrays(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copy the trainable arrays out, by name."""
    return {
        name: value.detach().numpy().copy() for name, value in trainable_parameters(module).items()
    }


def load_arrays(module: nn.Module, arrays: Arrays) -> None:
    """Copy arrays in.

    Raises:
        ArraysRefused: other names or shapes than those of the trainable parameters.
    """
    parameters = trainable_parameters(module)
    shapes = {name: tuple(value.shape) for name, value in parameters.items()}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        message = "arrays refused: their names or shapes differ from the network's"
        raise ArraysRefused(message, next_step="check that both sides use the same plan")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(torch.from_numpy(np.array(arrays[name], dtype=np.float32)))


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that training changes, by name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _faults(module: nn.Module) -> Iterator[str]:
    owners: dict[int, str] = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        label = f"{path} ({type(layer).__name__})"
        if isinstance(layer, _BatchNorm):
            yield f"{label} is a batch normalisation, which couples images"
        if getattr(layer, "inplace", False):
            yield f"{label} works in place"
        for name, _ in layer.named_buffers(recurse=False):
            yield f"{label} holds the buffer {name}"
        for name, value in layer.named_parameters(recurse=False, remove_duplicate=False):
            if value.dtype != torch.float32 or not value.requires_grad:
                yield f"{label} holds {name}, which is not float32 or not trainable"
            if owners.setdefault(id(value), label) != label:
                yield f"{label} shares {name} with {owners[id(value)]}"


def _flat(spec: NetworkSpec, size: tuple[int, ...]) -> tuple[int, int]:
    """Return the size of images, for a network that does not take volumes."""
    match size:
        case (height, width):
            return height, width
        case _:
            message = f"{spec.kind} takes images, not volumes"
            raise ValueError(message)


def _zero_head(features: int) -> nn.Module:
    """Make a linear head that starts at zero; its bias belongs to a constant feature."""
    module = materialised(lambda: Classifier(nn.Linear(features, 1, bias=False)), seed=0)
    for value in module.parameters():
        nn.init.zeros_(value)
    return module


def _identity(images: Tensor) -> Tensor:
    return images
