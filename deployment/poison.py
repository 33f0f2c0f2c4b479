"""What a dishonest hospital of a simulation sends in place of its update.

A poison is a function of the delta's values; the hospital signs what comes of it. Flipped labels
are no poison of updates: the hospital trains honestly on wrong labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.names import digest_of
from schemas.update import Update
from schemas.wire.arrays import declared_layout, flat_values, header
from schemas.wire.envelope import kind_of, opened, signed
from schemas.wire.keys import SigningKey
from schemas.wire.packet import Packet

Attack: TypeAlias = Literal["flipped-labels", "not-a-number", "scaled", "sign-flip"]
Poison: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]

POISONS: Mapping[str, Poison] = MappingProxyType(
    {
        "not-a-number": lambda delta: np.full_like(delta, np.nan),
        "scaled": lambda delta: 100 * delta,
        "sign-flip": lambda delta: -10 * delta,
    }
)
"""By the attack's name."""


def poisoned(reply: Packet, attack: Attack, key: SigningKey) -> Packet:
    """Return a reply as a dishonest hospital sends it; only updates are changed."""
    poison = POISONS.get(attack)
    if poison is None or kind_of(reply.envelope) != Update.__name__:
        return reply
    update = opened(reply.envelope, Update, key=key.public)
    layout = declared_layout(reply.body)
    body = header(layout) + poison(flat_values(reply.body, layout)).astype("<f4").tobytes()
    fields = {name: getattr(update, name) for name in Update.model_fields}
    changed = Update(**fields | {"arrays": digest_of(body)})
    return replace(reply, envelope=signed(changed, key), body=body)
