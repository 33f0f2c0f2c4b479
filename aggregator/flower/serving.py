"""What stands between the roster and the relay while it serves."""

import logging
import threading

from flwr.server.superlink.linkstate import LinkStateFactory

from aggregator.config import AggregatorHome
from aggregator.federation import stored_roster
from aggregator.flower.link import admit
from schemas.errors import FederationError
from schemas.names import now

_PAUSE_S = 0.25

_log = logging.getLogger(__name__)


def admit_always(factory: LinkStateFactory, home: AggregatorHome, over: threading.Event) -> None:
    """Let in whom the roster names, as soon as it changes, until told to stop.

    A roster that does not verify changes nothing; who was let in stays, and the log says why.
    """
    state, seen = factory.state(), b""
    while True:
        try:
            content = home.roster.read_bytes()
            if content != seen:
                admit(state, stored_roster(home), at=now())
                seen = content
                _log.info("the roster was read")
        except (FederationError, OSError) as error:
            _log.error("the roster cannot be used: %s", type(error).__name__)
        if over.wait(_PAUSE_S):
            return
