"""Who may take part in a sum, whichever protocol opens it: the plan's sites, and enough of them."""

from collections.abc import Collection
from typing import Protocol

from schemas.errors import EnvelopeRefused
from schemas.names import SiteName
from schemas.protection.messages import Context
from schemas.protection.terms import Terms


class TakesPart(Protocol):
    """One site's part in one attempt."""

    @property
    def context(self) -> Context:
        """What the attempt is about."""
        ...

    @property
    def site(self) -> SiteName:
        """Whose part it is."""
        ...


def hold_sites(part: TakesPart, terms: Terms, sites: Collection[SiteName], *, least: int) -> None:
    """Hold a set of sites against the plan's.

    Raises:
        EnvelopeRefused: another attempt, without this site, one that the plan does not ask, or too
        few.
    """
    if part.context != terms.context:
        raise refused("it is about another attempt")
    if part.site not in sites:
        raise refused("it leaves this site out")
    if not set(sites) <= set(terms.sites):
        raise refused("it names a site that the plan does not")
    if len(sites) < least:
        raise refused(f"{len(sites)} sites are left, at least {least} are needed")


def refused(found: str) -> EnvelopeRefused:
    """Return the refusal of one step."""
    message = f"sum refused: {found}"
    next_step = "nothing was opened; resume the run, which begins a fresh attempt"
    return EnvelopeRefused(message, next_step=next_step)
