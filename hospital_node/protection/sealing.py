"""Replies sealed before they leave this hospital.

* The key is the aggregator's, signed for this very request; without it nothing is answered.
* Update, evaluation and refusal leave in the same way: who carries them cannot tell which it is,
  but by its length.
"""

from collections.abc import Callable
from dataclasses import replace

from hospital_node.node import Node
from schemas.errors import EnvelopeRefused
from schemas.names import digest_of
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet, joined
from schemas.wire.sealing import Recipient, SealedReply, sealed


def sealed_answer(answer: Callable[[Node, Packet], Packet], node: Node, packet: Packet) -> Packet:
    """Answer a request, and seal the answer to the key that came with it.

    Raises:
        EnvelopeRefused: the key is not the aggregator's for this request; nobody is owed an answer.
    """
    membership, roster = node.membership()
    recipient = opened(packet.seal, Recipient, key=roster.aggregator)
    expected = (membership.federation, digest_of(packet.envelope))
    if (recipient.federation, recipient.request) != expected:
        message = "request refused: the key that replies are sealed to is for another request"
        raise EnvelopeRefused(message, next_step="ask the aggregator which request it meant")
    site = node.config.site
    reply = answer(node, replace(packet, seal=b""))
    sender, ciphertext = sealed(joined(reply), recipient, site=site)
    vouched = SealedReply(
        federation=membership.federation,
        request=recipient.request,
        site=site,
        recipient=recipient.key,
        sender=sender,
        ciphertext=digest_of(ciphertext),
    )
    return Packet(b"", ciphertext, signed(vouched, node.key))
