"""What stands between the roster and the relay while it serves."""

import logging
import threading
import time

from flwr.server.superlink.linkstate import LinkStateFactory

from aggregator.config import AggregatorHome, load_config
from aggregator.door import PAUSE_S, Door
from aggregator.federation import stored_roster
from aggregator.flower.link import admit
from schemas.names import now

_PAUSE_S = 0.25

_log = logging.getLogger(__name__)


def admit_always(
    factory: LinkStateFactory, home: AggregatorHome, door: Door, over: threading.Event
) -> None:
    """Let in whom the roster names, as soon as it changes, until told to stop.

    Whoever was turned away is written to the relay's journal every few seconds. A roster that does
    not verify changes nothing; who was let in stays, and the log says why. Whatever fails here is
    tried again: without this, a hospital that is revoked would stay.
    """
    state, seen, written = factory.state(), b"", -PAUSE_S
    while True:
        try:
            content = home.roster.read_bytes()
            if content != seen:
                admit(state, stored_roster(home), at=now())
                seen = content
                _log.info("the roster was read")
        except Exception as error:  # noqa: BLE001 - Flower's edge: whatever it is, it is tried again
            _log.error("the roster cannot be used: %s", type(error).__name__)
        is_over = over.wait(_PAUSE_S)
        if is_over or time.monotonic() >= written + PAUSE_S:
            _write(door, home)
            written = time.monotonic()
        if is_over:
            return


def _write(door: Door, home: AggregatorHome) -> None:
    try:
        door.write(home, load_config(home))
    except Exception as error:  # noqa: BLE001 - no call from outside may end the admission
        _log.error("the relay's journal cannot be written: %s", type(error).__name__)
