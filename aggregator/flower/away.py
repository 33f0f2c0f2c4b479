"""Who has been away for so long that a round goes on without them.

* A node may restart, and a line may be lost: for a while its reply is waited for all the same.
* That nobody is connected says something of the relay, not of the sites: then no time counts.
* Time goes on from one request to the next, so a site that is down costs a run this time once.
"""

import time
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from schemas.names import SiteName

AWAY_S = 120.0
"""How long a site whose node is gone is waited for, while others are connected."""

LOOK_S = 1.0
"""Between two looks who is connected."""


@dataclass(slots=True)
class Away:
    """Since when which site of a run has been away."""

    clock: Callable[[], float] = time.monotonic
    since: dict[SiteName, float] = field(default_factory=dict)
    looked: float = float("-inf")

    def too_long(
        self, sites: Collection[SiteName], connected: Callable[[], Collection[SiteName]]
    ) -> AbstractSet[SiteName]:
        """Return those of the sites that are given up; `connected` is asked now and then."""
        now = self.clock()
        if now - self.looked >= LOOK_S:
            self.looked, here = now, frozenset(connected())
            gone = {*sites, *self.since} - here if here else ()
            self.since = {site: self.since.get(site, now) for site in gone}
        return {site for site, start in self.since.items() if now - start >= AWAY_S}
