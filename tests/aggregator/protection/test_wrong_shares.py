"""Sites that tell wrong shares spoil no sum that the others can open, and are named."""

import random
from collections.abc import Collection
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from aggregator.protection.unmasking import Roll, SecretLost, unmask
from schemas.names import SiteName
from schemas.protection import shamir
from tests.aggregator.protection.test_unmasking import left_after, vectors, whole_sum
from tests.attempts import Attempt, carried_out, names, terms


@cache
def honest(count: int, dropped: tuple[SiteName, ...]) -> Attempt:
    drops = dict.fromkeys(dropped, 2)
    return carried_out(terms(count), vectors(count), left_after(count, drops))


def with_liars(
    count: int,
    liars: Collection[SiteName],
    dropped: tuple[SiteName, ...] = (),
    *,
    change: int = 0,
) -> Attempt:
    """Return an attempt whose liars told a wrong share of every site.

    Each adds a number of its own, so that no two errors cancel, or a given one, as small as 1.
    """
    attempt, draw = honest(count, dropped), random.Random(count)  # noqa: S311 - not a secret
    added = dict.fromkeys(names(count), 0)
    added |= {one: change or draw.randrange(1, shamir.PRIME) for one in liars}
    revealed = {
        site: {one: (share + added[one]) % shamir.PRIME for one, share in told.items()}
        for site, told in attempt.revealed.items()
    }
    return replace(attempt, revealed=revealed)


def opened_naming(attempt: Attempt) -> dict[SiteName, tuple[SiteName, ...]]:
    """Hold the sum against whole numbers; return whose shares were corrected, and of whom."""
    total = np.zeros(5, "<u4")
    for site in attempt.survivors:
        total += attempt.values[site]
    roll = Roll(attempt.keys, tuple(attempt.boxes), attempt.survivors)
    wrong = unmask(total, attempt.terms, roll, attempt.revealed)
    count = len(attempt.terms.sites)
    assert [int(one) for one in total] == whole_sum(vectors(count), attempt.survivors, 32)
    return wrong


@pytest.mark.parametrize("count", [5, 6, 7, 13, 14, 20, 35, 50])
@pytest.mark.parametrize("change", [1, 2**400], ids=["by little", "by much"])
def test_one_wrong_teller_is_named_and_spoils_nothing(count: int, change: int) -> None:
    assert opened_naming(with_liars(count, ["s00"], change=change)) == {"s00": ("s00",)}
    last = names(count)[-1]
    assert opened_naming(with_liars(count, [last], change=change)) == {}


@pytest.mark.parametrize(
    ("count", "most"),
    [(5, 1), (6, 1), (8, 2), (10, 3), (12, 3), (14, 3), (20, 4), (49, 8), (50, 8)],
)
def test_as_many_may_be_wrong_as_the_page_says_and_no_more(count: int, most: int) -> None:
    draw = random.Random(count)  # noqa: S311 - who lies
    for liars in (names(count)[:most], sorted(draw.sample(names(count), most))):
        wrong = opened_naming(with_liars(count, liars))
        assert set(wrong) <= set(liars)
        assert set(wrong) == set(liars) or liars[0] != "s00"
    with pytest.raises(SecretLost, match=f"{count} shares of s00 came and no ") as lost:
        with_liars(count, names(count)[: most + 1]).opened()
    assert lost.value.site is None


def test_wrong_shares_of_dropped_sites_are_corrected_too() -> None:
    dropped, liars = names(50)[:5], names(50)[5:11]
    wrong = opened_naming(with_liars(50, liars, dropped))
    assert wrong == dict.fromkeys(liars, ("s00",))


def test_a_wrong_share_of_one_site_names_both() -> None:
    attempt = with_liars(10, ())
    attempt.revealed["s07"]["s02"] ^= 1
    assert opened_naming(attempt) == {"s02": ("s07",)}


def test_a_site_that_shared_another_secret_than_it_advertised_is_named() -> None:
    attempt = with_liars(10, ())
    shares = shamir.split(bytes(32), threshold=attempt.terms.threshold, numbers=range(1, 11))
    attempt.revealed["s03"] = dict(zip(names(10), shares.values(), strict=True))
    with pytest.raises(SecretLost, match="give another secret than it advertised") as lost:
        attempt.opened()
    assert lost.value.site == "s03"
