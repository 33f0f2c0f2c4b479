"""What leaves a site, in the words of both reports."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from schemas.protection.messages import Exchange

__all__ = ["EXCHANGED", "OF_PATIENTS", "Artefact", "Replied"]

Replied: TypeAlias = Literal["update", "histogram", "self-check", "refusal", "conformance report"]
"""What a signed reply holds, as a site's own log says."""

Artefact: TypeAlias = (
    Replied
    | Literal[
        "value under masks",
        "ciphertexts",
        "public keys",
        "sealed shares",
        "sealed key",
        "agreement",
        "shares of masks",
        "decrypted sum",
    ]
)

EXCHANGED: Mapping[Exchange, Artefact] = MappingProxyType(
    {
        "advertise": "public keys",
        "share": "sealed shares",
        "input": "value under masks",
        "agree": "agreement",
        "unmask": "shares of masks",
        "announce": "public keys",
        "deal": "sealed key",
        "encrypt": "ciphertexts",
        "settle": "agreement",
        "open": "decrypted sum",
    }
)
"""What a site's reply in each exchange holds."""

OF_PATIENTS: frozenset[Artefact] = frozenset(
    {"update", "histogram", "value under masks", "ciphertexts"}
)
"""What is computed from a site's own patients, and so has a price."""
