"""The messages of the exchanges that open only a sum, and the self-check before them.

* Masking and encryption have five exchanges each, and none in common.
* A request names an exchange of an attempt; everything but the sites that go on is known already.
* What travels beside a request are the very envelopes and boxes that the sites sent.
* Each reply is the payload of an envelope signed by its site, so its signature covers protocol,
  federation, run, round, plan, model, purpose and attempt.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from pydantic import Field

from schemas.base import Record
from schemas.names import Digest, Moment, Name, Note, SiteName
from schemas.privacy import PrivacyStatement
from schemas.protection.agreement import PublicKey, PublicKeys
from schemas.update import Binding, Head, Request

Purpose: TypeAlias = Literal["train", "evaluate"]
"""Whether deltas or histograms are summed."""

Exchange: TypeAlias = Literal[
    "advertise",
    "share",
    "input",
    "agree",
    "unmask",
    "announce",
    "deal",
    "encrypt",
    "settle",
    "open",
]

EXCHANGES: Mapping[str, tuple[Exchange, ...]] = MappingProxyType(
    {
        "masked": ("advertise", "share", "input", "agree", "unmask"),
        "encrypted": ("announce", "deal", "encrypt", "settle", "open"),
    }
)
"""In order, by protection. Masking's are rounds 0 to 4 of Bonawitz et al. 2017, figure 4."""


def next_of(exchange: Exchange) -> Exchange | None:
    """Return which exchange follows one; None after the last."""
    [order] = [one for one in EXCHANGES.values() if exchange in one]
    later = order[order.index(exchange) + 1 :]
    return later[0] if later else None


class Context(Record):
    """What one attempt to open one sum is about; its bytes enter every derived key."""

    protocol: Literal["consilium-sum-1"] = "consilium-sum-1"
    federation: Name
    run: Name
    plan: Digest
    round: int
    purpose: Purpose
    model: Digest
    """The arrays that were trained from, or evaluated."""
    attempt: int = Field(ge=1)
    """From 1; a later attempt has fresh keys, and a node that unmasked takes part in none."""


class _AttemptBinding(Binding):
    """What every message of an attempt is bound to."""

    purpose: Purpose
    model: Digest
    attempt: int = Field(ge=1)

    @property
    def context(self) -> Context:
        """What this message is about."""
        named = self.model_dump(include=Context.model_fields.keys() - {"protocol"})
        return Context.model_validate(named)


class ExchangeRequest(_AttemptBinding):
    """One exchange of masking or encryption; `participants` are the sites left, and all are asked.

    Beside it travel: adverts for `share`, boxes for `input`, agreements for `unmask`; announcements
    for `deal`, the deal and its boxes for `encrypt`, each site's signed word and its ciphertexts
    for `settle`, settlements for `open`.
    """

    kind: Literal["exchange-request"] = "exchange-request"
    exchange: Exchange
    participants: tuple[SiteName, ...] = Field(min_length=1)
    arrays: Digest
    """Of what travels beside this request."""
    issued: Moment
    heads: dict[SiteName, Note] = Field(default_factory=dict)
    """The largest journal head that each site sent with a release."""


class SelfCheck(Binding):
    """A site's word, before any exchange, that it holds a value that may be summed.

    A delta is finite, not zero and within the plan's norm; a histogram's counts are within reason.
    """

    kind: Literal["self-check"] = "self-check"
    site: SiteName
    head: Head
    arrays: Digest
    """The arrays that came with the request."""
    bound: float = Field(gt=0)
    """The plan's: largest L2 norm of a delta, or largest count in a bin."""
    privacy: PrivacyStatement | None


class Advert(_AttemptBinding):
    """Exchange 0: a site's two public keys, made for this attempt."""

    kind: Literal["advert"] = "advert"
    site: SiteName
    head: Head
    keys: PublicKeys


class Boxes(_AttemptBinding):
    """Exchange 1: the shares of a site's seed and mask key, sealed to each other site.

    Beside it travel the boxes, in the order of the sites that advertised, this one left out.
    """

    kind: Literal["boxes"] = "boxes"
    site: SiteName
    head: Head
    sites: tuple[SiteName, ...]
    """Those that advertised, as this site was told."""
    arrays: Digest
    """Of the boxes."""


class MaskedInput(_AttemptBinding):
    """Exchange 2: a site's value under its masks."""

    kind: Literal["masked-input"] = "masked-input"
    site: SiteName
    head: Head
    sites: tuple[SiteName, ...]
    """Those whose masks are in it."""
    arrays: Digest
    """Of the ring's elements, little-endian."""


class Agreement(_AttemptBinding):
    """Exchange 3: the one set of survivors that a site will help to unmask."""

    kind: Literal["agreement"] = "agreement"
    site: SiteName
    head: Head
    survivors: tuple[SiteName, ...]


class Unmasking(_AttemptBinding):
    """Exchange 4: of each site a share of its seed, if it survived, or else of its mask key.

    Beside it travel the shares, 66 bytes each, in the order of the sites in the input exchange.
    """

    kind: Literal["unmasking"] = "unmasking"
    site: SiteName
    head: Head
    survivors: tuple[SiteName, ...]
    arrays: Digest
    """Of the shares."""


class Announcement(_AttemptBinding):
    """Encryption, exchange 0: the X25519 key, made for this attempt, that its key is sealed to."""

    kind: Literal["announcement"] = "announcement"
    site: SiteName
    head: Head
    sealing: PublicKey


class Deal(_AttemptBinding):
    """Encryption, exchange 1: the first site's key for the attempt, sealed to each other site.

    Beside it travel the boxes, of one size, in the order of these sites, the first one left out.
    The other sites say which announcements they have seen, and deal nothing.
    """

    kind: Literal["deal"] = "deal"
    site: SiteName
    head: Head
    sites: tuple[SiteName, ...]
    """Those that announced themselves, as this site was told."""
    sealing: PublicKey
    """Public half of the key that the boxes are sealed with."""
    key: Digest | None
    """Of the CKKS key; 256 random bits at least stand behind it."""
    arrays: Digest
    """Of the boxes."""


class Ciphertexts(_AttemptBinding):
    """Encryption, exchange 2: a site's value, encrypted."""

    kind: Literal["ciphertexts"] = "ciphertexts"
    site: SiteName
    head: Head
    key: Digest
    """Of the CKKS key that it is encrypted under."""
    arrays: Digest
    """Of the ciphertexts, framed."""


class Settlement(_AttemptBinding):
    """Encryption, exchange 3: the one sum that a site will help to open; it added it up itself."""

    kind: Literal["settlement"] = "settlement"
    site: SiteName
    head: Head
    inputs: dict[SiteName, Digest]
    """By site, its ciphertexts."""
    total: Digest
    """Of the sum's ciphertexts, framed."""


class Opening(_AttemptBinding):
    """Encryption, exchange 4: the sum that a site decrypted, rounded to the plan's step."""

    kind: Literal["opening"] = "opening"
    site: SiteName
    head: Head
    total: Digest
    """Of the sum's ciphertexts, framed."""
    arrays: Digest
    """Of the ring's elements, little-endian."""


AnyRequest: TypeAlias = Request | ExchangeRequest
"""Whatever an aggregator asks of a node in a run."""

ExchangeReply: TypeAlias = (
    Advert
    | Boxes
    | MaskedInput
    | Agreement
    | Unmasking
    | Announcement
    | Deal
    | Ciphertexts
    | Settlement
    | Opening
)
"""What answers an exchange, of masking or of encryption."""

REPLIES: Mapping[Exchange, type[ExchangeReply]] = MappingProxyType(
    {
        "advertise": Advert,
        "share": Boxes,
        "input": MaskedInput,
        "agree": Agreement,
        "unmask": Unmasking,
        "announce": Announcement,
        "deal": Deal,
        "encrypt": Ciphertexts,
        "settle": Settlement,
        "open": Opening,
    }
)
"""What answers each exchange."""


def framed(parts: Iterable[bytes]) -> bytes:
    """Join parts of any length, each after its length in eight bytes."""
    return b"".join(len(one).to_bytes(8, "big") + one for one in parts)


def unframed(content: bytes) -> list[bytes]:
    """Return the parts that were joined; what is cut off gives a part that is too short."""
    parts, start = [], 0
    while start < len(content):
        end = start + 8 + int.from_bytes(content[start : start + 8], "big")
        parts.append(content[start + 8 : end])
        start = end
    return parts
