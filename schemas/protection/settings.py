"""What a plan says of protection: what the aggregator sees of updates, and of histograms.

* `PROTECTIONS` and `EVALUATIONS` are the two halves of one table; `rules` holds a plan against its
  row. A new protection is a row here and a member of the union.
* Nothing of a row is ever taken from a message: both sides read it from their copy of the plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from schemas.base import Record

Sight: TypeAlias = Literal["sum", "each"]
"""What the aggregator sees of a round's updates: their sum alone, or each of them."""

EvaluationProtection: TypeAlias = Literal["open", "masked"]

LEAST_SURVIVORS = 3
"""A sum of two tells each of them the other's part."""


class Open(Record):
    """The aggregator can read each update."""

    kind: Literal["open"] = "open"


class Masked(Record):
    """The aggregator sees the weighted sum of the updates, and none of them."""

    kind: Literal["masked"] = "masked"
    fraction_bits: int = Field(default=24, ge=8, le=52)
    """Values are whole multiples of 2 to the minus this many; the ring follows from it."""


class Encrypted(Record):
    """Updates are added under CKKS; the sites hold the key and open only a sum."""

    kind: Literal["encrypted"] = "encrypted"
    fraction_bits: int = Field(default=20, ge=8, le=24)
    """The opened sum is rounded to whole multiples of 2 to the minus this many."""


Protection: TypeAlias = Annotated[Open | Masked | Encrypted, Field(discriminator="kind")]


def threshold(sites: int) -> int:
    """Return how many of the sites must be there to open a sum: t = floor(2 n / 3) + 1.

    2 t > n + c keeps two different sums from being opened while no more than c sites collude with
    the aggregator (Bonawitz et al. 2017, section 6.2); this t allows c = floor(n / 3) at least.
    """
    return 2 * sites // 3 + 1


def least_survivors(sites: int) -> int:
    """Return the fewest sites whose values may be summed under masking."""
    return max(threshold(sites), LEAST_SURVIVORS)


def _one(_: int) -> int:
    return 1


@dataclass(frozen=True, slots=True)
class ProtectionRow:
    """What goes with one protection of the updates."""

    shows: tuple[Sight, ...]
    least_quorum: Callable[[int], int] = _one
    """Given the number of sites that train."""
    is_bounded: bool = False
    """Whether values are encoded within a bound, so the plan must name the largest norm."""
    needs_privacy: bool = False
    is_small: bool = False
    """Whether only a head-sized model fits."""


PROTECTIONS: Mapping[str, ProtectionRow] = MappingProxyType(
    {
        "open": ProtectionRow(("sum", "each")),
        "masked": ProtectionRow(("sum",), least_survivors, is_bounded=True),
        # Any one hospital can open the others' updates: with privacy, no more than noised ones.
        "encrypted": ProtectionRow(
            ("sum",), least_survivors, is_bounded=True, needs_privacy=True, is_small=True
        ),
    }
)
"""By the protection's kind."""

EVALUATIONS: Mapping[EvaluationProtection, Sight] = MappingProxyType(
    {"open": "each", "masked": "sum"}
)
"""What the gate sees of the histograms, by `evaluation.protection`."""

SUM = "sum"
"""The name under which a sum of histograms is judged; no site of such a plan has it."""
