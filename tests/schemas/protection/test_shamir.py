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


def test_a_share_that_was_altered_gives_no_secret_or_another() -> None:
    secret = bytes(range(32))
    shares = split(secret, threshold=3, numbers=range(1, 4))
    # The weight of share 2 at 0 is -3, so a change by 1 moves the secret by 3.
    found = combined(shares | {2: (shares[2] + 1) % PRIME})
    assert int.from_bytes(found, "big") == int.from_bytes(secret, "big") - 3
    with pytest.raises(UnequalShares):
        combined(shares | {2: (shares[2] + 2**300) % PRIME})


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
