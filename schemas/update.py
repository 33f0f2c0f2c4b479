"""The messages of a round: requests, replies and refusals.

* Each is the payload of a signed envelope; arrays travel beside it and are named by digest.
* A reply carries no count, loss, duration or free text: every field is a constant of the plan,
  noised and charged, or a coarse code.
* A repeated request id gets the stored reply's very bytes.
"""

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.base import Record
from schemas.names import Digest, Moment, Name, SiteName
from schemas.privacy import PrivacyStatement

RefusalCode: TypeAlias = Literal[
    "request-invalid", "not-approved", "over-budget", "cohort-unfit", "unavailable"
]

RESOLUTION_BITS = 20
"""Histogram counts are whole multiples of 2^-20 patients: sums are exact and can be masked."""


class Binding(Record):
    """What every message of a round is bound to."""

    federation: Name
    run: Name
    plan: Digest
    round: int = Field(ge=1)
    request: Name


class TrainRequest(Binding):
    """Train one round from these arrays; the same bytes go to every participant."""

    kind: Literal["train-request"] = "train-request"
    participants: tuple[SiteName, ...] = Field(min_length=1)
    arrays: Digest
    issued: Moment


class EvaluateRequest(Binding):
    """Evaluate these arrays on the validation patients."""

    kind: Literal["evaluate-request"] = "evaluate-request"
    participants: tuple[SiteName, ...] = Field(min_length=1)
    arrays: Digest
    issued: Moment


class Update(Binding):
    """A site's delta: trained minus received arrays."""

    kind: Literal["update"] = "update"
    site: SiteName
    arrays: Digest
    privacy: PrivacyStatement | None
    """None only for a plan without privacy."""


class Histogram(Record):
    """Validation patients by class and score.

    A patient weighs 1 in all, each image 1 / the patient's images.
    `counts[class][bin]` in units of 2^-20 patients, noise included; may be negative. Bins are equal
    parts of [0, 1].
    """

    counts: tuple[tuple[int, ...], tuple[int, ...]]

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        if len(self.counts[0]) != len(self.counts[1]) or not self.counts[0]:
            message = "the classes differ in their number of bins"
            raise ValueError(message)
        return self


class Evaluation(Binding):
    """A site's histogram of scores for one model."""

    kind: Literal["evaluation"] = "evaluation"
    site: SiteName
    arrays: Digest
    """The model that was evaluated."""
    histogram: Histogram
    privacy: PrivacyStatement | None


class Refusal(Binding):
    """A site's signed no; the code is coarse, the reason stays in the site's own journal."""

    kind: Literal["refusal"] = "refusal"
    site: SiteName
    code: RefusalCode


Request: TypeAlias = TrainRequest | EvaluateRequest
Reply: TypeAlias = Update | Evaluation | Refusal
