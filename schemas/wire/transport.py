"""The key by which a node is let in at the relay: ECDSA on P-384, as Flower's fleet needs it.

* It opens a door and vouches for nothing: who wrote a message is known by its Ed25519 signature.
* A private key is made on the machine that uses it and never leaves it; its file has mode 0600.
"""

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from schemas.errors import EnvelopeRefused, HomeRefused
from schemas.names import TransportKey
from schemas.wire.key_files import read_key, write_key


def generate_transport_key(path: Path) -> None:
    """Make a new key and write it as PEM (PKCS 8) with mode 0600."""
    content = generate_private_key(SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    write_key(path, content)


def load_transport_key(path: Path) -> EllipticCurvePrivateKey:
    """Read a key file.

    Raises:
        HomeRefused: missing, readable by others, or no P-384 key.
    """
    try:
        key = load_pem_private_key(read_key(path), password=None)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP384R1):
        return key
    message = f"key refused: {path.name} does not hold a P-384 key in PEM"
    raise HomeRefused(message, next_step="restore it from a backup")


def named(key: EllipticCurvePublicKey) -> TransportKey:
    """Write a public key as it stands in a roster."""
    content = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(content).decode()


def parsed(key: TransportKey) -> EllipticCurvePublicKey:
    """Read a public key from a roster or a request.

    Raises:
        EnvelopeRefused: not a point of P-384 in this form.
    """
    try:
        found = load_der_public_key(base64.b64decode(key))
    except ValueError:
        found = None
    if isinstance(found, EllipticCurvePublicKey) and isinstance(found.curve, SECP384R1):
        return found
    message = "key refused: the transport key is no public key of P-384"
    raise EnvelopeRefused(message, next_step="make a new request: hospital-node enrol request")
