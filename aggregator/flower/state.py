"""Flower's link state, without what it does in nearly every call and nobody here needs.

* It counts the bytes of each object against its run, in a write of its own; the journal has what
  came and how large it was.
* It looks in each call for runs whose leader is gone, in a write of its own; once in a second is
  enough for a deadline of a minute.
"""

import time

from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager

TIDY_S = 1.0
"""Between two looks for runs whose leader is gone."""


class RelayState(SqlLinkState):
    """The nodes that are let in and the messages on their way, in one file."""

    _tidied = -TIDY_S

    def store_traffic(self, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        """Write nothing."""

    def _cleanup_expired_task_tokens(self) -> None:
        now = time.monotonic()
        if now >= self._tidied + TIDY_S:
            self._tidied = now
            super()._cleanup_expired_task_tokens()


def relay_states(database: str) -> LinkStateFactory:
    """Return what hands this state to Flower; its tables are made when it is first asked for."""
    objects, manager = ObjectStoreFactory(database), NoOpFederationManager()
    factory = LinkStateFactory(database, manager, objects)
    state = RelayState(database, manager, objects.store())
    state.initialize()
    factory.state_instance = state
    return factory
