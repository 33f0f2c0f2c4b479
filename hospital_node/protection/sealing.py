"""Replies sealed before they leave this hospital.

* The key is the aggregator's, signed for this very request; without it nothing is answered.
* A request that nobody is owed an answer to stands in the journal all the same.
* A request of another version of the messages is not read. The answer is empty and says which
  version this node speaks; the journal and the log name both.
* A newer roster that came beside it is taken first: it says which key is the aggregator's.
* Update, evaluation and refusal leave in the same way: who carries them cannot tell which it is,
  but by its length.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from hospital_node.audit.witness import shown_in
from hospital_node.node import Node
from hospital_node.refusals import turned_away
from schemas.errors import EnvelopeRefused, OtherMessages
from schemas.names import digest_of
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet, joined
from schemas.wire.sealing import Recipient, SealedReply, sealed
from schemas.wire.version import hold_version

_log = logging.getLogger(__name__)


def sealed_answer(answer: Callable[[Node, Packet], Packet], node: Node, packet: Packet) -> Packet:
    """Answer a request, and seal the answer to the key that came with it.

    Raises:
        EnvelopeRefused: the key is not the aggregator's for this request; nobody is owed an answer.
    """
    if (shown := shown_in(packet.audit)) is not None:
        node.follow(shown.roster)
    try:
        recipient = _recipient(node, packet)
        reply = _reply(answer, node, replace(packet, seal=b""), recipient)
    except EnvelopeRefused as error:
        turned_away(node, error)
        raise
    site = node.config.site
    sender, ciphertext = sealed(joined(reply), recipient, site=site)
    vouched = SealedReply(
        federation=recipient.federation,
        request=recipient.request,
        site=site,
        recipient=recipient.key,
        sender=sender,
        ciphertext=digest_of(ciphertext),
    )
    return Packet(b"", ciphertext, signed(vouched, node.key))


def _reply(
    answer: Callable[[Node, Packet], Packet], node: Node, packet: Packet, recipient: Recipient
) -> Packet:
    try:
        hold_version(recipient.version, of="the aggregator", here="this node")
    except OtherMessages as error:
        turned_away(node, error)
        _log.warning("%s; next: %s", error.message, error.next_step)
        return Packet(b"")
    return answer(node, packet)


def _recipient(node: Node, packet: Packet) -> Recipient:
    """Return whom a reply is sealed to."""
    membership, roster = node.membership()
    recipient = opened(packet.seal, Recipient, key=roster.aggregator)
    expected = (membership.federation, digest_of(packet.envelope))
    if (recipient.federation, recipient.request) != expected:
        message = "request refused: the key that replies are sealed to is for another request"
        raise EnvelopeRefused(message, next_step="ask the aggregator which request it meant")
    return recipient
