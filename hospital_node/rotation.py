"""New keys for this node: a request that old and new key sign, and the change once it is approved.

* The new keys wait in `keys/next/`, and nothing changes until the approved answer is installed.
* The journal says so under a head that the old key signed; then the roster is stored, then the keys
  are moved, the signing key last. A crash between any two of them is brought to its end, or undone,
  when the home is opened next.
"""

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from hospital_node.config import Membership, NodeHome
from hospital_node.node import Node, finish_rotation
from schemas.audit.events import KeyReplaced
from schemas.audit.lines import read_facts
from schemas.enrolment import EnrolmentRequest, KeyRotation, Roster
from schemas.files import make_folder
from schemas.names import PublicKey
from schemas.software import VERSION
from schemas.wire.envelope import opened, signed
from schemas.wire.keys import SigningKey, retire
from schemas.wire.transport import generate_transport_key, load_transport_key, named


def rotation(node: Node) -> bytes:
    """Return this node's request to go on under new keys; the same keys until it is approved.

    Raises:
        EnvelopeRefused: this hospital has not joined a federation.
    """
    node.membership()
    home = node.home
    make_folder(home.next_keys)
    home.next_keys.chmod(0o700)
    names = [home.next_keys / one.name for one in (home.signing_key, home.witness_key)]
    for path in names:
        if not path.exists():
            SigningKey.generate().save(path)
    transport = home.next_keys / home.transport_key.name
    if not transport.exists():
        generate_transport_key(transport)
    key, witness = (SigningKey.load(path) for path in names)
    request = signed_request(node, key, witness=witness, transport=load_transport_key(transport))
    return signed(
        KeyRotation(site=node.config.site, replaces=node.key.public, request=request.decode()),
        node.key,
    )


def signed_request(
    node: Node, key: SigningKey, *, witness: SigningKey, transport: EllipticCurvePrivateKey
) -> bytes:
    """Return a request for the roster to name these keys, signed by the first of them."""
    made = EnrolmentRequest(
        site=node.config.site,
        key=key.public,
        witness=witness.public,
        transport=named(transport.public_key()),
        software=VERSION,
        made=node.clock(),
    )
    return signed(made, key)


def waiting_key(home: NodeHome) -> PublicKey | None:
    """Return the signing key that waits for approval; None: none does."""
    path = home.next_keys / home.signing_key.name
    return SigningKey.load(path).public if path.exists() else None


def go_over(node: Node, joined: Membership) -> None:
    """Go on under the keys that waited, which this roster names.

    Raises:
        EnvelopeRefused: another federation, or a roster that is older or names other keys.
    """
    home = node.home
    key, witness = (
        SigningKey.load(home.next_keys / one.name) for one in (home.signing_key, home.witness_key)
    )
    retire(home.keys, node.key.public)
    noted = _event(node, joined, key.public, witness.public)
    if noted not in read_facts(home.journal, KeyReplaced):
        node.journal.append(noted)
    node.journal.seal()
    node.join(joined, keys=(key.public, witness.public))
    finish_rotation(home, node.config.site)
    node.former = (*node.former, node.key.public)
    node.key, node.witness_key = key, witness
    node.journal.go_on(key)


def _event(node: Node, joined: Membership, key: PublicKey, witness: PublicKey) -> KeyReplaced:
    roster = opened(joined.roster.encode(), Roster, key=joined.root)
    member = roster.member(node.config.site)
    is_planned = member is not None and node.key.public in member.signers
    return KeyReplaced(
        federation=joined.federation,
        party=node.config.site,
        old=node.key.public,
        new=key,
        old_witness=node.witness_key.public,
        new_witness=witness,
        reason="planned" if is_planned else "compromised",
    )
