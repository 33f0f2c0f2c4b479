"""The roster: who has joined a federation, and the keys that speak for them."""

from typing import Self

from pydantic import Field, model_validator

from schemas.base import Record
from schemas.names import Moment, Name, PublicKey, SiteName


class Member(Record):
    """One enrolled site."""

    site: SiteName
    key: PublicKey
    since: Moment


class Roster(Record):
    """The members of a federation, signed by its root key; a higher serial replaces a lower one."""

    federation: Name
    serial: int = Field(ge=1)
    aggregator: PublicKey
    """The service key that signs requests."""
    members: tuple[Member, ...]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [one.site for one in self.members]
        keys = [one.key for one in self.members] + [self.aggregator]
        if names != sorted(set(names)) or len(set(keys)) != len(keys):
            message = "sites are not sorted and distinct, or two members share a key"
            raise ValueError(message)
        return self

    def member(self, site: SiteName) -> Member | None:
        """Return a site's entry; None when it has not joined."""
        return next((one for one in self.members if one.site == site), None)
