"""What happens while a sum is opened: digests, sets of sites and the sum, and never a share."""

from typing import Literal

from pydantic import Field

from schemas.base import Record
from schemas.names import Digest, Name, PublicKey, SiteName
from schemas.protection.messages import Exchange, Purpose
from schemas.update import Histogram


class ExchangeAsked(Record):
    """The aggregator asked these sites, all that are left, for one exchange of an attempt."""

    kind: Literal["exchange-asked"] = "exchange-asked"
    run: Name
    round: int
    request: Name
    purpose: Purpose
    attempt: int
    exchange: Exchange
    arrays: Digest
    """Of what travels beside the request."""
    sites: tuple[SiteName, ...]


class ExchangeReceived(Record):
    """A node verified the request for one exchange; `repeated` ones got the stored reply."""

    kind: Literal["exchange-received"] = "exchange-received"
    run: Name
    round: int
    request: Name
    purpose: Purpose
    attempt: int
    exchange: Exchange
    arrays: Digest
    sites: tuple[SiteName, ...]
    """In the exchange `agree` they are the survivors that this site agrees to, or refuses."""
    repeated: bool


class ExchangeAnswered(Record):
    """A node's reply in an exchange left; `arrays` is the digest of a value under its masks."""

    kind: Literal["exchange-answered"] = "exchange-answered"
    run: Name
    round: int
    request: Name
    reply: Digest
    arrays: Digest | None
    size_bytes: int


class PeersTaken(Record):
    """Under these keys a node knows other sites in sums of a plan, until it is approved again."""

    kind: Literal["peers-taken"] = "peers-taken"
    plan: Digest
    keys: dict[SiteName, PublicKey]


class SumGiven(Record):
    """A node lets the sum of just these sites be opened.

    It lets none of other sites be opened over the same model, since the difference of two sums
    shows what one lacks, until the plan is approved again.
    """

    kind: Literal["sum-given"] = "sum-given"
    run: Name
    round: int
    purpose: Purpose
    plan: Digest
    model: Digest
    sites: tuple[SiteName, ...]


class ExchangeReplied(Record):
    """The aggregator verified a reply in an exchange."""

    kind: Literal["exchange-replied"] = "exchange-replied"
    run: Name
    round: int
    request: Name
    site: SiteName
    reply: Digest
    arrays: Digest | None
    size_bytes: int


class SumOpened(Record):
    """A sum was opened, and nothing else of the sites' values.

    Under masking the aggregator took its masks off; under encryption the sites decrypted it.
    """

    kind: Literal["sum-opened"] = "sum-opened"
    run: Name
    round: int
    purpose: Purpose
    attempt: int
    advertised: dict[SiteName, Digest]
    """By site, the digest of its signed advert."""
    sharing: tuple[SiteName, ...]
    """Whose masks were in the survivors' values, or who was dealt the key."""
    survivors: dict[SiteName, Digest]
    """By site in the sum, the digest of its value, masked or encrypted."""
    agreements: dict[SiteName, Digest]
    """By site, the digest of its signed agreement to just these survivors."""
    openings: dict[SiteName, Digest]
    """By site, the digest of its signed opening; none under masking, where sites open nothing."""
    total: Digest
    """Of the sum's ring elements."""
    histogram: Histogram | None
    """The sum itself, where histograms were summed."""


class SumLost(Record):
    """An attempt ended below what it needs; nothing of the sites' values was opened."""

    kind: Literal["sum-lost"] = "sum-lost"
    run: Name
    round: int
    purpose: Purpose
    attempt: int
    exchange: Exchange
    left: int = Field(ge=0)
    needed: int
