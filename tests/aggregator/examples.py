"""Small plans, layouts and replies that the tests of this side start from."""

from typing import Any

import numpy as np

from aggregator.aggregation.spool import Spool, Vector
from schemas.names import digest_of
from schemas.plan import TrainingPlan
from schemas.privacy import PrivacyStatement, Spend
from schemas.update import RESOLUTION_BITS, Histogram, Update
from schemas.wire.arrays import header
from schemas.wire.layout import ArraySpec, Layout

DIGEST = "sha256:" + "0" * 64
HEAD = "site/A\n0\n"
MOMENT = "2026-01-01T00:00:00.000Z"
LAYOUT: Layout = (ArraySpec(name="a", shape=(3,)), ArraySpec(name="b", shape=(2, 2)))
SIZE = 7

PRIVATE: dict[str, Any] = {
    "local": {
        "kind": "private-steps",
        "steps": 2,
        "optimizer": {"kind": "sgd", "learning_rate": 1.0},
    },
    "privacy": {
        "kind": "patient",
        "sampling_rate": 0.5,
        "noise_multiplier": 2.0,
        "max_norm": 0.25,
        "delta": 1e-4,
    },
    "evaluation": {"rounds": (2,), "noise_multiplier": 1.0},
}


def plan(**changes: Any) -> TrainingPlan:
    fields: dict[str, Any] = {
        "name": "example",
        "title": "An example",
        "contract": {"file": "contract.toml"},
        "initial": {"seed": 0},
        "network": {"kind": "convolutional"},
        "sites": tuple({"site": one, "expected_patients": 10.0} for one in ("A", "B", "C")),
        "rounds": 2,
        "local": {
            "kind": "epochs",
            "epochs": 1,
            "batch_images": 8,
            "optimizer": {"kind": "sgd", "learning_rate": 0.1},
        },
        "privacy": {"kind": "none"},
        "evaluation": {"rounds": (2,)},
        "participation": {"quorum": 2},
    }
    return TrainingPlan.model_validate(fields | changes)


def body(vector: Vector, layout: Layout = LAYOUT) -> bytes:
    return header(layout) + vector.astype("<f4").tobytes()


def statement(plan: TrainingPlan, **changes: Any) -> PrivacyStatement:
    event = plan.train_event()
    assert event is not None
    spent = Spend(delta=1e-4, rdp=1.0, pld=0.9)
    whole = PrivacyStatement(event=event, max_norm=0.25, part="train", spent=spent)
    return whole.model_copy(update=changes)


def update(site: str, content: bytes, privacy: PrivacyStatement | None = None) -> Update:
    return Update(
        federation="study",
        run="run-1",
        plan=DIGEST,
        round=1,
        request="run-1.1.train",
        site=site,
        head=HEAD,
        arrays=digest_of(content),
        privacy=privacy,
    )


def flat_layout(size: int) -> Layout:
    return (ArraySpec(name="w", shape=(size,)),)


def filled(spool: Spool, deltas: dict[str, Vector]) -> Spool:
    """Put deltas into a spool in the order of the dictionary."""
    for site, delta in deltas.items():
        content = body(delta, spool.layout)
        spool.put(site, update(site, content), site.encode(), content)
    return spool


def histogram(negatives: Any, positives: Any) -> Histogram:
    """Write patients per bin as a histogram."""
    rows = np.rint(np.asarray([negatives, positives], dtype=float) * 2**RESOLUTION_BITS)
    return Histogram(counts=(tuple(map(int, rows[0])), tuple(map(int, rows[1]))))


def of_scores(negatives: Any, positives: Any, *, bins: int = 10) -> Histogram:
    """Count scores in [0, 1], a patient each."""
    edges = np.linspace(0, 1, bins + 1)
    return histogram(np.histogram(negatives, edges)[0], np.histogram(positives, edges)[0])


def noised(clean: Histogram, noise_multiplier: float, generator: np.random.Generator) -> Histogram:
    """Add what a site adds."""
    counts = np.asarray(clean.counts, dtype=float) / 2**RESOLUTION_BITS
    loud = counts + generator.normal(0, noise_multiplier, counts.shape)
    return histogram(loud[0], loud[1])
