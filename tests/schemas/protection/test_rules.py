"""The rules of protection: every pair that cannot hold is refused when the plan is read."""

from typing import Any

import pytest

from schemas.plan_rules import broken_rules
from schemas.protection.settings import least_survivors, threshold
from tests.aggregator.examples import PRIVATE, plan

FOUR = tuple({"site": one, "expected_patients": 10.0} for one in "ABCD")
BOUND = {"max_norm": 10.0}
MASKED: dict[str, Any] = {
    "protection": {"kind": "masked"},
    "sites": FOUR,
    "participation": {"quorum": 3},
    "update_gate": BOUND,
}
ENCRYPTED = MASKED | PRIVATE | {"protection": {"kind": "encrypted"}, "trainable": "head"}
MASKED_SUMS: dict[str, Any] = {
    "sites": FOUR,
    "evaluation": {"rounds": (2,), "protection": "masked"},
}


def weighing(*weights: float) -> tuple[dict[str, Any], ...]:
    return tuple(one | {"weight": weight} for one, weight in zip(FOUR, weights, strict=True))


def encrypting(fraction_bits: int, **gate: float) -> dict[str, Any]:
    fields = {"kind": "encrypted", "fraction_bits": fraction_bits}
    return ENCRYPTED | {"protection": fields, "update_gate": BOUND | gate}


FIFTY = {
    "sites": tuple({"site": f"s{one:02d}", "expected_patients": 10.0} for one in range(50)),
    "participation": {"quorum": 34},
}

HOLDS: dict[str, dict[str, Any]] = {
    "masked": MASKED,
    "masked in the ring 2^64": MASKED | {"protection": {"kind": "masked", "fraction_bits": 50}},
    "masked under privacy": MASKED | PRIVATE,
    "masked with three sites": MASKED | {"sites": FOUR[:3]},
    "masked scaffold under privacy": MASKED | PRIVATE | {"aggregation": {"algorithm": "scaffold"}},
    "masked with personal models": MASKED | {"aggregation": {"personalisation": {}}},
    "masked evaluation of open updates": MASKED_SUMS,
    "both masked": MASKED | MASKED_SUMS,
    "encrypted": ENCRYPTED,
    "a site of nine tenths of the weights": MASKED | {"sites": weighing(27, 1, 1, 1)},
    "an open plan of any weights": {"sites": weighing(1e9, 1, 1, 1)},
    "a small weight that keeps 16 bits": MASKED
    | {"sites": weighing(1, 1, 1, 3 / 2000), "protection": {"kind": "masked", "fraction_bits": 24}},
    "encrypted as finely as four sites allow": encrypting(21),
    "encrypted as finely as fifty sites allow": encrypting(19) | FIFTY,
    "encrypted values up to a million": encrypting(20, max_norm=1e6),
    "encrypted random features": ENCRYPTED
    | {"trainable": "all", "network": {"kind": "gabor-fourier"}},
}


def _of(*, combiner: dict[str, Any]) -> dict[str, Any]:
    six = tuple({"site": one} for one in "ABCDEF")
    quorum = {"participation": {"quorum": 6}, "sites": six}
    return MASKED | quorum | {"aggregation": {"combiner": combiner}}


_EACH = "the combiner must see each update, and the protection shows only their sum"
_THRESHOLD = "the quorum is under the protection's threshold"
_COMPARES = "the update gate compares updates, and the protection shows only their sum"
_DWARFS = "the weight of one site is over nine tenths of all"
_VANISHES = "the site with the least weight would be lost in the fixed point"
_TOO_FINE = "the sum would leave finer than encryption is exact"
_COARSE = {"kind": "masked", "fraction_bits": 20}
_SITES = "masked evaluation shows no figures of a site"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "krum": (_of(combiner={"kind": "krum", "dishonest": 1}), _EACH),
    "median": (_of(combiner={"kind": "median"}), _EACH),
    "trimmed mean": (_of(combiner={"kind": "trimmed-mean", "trim": 1}), _EACH),
    "a sum of two": (
        MASKED | {"sites": FOUR[:2], "participation": {"quorum": 2}},
        "which tells each part unless three sites train",
    ),
    "a sum of two trainers and an evaluator": (
        MASKED | {"sites": (*FOUR[:2], {"site": "E", "role": "evaluator"})},
        "which tells each part unless three sites train",
    ),
    "a quorum under the threshold": (MASKED | {"participation": {"quorum": 2}}, _THRESHOLD),
    "no bound": (MASKED | {"update_gate": {}}, "so update_gate.max_norm is needed"),
    "an overflow": (
        MASKED
        | {
            "update_gate": {"max_norm": 1e6},
            "protection": {"kind": "masked", "fraction_bits": 52},
        },
        "overflows the largest ring",
    ),
    "a site of more than nine tenths": (MASKED | {"sites": weighing(28, 1, 1, 1)}, _DWARFS),
    "a site of almost all, in a fine ring": (
        MASKED
        | {"sites": weighing(1e9, 1, 1, 1), "protection": {"kind": "masked", "fraction_bits": 52}},
        _DWARFS,
    ),
    "a site of almost none": (MASKED | {"sites": weighing(1, 1, 1, 1e-3)}, _VANISHES),
    "a bound of few steps": (
        MASKED | {"update_gate": {"max_norm": 0.01}, "protection": _COARSE},
        _VANISHES,
    ),
    "an encrypted bound of few steps": (
        encrypting(8, max_norm=100.0),
        _VANISHES,
    ),
    "encryption finer than its error": (encrypting(22), _TOO_FINE),
    "encryption finer than fifty sites' error": (encrypting(20) | FIFTY, _TOO_FINE),
    "encryption of large values": (encrypting(20, max_norm=1e9), _TOO_FINE),
    "a ratio of norms": (MASKED | {"update_gate": BOUND | {"max_norm_ratio": 3.0}}, _COMPARES),
    "a cosine": (MASKED | {"update_gate": BOUND | {"least_cosine": 0.1}}, _COMPARES),
    "opposed norms": (MASKED | {"update_gate": BOUND | {"opposed_norm_ratio": 1.0}}, _COMPARES),
    "encryption without privacy": (
        MASKED | {"protection": {"kind": "encrypted"}, "trainable": "head"},
        "encryption needs privacy",
    ),
    "encryption of a whole network": (
        ENCRYPTED | {"trainable": "all"},
        "encryption is for small models",
    ),
    "encryption with krum": (
        ENCRYPTED | {"aggregation": {"combiner": {"kind": "krum", "dishonest": 1}}},
        _EACH,
    ),
    "a margin of one site": (MASKED_SUMS | {"gate": {"site_margins": {"A": 0.1}}}, _SITES),
    "a least number of sites": (MASKED_SUMS | {"gate": {"min_sites": 2}}, _SITES),
    "a release that counts sites": (MASKED_SUMS | {"release": {"min_sites": 2}}, _SITES),
    "a sum of two histograms": (
        {"sites": FOUR[:2]} | {"evaluation": MASKED_SUMS["evaluation"]},
        "which tells each part unless three sites answer",
    ),
    "a site of the sum's name": (
        MASKED_SUMS | {"sites": (*FOUR[:3], {"site": "sum"})},
        "the name sum is the sum's",
    ),
}


@pytest.mark.parametrize("changes", HOLDS.values(), ids=HOLDS)
def test_it_holds(changes: dict[str, Any]) -> None:
    assert broken_rules(plan(**changes)) == []


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match="1 validation error") as refused:
        plan(**changes)
    assert reason in str(refused.value)


def test_the_threshold_allows_a_third_of_the_sites_to_collude() -> None:
    known = {3: 3, 4: 3, 5: 4, 10: 7, 50: 34}
    assert {sites: threshold(sites) for sites in known} == known
    for sites in range(1, 200):
        assert 2 * threshold(sites) > sites + sites // 3
        assert threshold(sites) <= sites
        assert least_survivors(sites) >= 3
