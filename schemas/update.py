"""The messages of a round: requests, replies and refusals.

* Each is the payload of a signed envelope; arrays travel beside it and are named by digest.
* A reply carries no count, loss, duration or free text: every field is a constant of the plan,
  noised and charged, or a coarse code.
* A repeated request id gets the stored reply's very bytes.
* Every reply carries the signed head of its site's journal, and every request brings it back: a
  node whose files were put back to an older state is told so by what it once signed.
"""

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.base import Record
from schemas.dice import DiceHistogram
from schemas.names import Digest, Moment, Name, Note, SiteName
from schemas.privacy import PrivacyStatement

RefusalCode: TypeAlias = Literal[
    "request-invalid",
    "not-approved",
    "not-now",
    "over-budget",
    "cohort-unfit",
    "not-witnessed",
    "unavailable",
]

Head: TypeAlias = Note
"""The signed tree head of a site's journal, up to the charge of this reply, or to its refusal.

It is public. Its size counts commands, requests and charges at the site, and each quarantined image
that a person reviewed; its root is a hash over events that hold public facts only, with private
details under 32 random bytes each. What that tells is outside the guarantee (docs/privacy.md).
"""

RESOLUTION_BITS = 20
"""Histogram counts are whole multiples of 2^-20 patients: sums are exact and can be masked."""


class Binding(Record):
    """What every message of a round is bound to."""

    federation: Name
    run: Name
    plan: Digest
    round: int = Field(ge=1)
    request: Name


class VariateRounds(Record):
    """Which of a site's rounds its scaffold variate stands at; 0 is its zero at the start."""

    counted: int = Field(default=0, ge=0)
    """The last round whose update was used: train with the variate after it."""
    accepted: int = Field(default=0, ge=0)
    """The same when the accepted model was made; a roll back returns to it."""


class TrainRequest(Binding):
    """Train one round from these arrays; the same bytes go to every participant.

    In scaffold the bytes of the common variate follow those of the arrays, which are as many.
    """

    kind: Literal["train-request"] = "train-request"
    participants: tuple[SiteName, ...] = Field(min_length=1)
    arrays: Digest
    issued: Moment
    heads: dict[SiteName, Note] = Field(default_factory=dict)
    """The largest journal head that each site sent with a release; none at first."""
    control: Digest | None = None
    """The common variate of scaffold; none in a first round, where it is zero."""
    variates: dict[SiteName, VariateRounds] = Field(default_factory=dict)
    """Where each site's own variate stands; empty but in scaffold."""

    def parts(self, body: bytes) -> tuple[bytes, bytes]:
        """Split what travels beside this request: the arrays, and the common variate if any."""
        if self.control is None:
            return body, b""
        return body[: len(body) // 2], body[len(body) // 2 :]


class EvaluateRequest(Binding):
    """Evaluate these arrays on the validation patients."""

    kind: Literal["evaluate-request"] = "evaluate-request"
    participants: tuple[SiteName, ...] = Field(min_length=1)
    arrays: Digest
    issued: Moment
    heads: dict[SiteName, Note] = Field(default_factory=dict)
    """The largest journal head that each site sent with a release; none at first."""


class CloseRequest(Binding):
    """The run is over: cosign the log that says so. Nothing is trained, and no array travels."""

    kind: Literal["close-request"] = "close-request"
    participants: tuple[SiteName, ...] = Field(min_length=1)
    arrays: Digest
    """Of no bytes."""
    issued: Moment
    heads: dict[SiteName, Note] = Field(default_factory=dict)
    """As in a train request."""


class Update(Binding):
    """A site's delta: trained minus received arrays."""

    kind: Literal["update"] = "update"
    site: SiteName
    head: Head
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
    """A site's histogram for one model."""

    kind: Literal["evaluation"] = "evaluation"
    site: SiteName
    head: Head
    arrays: Digest
    """The model that was evaluated."""
    histogram: Histogram | DiceHistogram
    """Of scores, or of Dice coefficients where the plan segments."""
    privacy: PrivacyStatement | None


class Refusal(Binding):
    """A site's signed no; the code is coarse, the reason stays in the site's own journal."""

    kind: Literal["refusal"] = "refusal"
    site: SiteName
    head: Head
    code: RefusalCode
    faulty: SiteName | None = None
    """Whose part in a sum cannot be used, where that is why."""


class Acknowledgement(Binding):
    """A site's reply to the end of a run."""

    kind: Literal["acknowledgement"] = "acknowledgement"
    site: SiteName
    head: Head


Request: TypeAlias = TrainRequest | EvaluateRequest | CloseRequest
Reply: TypeAlias = Update | Evaluation | Refusal | Acknowledgement
