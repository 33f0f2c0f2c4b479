"""Private local work: patient-level DP-SGD, under adding or removing one patient.

* Patients are drawn independently at the plan's rate from the system's generator, anew in every
  step; at rate 1 all are, and the mechanism stays the same.
* A step that draws nobody is a step, of noise alone.
* Rate, noise, clipping bound, number of steps and divisor are constants of the plan; the cohort's
  size enters nowhere.
* The self-test has passed for this network before a patient's image is touched.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import SGD

from hospital_node.models.registry import Network, load_arrays, trainable_arrays
from hospital_node.privacy.randomness import secure_normal, secure_poisson
from hospital_node.training import self_test
from hospital_node.training.examples import Examples
from hospital_node.training.patient_level import (
    PatientOptimizer,
    accumulate,
    per_image_gradients,
)
from schemas.plan import PatientPrivacy, PrivateSteps
from schemas.wire.arrays import Arrays


@dataclass(frozen=True, slots=True)
class Mechanism:
    """The plan's constants that make one round's release."""

    privacy: PatientPrivacy
    work: PrivateSteps
    expected_patients: float
    """The plan's declared number of train patients at this site, never the cohort's own."""


def trained_privately(
    network: Network, examples: Examples, *, start: Arrays, mechanism: Mechanism
) -> dict[str, NDArray[np.float32]]:
    """Take the plan's steps from `start` and return the delta; the caller has charged them.

    Raises:
        SelfTestFailed: the clipped gradients of this network are not what the guarantee assumes.
        ArraysRefused: `start` does not fit the network.
    """
    self_test.check(network)
    module = network.module
    load_arrays(module, start)
    module.train()
    with per_image_gradients(module):
        optimizer = _optimizer(network, mechanism)
        for _ in range(mechanism.work.steps):
            drawn = secure_poisson(examples.patient_count, mechanism.privacy.sampling_rate)
            chosen = torch.from_numpy(drawn)[examples.patients]
            accumulate(network, examples.rows(chosen), optimizer)
            optimizer.release()
    module.eval()
    return {name: value - start[name] for name, value in trainable_arrays(module).items()}


def _optimizer(network: Network, mechanism: Mechanism) -> PatientOptimizer:
    privacy, local = mechanism.privacy, mechanism.work.optimizer
    return PatientOptimizer(
        SGD(
            network.module.parameters(),
            local.learning_rate,
            local.momentum,
            weight_decay=local.weight_decay,
        ),
        noise=secure_normal,
        noise_multiplier=privacy.noise_multiplier,
        max_grad_norm=privacy.max_norm,
        expected_batch_size=privacy.sampling_rate * mechanism.expected_patients,
    )
