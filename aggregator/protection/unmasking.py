"""Opening a sum: secrets from shares, masks from secrets, and the masks off the sum.

* Of a site that survived the seed is rebuilt, of one that dropped after sharing the mask key; each
  must be the one that the site advertised.
* Of the shares beyond the threshold, half may be wrong at any number of sites, and all where the
  choices are few. Shares that had to be corrected are named.
* Bonawitz et al. 2017, doi:10.1145/3133956.3133982, figure 4, round 4.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb

from schemas.errors import QuorumLost
from schemas.names import SiteName
from schemas.protection import agreement, decoding, shamir
from schemas.protection.agreement import Hex32, PublicKeys
from schemas.protection.fixed_point import Elements
from schemas.protection.masks import Mask, add_masks
from schemas.protection.terms import Terms

_MOST_TRIES = 512
"""Choices of shares to leave out that are tried for one secret."""

Revealed = Mapping[SiteName, Mapping[SiteName, int]]
"""By the site that is told of, and the site that tells: a share of its seed or mask key."""


@dataclass(frozen=True, slots=True)
class Roll:
    """Who took part in an attempt."""

    keys: Mapping[SiteName, PublicKeys]
    """Of the sites that advertised."""
    masking: tuple[SiteName, ...]
    """Whose masks are in the survivors' values."""
    survivors: tuple[SiteName, ...]


class SecretLost(QuorumLost):
    """The shares that were told of a site do not give its secret.

    `site` is who shared another secret than it advertised, where all shares agree that it did.
    """

    def __init__(self, message: str, *, site: SiteName | None = None) -> None:
        next_step = "nothing was opened; resume the run, which begins a fresh attempt"
        super().__init__(message, next_step=next_step)
        self.site = site


def unmask(
    total: Elements, terms: Terms, roll: Roll, revealed: Revealed
) -> dict[SiteName, tuple[SiteName, ...]]:
    """Take the masks off the sum of the survivors' values, in place.

    Returns by site that told wrong shares the sites that they are of. Whether it changed them, or
    was sealed wrong ones, cannot be told. Wrong shares that were not needed are not looked for.

    Raises:
        SecretLost: too few whole shares of some site.
    """
    wrong = dict[SiteName, tuple[SiteName, ...]]()
    masks = list[Mask]()
    for site in sorted(roll.masking):
        told = _Told(site, revealed[site], terms, roll.keys[site])
        secret, wrong_of_it = _secret(told, is_seed=site in roll.survivors, suspected=wrong)
        for one in wrong_of_it:
            wrong[one] = (*wrong.get(one, ()), site)
        masks += _masks(told, roll, secret)
    add_masks(total, masks)
    return wrong


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told of one site."""

    site: SiteName
    shares: Mapping[SiteName, int]
    terms: Terms
    keys: PublicKeys


def _masks(told: _Told, roll: Roll, secret: Hex32) -> Iterator[Mask]:
    """Yield what takes away the masks of one site that are still in the sum."""
    terms, context = told.terms, told.terms.bound_bytes
    if told.site in roll.survivors:
        yield Mask(agreement.self_seed(secret, context), is_added=False)
        return
    for other in roll.survivors:
        pair = (told.site, other)
        seed = agreement.pair_seed(secret, roll.keys[other].mask, context, pair=pair)
        yield Mask(seed, is_added=not terms.adds(other, told.site))


def _secret(
    told: _Told, *, is_seed: bool, suspected: Collection[SiteName]
) -> tuple[Hex32, tuple[SiteName, ...]]:
    """Rebuild the advertised secret; return it with the sites whose shares had to be corrected.

    The first shares that suffice are of sites that told no wrong ones yet.
    """
    keys, context, number = told.keys, told.terms.bound_bytes, told.terms.number

    def is_advertised(secret: bytes) -> bool:
        if is_seed:
            return agreement.commitment(secret.hex(), context) == keys.seed
        return agreement.public(secret.hex()) == keys.mask

    needed = told.terms.threshold
    shares = {number(one): share for one, share in told.shares.items()}
    if len(shares) < needed:
        raise _lost(told, shares)
    trusted = sorted(told.shares, key=lambda one: (one in suspected, one))[:needed]
    secret = _combined({number(one): told.shares[one] for one in trusted})
    if secret is not None and is_advertised(secret):
        return secret.hex(), ()
    for polynomial in _polynomials(shares, needed):
        secret = decoding.secret_of(polynomial)
        if secret is not None and is_advertised(secret):
            wrong = decoding.wrong_in(polynomial, shares)
            return secret.hex(), tuple(told.terms.sites[one - 1] for one in wrong)
    raise _lost(told, shares)


def _combined(shares: Mapping[int, int]) -> bytes | None:
    try:
        return shamir.combined(shares)
    except shamir.UnequalShares:
        return None


def _polynomials(shares: Mapping[int, int], needed: int) -> Iterator[decoding.Polynomial]:
    """Yield what most shares may be of: with all of them, then with some left out.

    To leave out k of s to spare corrects k + (s - k) // 2 wrong ones, so only k as odd as s helps.
    """
    spare = len(shares) - needed
    for count in (0, *range(2 - spare % 2, spare + 1, 2)):
        if count and comb(len(shares), count) > _MOST_TRIES:
            return
        for left_out in combinations(shares, count):
            kept = {one: share for one, share in shares.items() if one not in left_out}
            polynomial = decoding.decoded(kept, threshold=needed)
            if polynomial is not None:
                yield polynomial


def _lost(told: _Told, shares: Mapping[int, int]) -> SecretLost:
    """Say what is wrong; more shares than needed that all agree are their owner's doing."""
    needed = told.terms.threshold
    if len(shares) > needed:
        polynomial = decoding.decoded(shares, threshold=needed)
        if polynomial is not None and not decoding.wrong_in(polynomial, shares):
            message = (
                f"sum not opened: all {len(shares)} shares of {told.site} give another secret than "
                "it advertised"
            )
            return SecretLost(message, site=told.site)
    message = (
        f"sum not opened: {len(shares)} shares of {told.site} came and no {needed} of them give "
        "its secret"
    )
    return SecretLost(message)
