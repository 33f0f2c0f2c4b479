"""The engines of clipped gradients: one name, one function, the same answer.

* None is trusted: the self-test judges each for the very network and loss, and a wrong one is
  dropped by name.
* Which of the sound ones trains is a matter of time alone; `calibration` tells.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from hospital_node.training.engines_clipping import (
    Chunk,
    Engine,
    Sums,
    by_patient,
    clipped,
    trainable,
)
from hospital_node.training.engines_layers import layered
from hospital_node.training.objective import Objective, losses_of

_VMAP_PATIENTS = 8
"""So many at a time were quickest on processors."""


def device() -> torch.device:
    """Return where private training computes: the first CUDA device, or the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def one_by_one(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    """Go over patients with plain autograd."""
    values = trainable(module)
    sums = [torch.zeros_like(value) for value in values]
    for inputs, labels in zip(*chunk.by_patient(), strict=True):
        loss = losses_of(objective, module(inputs), labels).mean()
        gradients = [one[None] for one in torch.autograd.grad(loss, values)]
        for total, part in zip(sums, clipped(gradients, bound), strict=True):
            total.add_(part)
    return sums


def mapped(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    """Map the gradient of a patient's loss over patients, through the whole network."""
    values = {
        name: value.detach() for name, value in module.named_parameters() if value.requires_grad
    }

    def loss(values: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        outputs = functional_call(module, values, (inputs,))
        return losses_of(objective, outputs, labels).mean()

    gradients = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=_VMAP_PATIENTS)(
        values, *chunk.by_patient()
    )
    return clipped([gradients[name] for name in values], bound)


def hooked(module: nn.Module, chunk: Chunk, bound: float, objective: Objective) -> Sums:
    """Let Opacus' hooks store each image's gradient in one backward pass."""
    with _hooks(module):
        # Torch warns of a backward hook on a layer none of whose inputs asks for a gradient.
        outputs = module(chunk.inputs.detach().requires_grad_())
        losses = losses_of(objective, outputs, chunk.labels)
        torch.autograd.backward(losses.sum() / chunk.images)
        samples: list[Tensor] = [value.grad_sample for value in trainable(module)]  # type: ignore[attr-defined] # set by Opacus
        return clipped([by_patient(one, chunk.patients).sum(1) for one in samples], bound)


@contextmanager
def _hooks(module: nn.Module) -> Iterator[None]:
    """Hook a module; no hook or attribute stays behind."""
    hooks = GradSampleHooks(module, loss_reduction="sum")
    try:
        yield
    finally:
        hooks.cleanup()
        for layer in module.modules():
            for name in ("activations", "max_batch_len"):
                if hasattr(layer, name):
                    delattr(layer, name)
        for value in module.parameters():
            value.grad = None
            for name in ("_current_grad_sample", "_forward_counter", "grad_sample"):
                vars(value).pop(name, None)


ENGINES: dict[str, Engine] = {
    "layers": layered,
    "vmap": mapped,
    "hooks": hooked,
    "patients": one_by_one,
}
"""The last is the definition itself: the slowest as a rule, and the refuge of odd networks."""
