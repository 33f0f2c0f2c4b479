"""A round that stops before an exchange, where a test goes on in the aggregator's name."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from aggregator.runs import conduct
from deployment.embedded.federation import EmbeddedFederation
from hospital_node.node import Node
from hospital_node.node import opened as opened_node
from schemas.audit.events import Refused
from schemas.names import SiteName, digest_of
from schemas.protection.messages import Exchange, ExchangeRequest
from schemas.update import Refusal
from schemas.wire.envelope import kind_of, signed
from schemas.wire.packet import Packet
from tests.masked import MASKED, begun, made_of_four, request_in
from tests.study import Direct, witnessed


class CaughtError(BaseException):
    """Ends the aggregator's round where the attack begins."""


@dataclass
class Tapping:
    """An exchange that keeps what crossed, and stops before one of the exchanges."""

    nodes: dict[SiteName, Node]
    before: Exchange
    packets: dict[str, Packet] = field(default_factory=dict)
    answers: dict[str, dict[SiteName, Packet]] = field(default_factory=dict)

    def __call__(
        self, packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        request = request_in(packet)
        name = "work" if request is None else request.exchange
        self.packets[name] = packet
        if name == self.before:
            raise CaughtError
        for site, reply in Direct(self.nodes)(packet, sites, deadline_s=deadline_s):
            assert reply is not None
            self.answers.setdefault(name, {})[site] = reply
            yield site, reply


@dataclass(frozen=True)
class Attacked:
    """A round that has come to just before an exchange, and the aggregator's key."""

    embedded: EmbeddedFederation
    tapped: Tapping

    @property
    def packet(self) -> Packet:
        """What the honest aggregator was about to send."""
        return self.tapped.packets[self.tapped.before]

    def request(self, **changes: Any) -> ExchangeRequest:
        request = request_in(self.packet)
        assert request is not None
        return request.model_copy(update=changes)

    def asked(self, site: SiteName = "east", body: bytes | None = None, **changes: Any) -> Packet:
        """Ask one site for something else than the honest aggregator would."""
        content = self.packet.body if body is None else body
        request = self.request(arrays=digest_of(content), **changes)
        envelope = signed(request, self.embedded.federation.key)
        return self.answered(site, replace(self.packet, envelope=envelope, body=content))

    def answered(self, site: SiteName, packet: Packet) -> Packet:
        return witnessed(self.embedded, self.embedded.nodes[site], packet)

    def refused(self, reason: str, site: SiteName = "east", **asked: Any) -> None:
        """Hold that a site refuses, for this reason in its own journal, and gives nothing."""
        reply = self.asked(site, **asked)
        assert kind_of(reply.envelope) == Refusal.__name__
        assert reply.body == b""
        node = self.embedded.nodes[site]
        event = [one for one in node.journal.events() if isinstance(one.facts, Refused)][-1]
        assert event.private is not None
        private = node.home.journal / "private" / event.private.removeprefix("sha256:")
        assert reason in private.read_text(encoding="utf-8", errors="replace")


@contextmanager
def round_before(
    folder: Path, exchange: Exchange, plan: Mapping[str, Any] = MASKED
) -> Iterator[Attacked]:
    """Bring a round of four hospitals to just before an exchange."""
    with begun(made_of_four(folder, **plan)) as (embedded, name):
        tapped = Tapping(embedded.nodes, exchange)
        with pytest.raises(CaughtError):
            conduct(embedded.federation, name, tapped, lambda _: None)
        yield Attacked(embedded, tapped)


@dataclass
class Restarting:
    """An exchange before which every node stops and starts again."""

    homes: dict[SiteName, Path]

    def __call__(
        self, packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        for site in sites:
            with opened_node(self.homes[site]) as node:
                yield from Direct({site: node})(packet, [site], deadline_s=deadline_s)
