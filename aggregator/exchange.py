"""How the aggregator reaches the sites; what carries the bytes is none of its concern."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from schemas.names import SiteName
from schemas.wire.packet import Packet


class Exchange(Protocol):
    """Ask the participants, and yield what comes back."""

    def __call__(
        self, packet: Packet, sites: Sequence[SiteName], *, deadline_s: float
    ) -> Iterator[tuple[SiteName, Packet | None]]:
        """Send one request to all these sites and yield each reply as it comes, one per site.

        Nothing is sent before the first item is asked for. None: the node failed, is absent, or did
        not reply in time. The site names the slot that was asked, never the sender: only a
        signature says who wrote a reply.
        """
        ...
