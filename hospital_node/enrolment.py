"""Enrolment at the hospital: a request with this node's public keys, and the answer to it.

* The answer counts only under the root key whose fingerprint a person here was told.
* It names this site with this node's key, or it is not for this node.
"""

from dataclasses import dataclass

from cryptography.x509 import load_pem_x509_certificates

from hospital_node.config import Membership
from hospital_node.node import Node
from hospital_node.rotation import go_over, signed_request, waiting_key
from schemas.enrolment import Admission, SignedAdmission
from schemas.errors import EnvelopeRefused, InputRefused, InvalidRecord
from schemas.files import write_durably
from schemas.wire.transport import load_transport_key


def request(node: Node) -> bytes:
    """Return this node's signed request to join."""
    transport = load_transport_key(node.home.transport_key)
    return signed_request(node, node.key, witness=node.witness_key, transport=transport)


def install(node: Node, content: bytes) -> Admission:
    """Join the federation that this admission is of.

    Raises:
        InputRefused: this node was told of no aggregator.
        EnvelopeRefused: another root key, site, key or federation, or an older roster.
    """
    at = node.config.aggregator
    if at is None:
        message = "admission refused: no fingerprint of a root key was given to this node"
        next_step = "make the home with: hospital-node init --aggregator … --fingerprint …"
        raise InputRefused(message, next_step=next_step)
    found = _read(content)
    admission = found.opened(at.fingerprint)
    is_rotation = admission.key == waiting_key(node.home)
    own = {node.key.public, admission.key} if is_rotation else {node.key.public}
    if admission.site != node.config.site or admission.key not in own:
        message = "admission refused: it is for another site, or for another key of this site"
        raise EnvelopeRefused(message, next_step="ask for the answer to this node's own request")
    if admission.address != at.address:
        message = (
            f"admission refused: it names the aggregator at {admission.address}, "
            f"this node was told {at.address}"
        )
        raise EnvelopeRefused(message, next_step="ask the aggregator which address is right")
    _refuse_no_authority(admission)
    joined = Membership(federation=admission.federation, root=found.root, roster=admission.roster)
    if is_rotation:
        go_over(node, joined)
    else:
        node.join(joined)
    write_durably(node.home.admission, found.canonical())
    return admission


@dataclass(frozen=True, slots=True)
class Line:
    """What a connection to the aggregator needs."""

    address: str
    authorities: str


def line(content: bytes, fingerprint: str) -> Line:
    """Return how to reach the aggregator, from a stored admission.

    Raises:
        EnvelopeRefused: another root key than the one that a person here was told of.
    """
    admission = _read(content).opened(fingerprint)
    return Line(admission.address, admission.authorities)


def _read(content: bytes) -> SignedAdmission:
    try:
        return SignedAdmission.from_canonical(content)
    except InvalidRecord:
        message = "admission refused: the file holds no admission"
        raise EnvelopeRefused(
            message, next_step="ask the aggregator for: aggregator enrol approve"
        ) from None


def _refuse_no_authority(admission: Admission) -> None:
    try:
        load_pem_x509_certificates(admission.authorities.encode())
    except ValueError:
        message = "admission refused: it holds no certificate that TLS could trust"
        raise EnvelopeRefused(message, next_step="ask the aggregator for it again") from None
