"""Which heads a key signs, and a witness key cosigns, of those that a log ever had."""

import pytest

from schemas.audit.verification.reigns import Cosigner, Reign

REIGNS = {
    "the only key": (Reign("k"), 9, None, True),
    "a former key, of a head before": (Reign("k", 0, 9), 9, None, True),
    "a former key, of a head after": (Reign("k", 0, 9), 10, None, False),
    "the present key, of a head before": (Reign("k", 9), 8, None, False),
    "a key without an end, of a head that came before": (Reign("k", 0, 9, before=40), 5, 39, True),
    "a key without an end, of a head that came later": (Reign("k", 0, 9, before=40), 5, 40, False),
    "a key without an end, of a head that never came": (
        Reign("k", 0, 9, before=40),
        5,
        None,
        False,
    ),
    "a key that its log does not name yet": (Reign("k", None), 9, 3, False),
}


@pytest.mark.parametrize(("reign", "size", "received", "counts"), REIGNS.values(), ids=REIGNS)
def test_a_key_signs_the_heads_of_its_reign(
    reign: Reign, size: int, received: int | None, *, counts: bool
) -> None:
    assert reign.holds(size, received) is counts


ROOT = b"\1" * 32
COSIGNERS = {
    "the only key": (Cosigner("k"), True),
    "a former key, before": (Cosigner("k", 0, 7), True),
    "a former key, after": (Cosigner("k", 0, 6), False),
    "the present key, before": (Cosigner("k", 8), False),
    "a stolen key, noted before": (Cosigner("k", 0, 9, frozenset({(7, ROOT)})), True),
    "a stolen key, another root": (Cosigner("k", 0, 9, frozenset({(7, b"\2" * 32)})), False),
    "a stolen key, never noted": (Cosigner("k", 0, 9, frozenset()), False),
}


@pytest.mark.parametrize(("cosigner", "counts"), COSIGNERS.values(), ids=COSIGNERS)
def test_a_witness_key_cosigns_the_heads_of_its_reign(cosigner: Cosigner, *, counts: bool) -> None:
    assert cosigner.holds((7, ROOT)) is counts
