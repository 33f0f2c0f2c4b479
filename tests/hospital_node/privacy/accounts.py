"""A ledger with room for two rounds, and the entries that go into it."""

from hospital_node.privacy.ledger import Entry
from schemas import accounting
from schemas.manifest import Part
from schemas.privacy import SampledGaussian

DELTA = 1e-5
DIGEST = "sha256:" + "0" * 64
ROUND = SampledGaussian(sampling_rate=1.0, noise_multiplier=4.0, steps=1)


def epsilon(rounds: int) -> float:
    return accounting.epsilon_rdp([ROUND] * rounds, delta=DELTA)


LIMIT = (epsilon(2) + epsilon(3)) / 2
"""Room for two rounds."""


def entry(request: str, part: Part = "train", *, event: SampledGaussian = ROUND) -> Entry:
    return Entry(
        request=request,
        run="run-1",
        plan=DIGEST,
        round=1,
        part=part,
        event=event,
        max_norm=1.0,
        contract=DIGEST,
        cohort=DIGEST,
        software="1.0",
    )
