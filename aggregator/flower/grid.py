"""The exchange over a Flower grid, and the only place here that catches every exception.

* One message per site; it expires with the deadline, so no node works for a round that is over.
* Replies are pulled one id at a time: one opened reply is in memory, however many sites there are.
* A reply belongs to the message that it answers: an error's sender may be Flower itself.
* Bytes that Flower cannot read fail one site, never the round.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from aggregator.flower.away import Away
from aggregator.flower.messages import packet_of, records_of, type_of
from schemas.names import SiteName
from schemas.wire.packet import Packet

LONGEST_PAUSE_S = 0.05
"""Most time between two looks at the grid."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    """What goes to every site, and until when a reply counts."""

    records: RecordDict
    type: str
    end: float
    """By the monotonic clock."""


@dataclass(frozen=True, slots=True)
class GridExchange:
    """Exchange packets with nodes; a site's node is the one that Flower knows by the site's name.

    A site that has no node is absent at once; with `nodes_may_join`, once it was away for too long.
    """

    grid: Grid
    nodes_may_join: bool = False
    shortest_pause_s: float = 0.001
    away: Away = field(default_factory=Away)

    def __call__(
        self, packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        """Yield each site's reply as it comes; None when it failed, is absent or is late.

        A pause grows to a quarter of a hundredth of the time waited so far: it adds 0.25 % to the
        work of the nodes.
        """
        moved = time.monotonic()
        request = _Request(records_of(packet), type_of(packet), end=moved + deadline_s)
        absent, pending = list(sites), dict[str, str]()
        while absent or pending:
            last_look = time.monotonic() >= request.end
            pending |= self._pushed(request, absent)
            absent = [site for site in absent if site not in pending]
            over = {*sites} if last_look else self._given_up(absent, pending)
            yield from ((site, None) for site in absent if site in over)
            absent = [site for site in absent if site not in over]
            for site, message in list(pending.items()):
                if (replies := self._pulled(site, message)) or site in over:
                    del pending[site]
                    yield site, replies.pop() if replies else None
                    moved = time.monotonic()
            if absent or pending:
                self._pause(time.monotonic(), since=moved, end=request.end)

    def _given_up(
        self, absent: Iterable[SiteName], pending: Iterable[SiteName]
    ) -> AbstractSet[SiteName]:
        """Return who is not waited for until the deadline."""
        if not self.nodes_may_join:
            return {*absent}
        return self.away.too_long(
            {*absent, *pending}, lambda: {node.name for node in self.grid.get_nodes()}
        )

    def _pause(self, now: float, *, since: float, end: float) -> None:
        pause = min(max(self.shortest_pause_s, (now - since) / 400), LONGEST_PAUSE_S)
        time.sleep(max(0.0, min(pause, end - now)))

    def _pushed(self, request: _Request, sites: Sequence[SiteName]) -> dict[SiteName, str]:
        """Send to those of the sites that have a node, and return the message ids."""
        left_s = request.end - time.monotonic()
        if not sites or left_s <= 0:
            return {}
        nodes = {node.name: node.node_id for node in self.grid.get_nodes()}
        ids: dict[SiteName, str] = {}
        for site in sites:
            if site in nodes:
                message = Message(request.records, nodes[site], request.type, ttl=left_s)
                # Flower answers with no id, or with None, when it did not take the message.
                ids |= ((site, one) for one in self.grid.push_messages([message]) if one)
        return ids

    def _pulled(self, site: SiteName, message: str) -> list[Packet | None]:
        """Return the reply to one message; empty while there is none."""
        try:
            replies = list(self.grid.pull_messages([message]))
        except Exception as error:  # noqa: BLE001 - this side's edge: a node's bytes must not end a run
            _log.warning("reply in the slot of %s cannot be read: %s", site, type(error).__name__)
            return [None]
        answers = [one for one in replies if one.metadata.reply_to_message_id == message]
        for one in answers:
            if one.has_error():
                _log.warning("no reply from %s: Flower's error %s", site, one.error.code)
        return [packet_of(one) for one in answers]
