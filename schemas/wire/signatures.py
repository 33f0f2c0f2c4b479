"""Checking Ed25519 signatures and keys (RFC 8032).

* Small-order public keys are refused when a key is registered: with one, a signature can fit many
  messages.
* Only the standard library and `cryptography`: a reviewer needs nothing else.
"""

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_KEY_BYTES = 32
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def is_signed(message: bytes, signature: bytes, key: str) -> bool:
    """Say whether the signature over the message is of this key, which is in base64."""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_sound(key: str) -> bool:
    """Say whether a key in base64 is a point in canonical form and not of small order."""
    try:
        raw = base64.b64decode(key, validate=True)
    except ValueError:
        return False
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    return len(raw) == _KEY_BYTES and y < _P and not _has_small_order(y) and _is_on_curve(y)


def _has_small_order(y: int) -> bool:
    """Say whether the order divides 8: y of the point is 1, -1 or 0, or y of its double is 0.

    The doubled y is 0 where x^2 = -y^2, which in the curve's equation leaves d y^4 + 2 y^2 = 1.
    """
    return y in {0, 1, _P - 1} or (_D * y**4 + 2 * y**2 - 1) % _P == 0


def _is_on_curve(y: int) -> bool:
    """Say whether x^2 = (y^2 - 1) / (d y^2 + 1) has a root (RFC 8032, 5.1.3), by Euler's criterion.

    A quotient is a square exactly when the product is.
    """
    return pow((y * y - 1) * (_D * y * y + 1), (_P - 1) // 2, _P) == 1
