"""The optimizer of patient-level DP-SGD, on top of Opacus'.

* Abadi et al. 2016 (arXiv:1607.00133), algorithm 1, with patients for examples.
* A patient's image gradients are averaged, clipped once at C over all parameters, and summed over
  patients.
* The loss of an image carries 1 / the patient's images, so a patient's average is a sum of
  `grad_sample`.
* A gradient that is not finite contributes nothing; no input can raise a patient's contribution
  over C.
* Noise is float64, of deviation noise_multiplier * C, from the system's generator; never seeded.
* The divisor is the plan's expected batch, never the number of patients drawn.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from hospital_node.models.registry import Network
from hospital_node.privacy.randomness import secure_normal
from hospital_node.training.examples import Examples, image_shares
from hospital_node.training.objective import image_losses

Noise: TypeAlias = Callable[[tuple[int, ...], float], NDArray[np.float64]]

_SLACK = 1e-5
"""Relative room below C for the rounding of float32 norms and sums."""
_NORM_BLOCK = 2**12
_CHUNK_IMAGES = 64
_CHUNK_VALUES = 2**27
"""At most this many per-image gradient values are held at a time (half a gigabyte)."""


class PatientOptimizer(DPOptimizer):  # type: ignore[misc] # Opacus is published without types
    """Opacus' optimizer for patients: accumulates chunks of whole patients, releases once."""

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        noise: Noise = secure_normal,
        **bounds: float,
    ) -> None:
        """Wrap a plain optimizer.

        `bounds` are Opacus' noise_multiplier, max_grad_norm and expected_batch_size.
        """
        super().__init__(optimizer, **bounds)
        self._noise = noise
        self.patients = torch.empty(0, dtype=torch.long)
        """Whose each image of the present chunk is: 0 to the chunk's patients - 1."""

    def clip_and_accumulate(self) -> None:
        """Add the present chunk's clipped patients to `summed_grad`, in float64."""
        count = int(self.patients.max()) + 1 if len(self.patients) else 0
        totals = [self._patient_totals(value, count) for value in self.params]
        norms = torch.stack([_norms(total) for total in totals], 1).norm(dim=1)
        finite = norms.isfinite()
        if not finite.all():
            totals = [torch.where(finite[:, None], total, 0.0) for total in totals]
        bound = self.max_grad_norm * (1.0 - _SLACK)
        factors = torch.where(finite, (bound / norms).clamp(max=1.0), 0.0)
        for value, total in zip(self.params, totals, strict=True):
            clipped = (factors.to(total.dtype) @ total).double().view_as(value)
            value.summed_grad = (
                clipped if value.summed_grad is None else value.summed_grad + clipped
            )

    def add_noise(self) -> None:
        """Put the noised sum into `grad`; the sum and its noise meet in float64."""
        deviation = self.noise_multiplier * self.max_grad_norm
        for value in self.params:
            noise = torch.from_numpy(self._noise(tuple(value.shape), deviation))
            value.grad = (value.summed_grad + noise).to(value.dtype)

    def release(self) -> None:
        """Noise, scale and apply what was accumulated; without a patient, a step of noise alone."""
        self.patients = torch.empty(0, dtype=torch.long)
        for value in self.params:
            value.grad_sample = value.new_zeros((0, *value.shape))
        self.step()
        self.zero_grad()

    def _patient_totals(self, value: nn.Parameter, count: int) -> Tensor:
        samples: Tensor = self._get_flat_grad_sample(value).flatten(1)
        if len(samples) == count:
            return samples
        return samples.new_zeros((count, samples.shape[1])).index_add_(0, self.patients, samples)


def _norms(totals: Tensor) -> Tensor:
    """Return the norm of each row, summed in blocks: one float32 sum of a million falls short."""
    blocks = [block.norm(dim=1).double() for block in torch.split(totals, _NORM_BLOCK, dim=1)]
    found: Tensor = torch.stack(blocks, 1).norm(dim=1)
    return found


@contextmanager
def per_image_gradients(module: nn.Module) -> Iterator[None]:
    """Let backward passes store each image's gradient; no hook or attribute stays behind."""
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
            if hasattr(value, "summed_grad"):
                del value.summed_grad


def accumulate(network: Network, examples: Examples, optimizer: PatientOptimizer) -> None:
    """Clip every patient among the examples and add them up, whole patients at a time."""
    values = sum(value.numel() for value in network.module.parameters())
    most = max(1, min(_CHUNK_IMAGES, _CHUNK_VALUES // values))
    weighed = image_shares(examples)
    for rows in chunks(examples.patients, most_images=most):
        batch = examples.rows(rows)
        _, optimizer.patients = torch.unique(batch.patients, return_inverse=True)
        # Torch warns of a backward hook on a layer none of whose inputs asks for a gradient.
        logits = network.module(batch.inputs.requires_grad_())
        torch.autograd.backward((image_losses(logits, batch.labels) * weighed[rows]).sum())
        optimizer.signal_skip_step(do_skip=True)
        optimizer.step()
        optimizer.zero_grad()


def chunks(patients: Tensor, *, most_images: int) -> Iterator[Tensor]:
    """Split images into rows of whole patients: at most `most_images`, or one patient."""
    order = torch.argsort(patients, stable=True)
    _, counts = torch.unique_consecutive(patients[order], return_counts=True)
    start = stop = 0
    for count in counts.tolist():
        if stop > start and stop + count - start > most_images:
            yield order[start:stop]
            start = stop
        stop += count
    if stop > start:
        yield order[start:stop]
