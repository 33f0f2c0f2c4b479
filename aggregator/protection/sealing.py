"""An exchange whose replies are sealed on their way.

* Every call has a fresh key, and its secret half never leaves this process's memory.
* A site that has not joined, was revoked, or whose key has expired, is not asked, and not waited
  for.
* A reply of another version of the messages is handed on as it came, without being opened.
* A reply that is not sealed to it by the site that was asked, for this request, is handed on empty:
  it fails the first check on a reply, and is quarantined under the site's name.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from aggregator.exchange import Exchange
from aggregator.federation import Federation
from schemas.errors import EnvelopeRefused
from schemas.names import SiteName, digest_of
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet, parted
from schemas.wire.sealing import Recipient, SealedReply, public, unsealed
from schemas.wire.version import MESSAGES_VERSION

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SealedExchange:
    """Ask through another exchange, and open what comes back."""

    exchange: Exchange
    federation: Federation

    def __call__(
        self, packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        """Yield each site's reply, opened; an empty packet for one that cannot be."""
        own = X25519PrivateKey.generate()
        recipient = Recipient(
            federation=self.federation.config.federation,
            request=digest_of(packet.envelope),
            key=public(own),
        )
        sent = replace(packet, seal=signed(recipient, self.federation.key))
        roster = self.federation.roster()
        now = self.federation.clock()
        joined = [site for site in sites if (one := roster.member(site)) and one.is_valid(now)]
        yield from ((site, None) for site in sites if site not in joined)
        for site, reply in self.exchange(sent, joined, deadline_s=deadline_s):
            yield site, None if reply is None else self._opened(site, reply, own, recipient)

    def _opened(
        self, site: SiteName, reply: Packet, own: X25519PrivateKey, recipient: Recipient
    ) -> Packet:
        member = self.federation.roster().member(site)
        try:
            if member is None:
                raise _foreign("the site is not in the roster")
            found = opened(reply.seal, SealedReply, key=member.key)
            named = (found.federation, found.request, found.site, found.recipient)
            if named != (recipient.federation, recipient.request, site, recipient.key):
                raise _foreign("it is sealed by another site, or for another request")
            if found.version != MESSAGES_VERSION:
                return Packet(b"", seal=reply.seal)
            if digest_of(reply.body) != found.ciphertext:
                raise _foreign("its ciphertext is not the one that was signed")
            return parted(unsealed(reply.body, own, recipient, sender=found.sender, site=site))
        except EnvelopeRefused as error:
            _log.warning("the reply in the slot of %s: %s", site, error.message)
            return Packet(b"")


def _foreign(found: str) -> EnvelopeRefused:
    message = f"reply refused: {found}"
    return EnvelopeRefused(message, next_step="ask the site which software and roster it runs")
