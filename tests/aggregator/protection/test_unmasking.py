"""Sums are exact for whoever survives, and nothing opens under the threshold."""

import itertools
import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from aggregator.protection.unmasking import Roll, unmask
from schemas.errors import EnvelopeRefused, QuorumLost
from schemas.names import SiteName
from schemas.protection import agreement
from schemas.protection.fixed_point import Elements, Ring
from schemas.protection.masks import BLOCK_BYTES
from tests.attempts import RING, Attempt, carried_out, names, terms

WIDE = Ring(64, 40, 8.0)
SIZE = 5


def vectors(count: int, ring: Ring = RING, *, size: int = SIZE) -> dict[SiteName, Elements]:
    """Return vectors whose sums wrap, for each site."""
    drawn = np.random.default_rng(count).integers(0, 2**ring.bits, (count, size), dtype="<u8")
    return dict(zip(names(count), drawn.astype(ring.dtype), strict=True))


def whole_sum(
    plain: Mapping[SiteName, Elements], sites: Sequence[SiteName], bits: int
) -> list[int]:
    """Add in whole numbers: the slow, obvious twin."""
    size = len(next(iter(plain.values())))
    return [sum(int(plain[site][place]) for site in sites) % 2**bits for place in range(size)]


def left_after(count: int, drops: Mapping[SiteName, int]) -> list[tuple[SiteName, ...]]:
    """Return who is left in each exchange; a site drops in the one named and is in none after."""
    return [
        tuple(site for site in names(count) if drops.get(site, 5) > exchange)
        for exchange in range(5)
    ]


def hold(count: int, drops: Mapping[SiteName, int], ring: Ring = RING) -> None:
    """Hold one attempt with these drops against the whole numbers."""
    agreed, plain, left = terms(count, ring), vectors(count, ring), left_after(count, drops)
    enough = all(len(left[exchange]) >= agreed.least for exchange in range(3))
    enough = enough and all(len(left[exchange]) >= agreed.threshold for exchange in (3, 4))
    if enough:
        total = carried_out(agreed, plain, left).opened()
        assert [int(one) for one in total] == whole_sum(plain, left[2], ring.bits)
    elif not left[1]:
        assert not carried_out(agreed, plain, left).values
    else:
        with pytest.raises((EnvelopeRefused, QuorumLost)):
            carried_out(agreed, plain, left).opened()


@pytest.mark.parametrize("exchange", range(5))
@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_every_set_of_sites_may_drop_in_any_exchange(count: int, exchange: int) -> None:
    for size in range(count):
        for dropped in itertools.combinations(names(count), size):
            hold(count, dict.fromkeys(dropped, exchange))


def test_three_sites_may_drop_in_any_mix_of_exchanges() -> None:
    for drops in itertools.product(range(6), repeat=3):
        hold(3, dict(zip(names(3), drops, strict=True)))


def test_four_sites_may_drop_in_any_mix_of_exchanges() -> None:
    """Which of them drops where is drawn, as sites differ only in whose masks they add."""
    draw = random.Random(4)  # noqa: S311 - who drops where
    for drops in itertools.combinations_with_replacement(range(6), 4):
        hold(4, dict(zip(draw.sample(names(4), 4), drops, strict=True)))


@pytest.mark.parametrize(("seed", "most"), [*((one, 20) for one in range(12)), (12, 50), (13, 50)])
def test_sites_may_drop_at_random_one_by_one(seed: int, most: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - which sites drop
    count = draw.randint(max(3, most // 2), most) if most > 20 else draw.randint(3, most)
    dropping = draw.sample(names(count), draw.randint(0, count // 3))
    hold(count, {site: draw.randrange(5) for site in dropping}, draw.choice([RING, WIDE]))


@pytest.mark.parametrize("ring", [RING, WIDE], ids=["2^32", "2^64"])
def test_fifty_sites_lose_a_third_of_them(ring: Ring) -> None:
    draw = random.Random(50)  # noqa: S311 - which sites drop
    dropping = draw.sample(names(50), 16)
    hold(50, {site: draw.randrange(5) for site in dropping}, ring)


@pytest.mark.parametrize("size", [1, BLOCK_BYTES // 4, BLOCK_BYTES // 4 + 1])
def test_sums_are_exact_over_the_edges_of_blocks(size: int) -> None:
    plain = vectors(4, size=size)
    left = left_after(4, {"s02": 2})
    total = carried_out(terms(4), plain, left).opened()
    expected = plain["s00"] + plain["s01"] + plain["s03"]
    assert (total == expected).all()


@pytest.mark.parametrize("ring", [RING, WIDE], ids=["2^32", "2^64"])
def test_a_masked_value_is_what_whole_numbers_say(ring: Ring) -> None:
    """Compute one site's masked value again with Python's own integers."""
    agreed, plain = terms(4, ring), vectors(4, ring, size=100)
    attempt = Attempt(agreed, plain)
    for step in (attempt.advertise, attempt.share, attempt.input):
        step(names(4))
    width = ring.bits // 8
    for site in names(4):
        part = attempt.parts[site]
        seeds = [(agreement.self_seed(part.seed, agreed.bound_bytes), 1)]
        for other in set(names(4)) - {site}:
            # From the other side: a pair's seed is the same for both.
            secret, pair = attempt.parts[other].mask, (other, site)
            seed = agreement.pair_seed(secret, part.public.mask, agreed.bound_bytes, pair=pair)
            seeds.append((seed, 1 if site < other else -1))
        streams = [
            (Cipher(AES(seed), CTR(bytes(16))).encryptor().update(bytes(100 * width)), sign)
            for seed, sign in seeds
        ]
        for place in range(100):
            value = int(plain[site][place]) + sum(
                sign * int.from_bytes(stream[place * width : (place + 1) * width], "little")
                for stream, sign in streams
            )
            assert int(attempt.values[site][place]) == value % 2**ring.bits


def test_masked_zeros_are_uniform() -> None:
    zeros = {site: np.zeros(250_000, "<u4") for site in names(4)}
    attempt = carried_out(terms(4), zeros, left_after(4, {}))
    for value in attempt.values.values():
        counts = np.bincount(np.frombuffer(value.tobytes(), np.uint8), minlength=256)
        expected = counts.sum() / 256
        # 255 degrees of freedom: mean 255, deviation 22.6. A uniform value fails once in 10^20.
        assert float(((counts - expected) ** 2 / expected).sum()) < 255 + 12 * 22.6
    assert not attempt.opened().any()


def test_a_share_that_was_altered_is_left_out_when_enough_are_there() -> None:
    attempt = carried_out(terms(5), vectors(5), left_after(5, {"s04": 2}))
    for told in attempt.revealed.values():
        told["s01"] ^= 1  # small enough that another 32-byte secret comes out
    with pytest.raises(QuorumLost, match="4 shares of s00 came and no 4 of them give its secret"):
        attempt.opened()
    attempt = carried_out(terms(5), vectors(5), left_after(5, {}))
    for told in attempt.revealed.values():
        told["s01"] ^= 1
    assert [int(one) for one in attempt.opened()] == whole_sum(vectors(5), names(5), 32)


def test_a_rebuilt_key_that_is_not_the_advertised_one_is_refused() -> None:
    plain = vectors(4)
    attempt = carried_out(terms(4), plain, left_after(4, {"s03": 2}))
    wrong = attempt.keys | {
        "s03": attempt.keys["s03"].model_copy(update={"mask": "09" + "00" * 31})
    }
    total = np.zeros(SIZE, "<u4")
    with pytest.raises(QuorumLost, match="shares of s03 came"):
        unmask(total, attempt.terms, Roll(wrong, names(4), attempt.survivors), attempt.revealed)


def test_fewer_than_the_threshold_open_nothing() -> None:
    attempt = carried_out(terms(4), vectors(4), left_after(4, {}))
    for told in attempt.revealed.values():
        del told["s00"], told["s01"]
    with pytest.raises(QuorumLost, match="2 shares of s00 came and no 3 of them give its secret"):
        attempt.opened()
