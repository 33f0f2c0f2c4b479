"""Wrong shares are found and do no harm, as many as the distance of the code allows."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.protection.decoding import decoded, secret_of, wrong_in
from schemas.protection.settings import threshold
from schemas.protection.shamir import PRIME, split

SECRET = bytes(range(32))


def altered(shares: dict[int, int], numbers: list[int], draw: random.Random) -> dict[int, int]:
    return shares | {one: (shares[one] + draw.randrange(1, PRIME)) % PRIME for one in numbers}


@given(st.integers(3, 16), st.data())
def test_half_of_the_shares_to_spare_may_be_wrong(count: int, data: st.DataObject) -> None:
    needed = data.draw(st.integers(1, count))
    wrong = data.draw(st.sets(st.integers(1, count), max_size=(count - needed) // 2))
    shares = split(SECRET, threshold=needed, numbers=range(1, count + 1))
    draw = random.Random(count)  # noqa: S311 - what wrong shares are
    told = altered(shares, sorted(wrong), draw)
    found = decoded(told, threshold=needed)
    assert found is not None
    assert (secret_of(found), wrong_in(found, told)) == (SECRET, tuple(sorted(wrong)))


@pytest.mark.parametrize("count", range(3, 61))
def test_at_every_number_of_sites_the_bound_is_reached_and_not_passed(count: int) -> None:
    draw = random.Random(count)  # noqa: S311 - which shares are wrong
    needed = threshold(count)
    shares = split(SECRET, threshold=needed, numbers=range(1, count + 1))
    most = (count - needed) // 2
    for size, numbers in ((most, range(1, count + 1)), (most + 1, range(1, count + 1))):
        wrong = sorted(draw.sample(numbers, size))
        told = altered(shares, wrong, draw)
        found = decoded(told, threshold=needed)
        if size == most:
            assert found is not None
            assert (secret_of(found), wrong_in(found, told)) == (SECRET, tuple(wrong))
        else:
            assert found is None or wrong_in(found, told) != tuple(wrong)


def test_shares_of_zero_and_of_one_polynomial_of_low_degree_decode() -> None:
    assert decoded(dict.fromkeys(range(1, 8), 0), threshold=3) == []
    assert decoded(dict.fromkeys(range(1, 8), 5), threshold=3) == [5]
    assert secret_of([]) == bytes(32)
    assert secret_of([2**256]) is None
    # 2 + 3 x, one value of which is wrong.
    assert decoded({1: 5, 2: 8, 3: 11, 4: 99}, threshold=2) == [2, 3]
