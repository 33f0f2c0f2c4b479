"""A hospital's node, opened: the one place of this side where files, keys and clock come together.

* One command owns a home at a time.
* Everything that a round needs is opened here and handed on as values or small ports.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hospital_node.config import (
    Membership,
    NodeConfig,
    NodeHome,
    load_config,
    load_pseudonym_key,
    settings,
    write_config,
    write_keys,
)
from hospital_node.policy import DEFAULT_POLICY, installed_code
from hospital_node.privacy import ledger
from schemas.audit.events import HomeMade, RosterTaken
from schemas.audit.journal import Journal, refuse_empty
from schemas.audit.lines import naming_versions
from schemas.audit.notes import site_origin
from schemas.audit.work import at_work
from schemas.enrolment import Roster
from schemas.errors import EnvelopeRefused, HomeRefused
from schemas.files import make_whole, owned, read_plain, sync_folder, write_durably
from schemas.names import Moment, PublicKey, SiteName, now
from schemas.wire.envelope import opened as opened_envelope
from schemas.wire.keys import SigningKey, former_keys

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Node:
    """An owned home with its keys, journal and clock."""

    home: NodeHome
    config: NodeConfig
    key: SigningKey
    witness_key: SigningKey
    pseudonym_key: bytes
    journal: Journal
    clock: Callable[[], Moment]
    former: tuple[PublicKey, ...] = ()
    """The signing keys before this one: this home's own files may be signed by them."""
    warm: dict[str, object] = field(default_factory=dict)
    """What was costly to open, by digest: networks, and the examples that they are fed."""

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys that this home's own files may be signed by."""
        return (self.key.public, *self.former)

    @property
    def cohort_folder(self) -> Path:
        """The cohort store."""
        return self.home.cohort

    def membership(self) -> tuple[Membership, Roster]:
        """Return the federation joined and its roster, verified under the root key.

        Raises:
            EnvelopeRefused: not enrolled yet, or the stored roster does not verify.
        """
        return membership_of(self.home)

    def follow(self, roster: str) -> None:
        """Take a newer roster of the federation that was joined; any other changes nothing."""
        if not self.home.membership.exists():
            return
        known, before = self.membership()
        if roster == known.roster:
            return
        newer = known.model_copy(update={"roster": roster})
        try:
            found = _verified_roster(newer)
            if found.serial > before.serial:
                self.join(newer)
                self.journal.append(RosterTaken(serial=found.serial, roster=found.digest))
        except EnvelopeRefused as error:
            _log.warning("%s", error.message)

    def join(
        self, membership: Membership, *, keys: tuple[PublicKey, PublicKey] | None = None
    ) -> None:
        """Store a federation's root key and roster, handed over out of band.

        `keys`: this node's signing and witness key in it, if they are not the present ones.

        Raises:
            EnvelopeRefused: another federation was joined before, the roster does not verify, is
            older, or lacks us.
        """
        roster = _verified_roster(membership)
        member = roster.member(self.config.site)
        own = keys or (self.key.public, self.witness_key.public)
        if member is None or (member.key, member.witness) != own:
            raise _not_joined("the roster does not name this site with this node's keys")
        if self.home.membership.exists():
            known, before = self.membership()
            if (known.federation, known.root) != (membership.federation, membership.root):
                raise _not_joined("this hospital belongs to another federation")
            if roster.serial < before.serial:
                raise _not_joined("the roster is older than the one known here")
        write_durably(self.home.membership, membership.canonical())


def finish_rotation(home: NodeHome, site: SiteName) -> None:
    """Bring keys into use that the joined federation's roster names for this site.

    The signing key comes last: until it is in its place a crash changes nothing, and this begins
    anew.
    """
    signing = home.next_keys / home.signing_key.name
    if not signing.exists() or not home.membership.exists():
        return
    member = membership_of(home)[1].member(site)
    if member is None or member.key != SigningKey.load(signing).public:
        return
    for name in (home.witness_key.name, home.transport_key.name, home.signing_key.name):
        if (home.next_keys / name).exists():
            (home.next_keys / name).replace(home.keys / name)
    sync_folder(home.keys)


def membership_of(home: NodeHome) -> tuple[Membership, Roster]:
    """Return the federation that a home joined and its roster, without owning the home.

    Raises:
        EnvelopeRefused: not enrolled yet, or the stored roster does not verify.
    """
    if not home.membership.exists():
        message = "request refused: this hospital has not joined a federation"
        raise EnvelopeRefused(message, next_step="enrol the hospital with its aggregator")
    return _verified_membership(read_plain(home.membership))


@lru_cache(maxsize=8)
def _verified_membership(content: bytes) -> tuple[Membership, Roster]:
    """Read and verify a membership file; equal bytes give equal records, for every request."""
    membership = Membership.from_stored(content, what="membership")
    return membership, _verified_roster(membership)


def _verified_roster(membership: Membership) -> Roster:
    roster = opened_envelope(membership.roster.encode(), Roster, key=membership.root)
    if roster.federation != membership.federation:
        raise _not_joined("the roster is of another federation")
    return roster


def _not_joined(found: str) -> EnvelopeRefused:
    return EnvelopeRefused(
        f"enrolment refused: {found}",
        next_step="compare the aggregator's root key with the one you were given",
    )


def make(
    root: Path, *, site: str, address: str = "", fingerprint: str = "", is_locked: bool = False
) -> NodeConfig:
    """Make a home, whole or not at all: keys, a policy, an empty ledger, a journal that began.

    `address` and `fingerprint` name the aggregator over a network, as a person was told them.
    `is_locked`: the keys are made under a passphrase.

    Raises:
        InputRefused: the site name does not fit, or the aggregator is not named in full.
        HomeRefused: the directory holds something already, or an earlier init of another site.
    """
    wanted = settings(site=site, address=address, fingerprint=fingerprint)

    def fill(place: Path) -> None:
        home = NodeHome(place)
        key = write_keys(home, is_locked=is_locked)
        write_durably(home.policy, DEFAULT_POLICY.encode())
        ledger.create(home.ledger)
        with closing(_journal(home, wanted, key, now)) as journal:
            journal.append(HomeMade(key=key.public))
            with at_work(journal, "init", code=installed_code()):
                """A home is made."""
        write_config(home, wanted)

    home = NodeHome(root)
    make_whole(root, fill, last=home.config.name)
    made = load_config(home)
    if made != wanted:
        message = f"home refused: {root.name} was being made for {made.site}, and is whole now"
        raise HomeRefused(message, next_step="use it for that site, or choose another --home")
    return made


@contextmanager
def opened(
    root: Path, *, command: str = "session", clock: Callable[[], Moment] = now
) -> Iterator[Node]:
    """Own a home, open its journal, and note which software starts and stops.

    Raises:
        HomeRefused: not a home, in use, or a key that others can read.
        JournalDamaged: the journal does not match its head.
    """
    home = NodeHome(root)
    config = load_config(home)
    with owned(root), naming_versions(home.journal):
        finish_rotation(home, config.site)
        key, witness = SigningKey.load(home.signing_key), SigningKey.load(home.witness_key)
        former = former_keys(home.keys)
        journal = _journal(home, config, key, clock, former)
        try:
            refuse_empty(journal.size)
            with at_work(journal, command, code=installed_code()):
                pseudonyms = load_pseudonym_key(home)
                yield Node(home, config, key, witness, pseudonyms, journal, clock, former)
        finally:
            journal.close()


def _journal(
    home: NodeHome,
    config: NodeConfig,
    key: SigningKey,
    clock: Callable[[], Moment],
    former: tuple[PublicKey, ...] = (),
) -> Journal:
    origin = site_origin(config.site)
    return Journal(home.journal, origin=origin, key=key, clock=clock, former=former)
