"""A server at the aggregator's address that the federation's authority does not vouch for.

* It is told nothing; the node asks again until the right one answers.
* That it was there stands in the journal: at once, and then at most once in an hour with a count,
  so that a hostile network cannot fill the disk.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hospital_node.node import opened
from schemas.audit.events import TurnedAway
from schemas.errors import FederationError

PAUSE_S = 3600.0
"""Between two events about such servers."""

_log = logging.getLogger(__name__)


def is_distrusted(error: Exception) -> bool:
    """Say whether a connection failed because of the certificate that was shown."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


@dataclass(slots=True)
class Distrust:
    """How often such a server answered, and is not yet written; one thread calls it at a time."""

    home: Path
    clock: Callable[[], float] = time.monotonic
    count: int = 0
    due: float = 0.0
    """When the next event may be written, by the clock."""

    def noted(self) -> None:
        """Count one, and write what was counted if it is time; the next call does, otherwise."""
        self.count += 1
        now = self.clock()
        if now < self.due:
            return
        try:
            with opened(self.home, command="serve") as node:
                facts = TurnedAway(what="server", reason="certificate-refused", count=self.count)
                node.journal.append(facts)
        except FederationError as error:
            _log.info("the journal is written later: %s", error.message)
        else:
            self.count, self.due = 0, now + PAUSE_S
