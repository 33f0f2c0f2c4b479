"""Opening a sum: secrets from shares, masks from secrets, and the masks off the sum.

* Of a site that survived the seed is rebuilt, of one that dropped after sharing the mask key; each
  must be the one that the site advertised.
* A share that was altered is left out as long as enough others are there.
* Bonawitz et al. 2017, doi:10.1145/3133956.3133982, figure 4, round 4.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice

from schemas.errors import QuorumLost
from schemas.names import SiteName
from schemas.protection import agreement, shamir
from schemas.protection.agreement import Hex32, PublicKeys
from schemas.protection.fixed_point import Elements
from schemas.protection.masks import Mask, add_masks
from schemas.protection.terms import Terms

_MOST_TRIES = 512
"""Choices of shares that are tried for one secret before it counts as lost."""

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


def unmask(total: Elements, terms: Terms, roll: Roll, revealed: Revealed) -> None:
    """Take the masks off the sum of the survivors' values, in place.

    Raises:
        QuorumLost: too few whole shares of some site.
    """
    add_masks(total, list(_masks(terms, roll, revealed)))


def _masks(terms: Terms, roll: Roll, revealed: Revealed) -> Iterator[Mask]:
    """Yield what takes away each mask that is still in the sum."""
    context = terms.bound_bytes
    for site in sorted(roll.masking):
        shares = {terms.number(one): share for one, share in revealed[site].items()}
        told = _Told(site, shares, terms, roll.keys[site])
        if site in roll.survivors:
            seed = _secret(told, lambda one: agreement.commitment(one, context), told.keys.seed)
            yield Mask(agreement.self_seed(seed, context), is_added=False)
            continue
        key = _secret(told, agreement.public, told.keys.mask)
        for other in roll.survivors:
            mask = roll.keys[other].mask
            shared = agreement.pair_seed(key, mask, context, pair=(site, other))
            yield Mask(shared, is_added=not terms.adds(other, site))


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told of one site."""

    site: SiteName
    shares: Mapping[int, int]
    terms: Terms
    keys: PublicKeys


def _secret(told: _Told, shown: Callable[[Hex32], Hex32], advertised: Hex32) -> Hex32:
    """Rebuild a secret from the first choice of shares that gives the advertised one."""
    needed = told.terms.threshold
    for chosen in islice(combinations(sorted(told.shares), needed), _MOST_TRIES):
        try:
            secret = shamir.combined({number: told.shares[number] for number in chosen}).hex()
        except shamir.UnequalShares:
            continue
        if shown(secret) == advertised:
            return secret
    message = (
        f"sum not opened: {len(told.shares)} shares of {told.site} came and no {needed} of them "
        "give its secret"
    )
    next_step = "nothing was opened; resume the run, which begins a fresh attempt"
    raise QuorumLost(message, next_step=next_step)
