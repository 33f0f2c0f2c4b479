"""Any threshold of shares gives the secret, and no fewer do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.protection.shamir import PRIME, UnequalShares, combined, split


@given(st.binary(min_size=32, max_size=32), st.integers(1, 9), st.data())
def test_any_threshold_of_shares_gives_the_secret(
    secret: bytes, threshold: int, data: st.DataObject
) -> None:
    shares = split(secret, threshold=threshold, numbers=range(1, 10))
    chosen = data.draw(st.permutations(sorted(shares)))[:threshold]
    assert combined({number: shares[number] for number in chosen}) == secret


@given(st.binary(min_size=32, max_size=32), st.integers(2, 9))
def test_one_share_too_few_gives_none(secret: bytes, threshold: int) -> None:
    shares = split(secret, threshold=threshold, numbers=range(1, 10))
    with pytest.raises(UnequalShares):
        combined({number: shares[number] for number in range(1, threshold)})


@given(st.integers(1, 9), st.integers(1, PRIME - 1))
def test_a_share_that_was_altered_gives_none(number: int, change: int) -> None:
    shares = split(bytes(32), threshold=9, numbers=range(1, 10))
    shares[number] = (shares[number] + change) % PRIME
    # The change is weighed with a Lagrange coefficient; only a tiny one leaves a small secret.
    try:
        assert combined(shares) != bytes(32)
    except UnequalShares:
        return


def test_a_secret_is_32_bytes_and_its_numbers_are_distinct() -> None:
    for secret, threshold, numbers in (
        (bytes(31), 1, [1]),
        (bytes(32), 2, [1]),
        (bytes(32), 0, [1]),
        (bytes(32), 1, [1, 1]),
        (bytes(32), 1, [0]),
    ):
        with pytest.raises(ValueError, match=r"needed|distinct"):
            split(secret, threshold=threshold, numbers=numbers)
