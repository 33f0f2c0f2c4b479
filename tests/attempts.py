"""One attempt to open a sum between the two sides' pure halves, with sites that drop on the way."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from aggregator.protection.unmasking import Roll, unmask
from hospital_node.protection import masking
from hospital_node.protection.masking import Part
from schemas.names import SiteName
from schemas.protection.agreement import BOX_BYTES, PublicKeys
from schemas.protection.fixed_point import Elements, Ring
from schemas.protection.messages import Context
from schemas.protection.settings import least_survivors, threshold
from schemas.protection.shamir import SHARE_BYTES
from schemas.protection.terms import Terms

DIGEST = "sha256:" + "0" * 64
RING = Ring(32, 24, 8.0)


def names(count: int) -> tuple[SiteName, ...]:
    return tuple(f"s{number:02d}" for number in range(count))


def context(**changes: object) -> Context:
    fields = {
        "federation": "f",
        "run": "r",
        "plan": DIGEST,
        "round": 1,
        "purpose": "train",
        "model": DIGEST,
        "attempt": 1,
    }
    return Context.model_validate(fields | changes)


def terms(count: int, ring: Ring = RING, **changes: object) -> Terms:
    return Terms(context(**changes), names(count), threshold(count), least_survivors(count), ring)


@dataclass
class Attempt:
    """The sites' parts as they stand; each exchange takes the sites that are left."""

    terms: Terms
    vectors: Mapping[SiteName, Elements]
    parts: dict[SiteName, Part] = field(default_factory=dict)
    keys: dict[SiteName, PublicKeys] = field(default_factory=dict)
    boxes: dict[SiteName, dict[SiteName, bytes]] = field(default_factory=dict)
    values: dict[SiteName, Elements] = field(default_factory=dict)
    survivors: tuple[SiteName, ...] = ()
    revealed: dict[SiteName, dict[SiteName, int]] = field(default_factory=dict)

    def advertise(self, sites: Collection[SiteName]) -> None:
        for site in sites:
            self.parts[site] = masking.begun(self.terms.context, site)
            self.keys[site] = self.parts[site].public

    def share(self, sites: Collection[SiteName]) -> None:
        for site in sites:
            self.parts[site], content = masking.shared(self.parts[site], self.terms, self.keys)
            others = sorted(self.keys.keys() - {site})
            assert len(content) == BOX_BYTES * len(others)
            self.boxes[site] = {
                other: content[BOX_BYTES * place : BOX_BYTES * (place + 1)]
                for place, other in enumerate(others)
            }

    def input(self, sites: Collection[SiteName]) -> None:
        for site in sites:
            vector = self.vectors[site].copy()
            self.parts[site] = masking.masked(
                self.parts[site], self.terms, self.boxes_for(site), vector
            )
            self.values[site] = vector

    def boxes_for(self, site: SiteName) -> dict[SiteName, bytes]:
        return {other: boxes[site] for other, boxes in self.boxes.items() if other != site}

    def agree(self, sites: Collection[SiteName]) -> None:
        self.survivors = tuple(sorted(self.values))
        for site in sites:
            self.parts[site] = masking.agreed(self.parts[site], self.terms, self.survivors)

    def unmask(self, sites: Collection[SiteName], agreeing: Collection[SiteName]) -> None:
        for site in sites:
            content = masking.unmasked(self.parts.pop(site), self.terms, agreeing)
            for place, other in enumerate(sorted(self.boxes)):
                share = content[SHARE_BYTES * place : SHARE_BYTES * (place + 1)]
                self.revealed.setdefault(other, {})[site] = int.from_bytes(share, "big")

    def opened(self) -> Elements:
        total = np.zeros_like(next(iter(self.vectors.values())))
        for site in self.survivors:
            total += self.values[site]
        roll = Roll(self.keys, tuple(self.boxes), self.survivors)
        told = {site: self.revealed.get(site, {}) for site in self.boxes}
        unmask(total, self.terms, roll, told)
        return total


def carried_out(
    terms: Terms, vectors: Mapping[SiteName, Elements], left: Sequence[Collection[SiteName]]
) -> Attempt:
    """Carry out an attempt; `left` are the sites that take part in each of the five exchanges."""
    attempt = Attempt(terms, vectors)
    attempt.advertise(left[0])
    attempt.share(left[1])
    attempt.input(left[2])
    attempt.agree(left[3])
    attempt.unmask(left[4], left[3])
    return attempt
