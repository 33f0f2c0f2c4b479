"""What an accountant must know to price a release, and what a node says it has spent.

* The unit is the patient; neighbours differ by adding or removing one.
* The meaning of an event never changes; an unknown event is unsupported, never free.
* Every field is a constant of an approved plan or a function of such constants: stating it
  discloses nothing.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from schemas.base import Record

Adjacency: TypeAlias = Literal["add-or-remove-one-patient"]


NoiseMultiplier: TypeAlias = Annotated[float, Field(ge=1e-12, le=1e12)]
"""Standard deviation of the noise over the L2 sensitivity, within what accounting can price."""


class SampledGaussian(Record):
    """`steps` Gaussian releases, each over patients drawn independently at `sampling_rate`.

    Abadi et al. 2016, arXiv:1607.00133.
    """

    kind: Literal["sampled-gaussian"] = "sampled-gaussian"
    sampling_rate: float = Field(gt=0, le=1)
    noise_multiplier: NoiseMultiplier
    steps: int = Field(ge=1)


class Spend(Record):
    """Epsilon of one part's patients over every release ever made from them, at `delta`."""

    delta: float = Field(gt=0, lt=1)
    rdp: float = Field(ge=0)
    """Renyi accounting: what the cap is enforced on.

    It holds when plans are chosen in view of earlier results.
    """
    pld: float = Field(ge=0)
    """Privacy loss distributions: tighter, if the sequence of releases was fixed beforehand."""


class PrivacyStatement(Record):
    """What one reply cost, and the standing of the site's ledger after it."""

    event: SampledGaussian
    max_norm: float = Field(gt=0)
    """Sensitivity: the clipping bound C of training, 1 for an evaluation histogram."""
    part: Literal["train", "validation"]
    unit: Literal["patient"] = "patient"
    adjacency: Adjacency = "add-or-remove-one-patient"
    spent: Spend
