"""The aggregator, opened: the one place of this side where files, keys and clock come together.

* One command owns a home at a time.
* The aggregator holds arrays, never a network or an image.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from aggregator.audit.logs import SiteLog
from aggregator.audit.witness import Witnesses
from aggregator.checkpoints.registry import Registry
from aggregator.checkpoints.store import CheckpointStore
from aggregator.config import (
    AggregatorConfig,
    AggregatorHome,
    load_config,
    load_root,
    load_root_key,
    settings,
    write_config,
    write_keys,
)
from aggregator.heads import Heads
from schemas.audit.events import Enrolled, Facts, HomeMade, LogReceived, Revoked
from schemas.audit.journal import Journal, refuse_empty
from schemas.audit.lines import naming_versions, read_facts
from schemas.audit.notes import aggregator_origin
from schemas.audit.work import at_work
from schemas.enrolment import Member, Revocation, Roster
from schemas.errors import EnvelopeRefused, HomeRefused
from schemas.files import make_whole, owned, sync_folder, write_durably
from schemas.names import Digest, Moment, PublicKey, SiteName, TransportKey, now
from schemas.software import code_identity
from schemas.wire.envelope import opened as opened_envelope
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey, former_keys, registered


@dataclass(slots=True)
class Federation:
    """An owned home with its keys, journal, models and clock."""

    home: AggregatorHome
    config: AggregatorConfig
    key: SigningKey
    journal: Journal
    store: CheckpointStore
    registry: Registry
    clock: Callable[[], Moment]
    logs: dict[SiteName, SiteLog] = field(default_factory=dict)
    """Copies of the sites' logs that were used."""

    @property
    def witnesses(self) -> Witnesses:
        """The heads shown, and who cosigned them."""
        return Witnesses(self.home.witnesses)

    def log_of(self, site: SiteName) -> SiteLog:
        """Return the copy of a site's log."""
        if site not in self.logs:
            self.logs[site] = SiteLog(self.home.logs / site)
        return self.logs[site]

    @property
    def heads(self) -> Heads:
        """The newest journal head of each site."""
        return Heads(self.home.heads)

    def roster(self) -> Roster:
        """Return the members, verified under the root key."""
        return stored_roster(self.home)

    def roster_envelope(self) -> tuple[PublicKey, bytes]:
        """Return the root's public key and the signed roster, as a hospital stores them."""
        return load_root(self.home), self.home.roster.read_bytes()

    def enrol(
        self,
        site: SiteName,
        key: PublicKey,
        witness: PublicKey,
        *,
        transport: TransportKey | None = None,
        until: Moment | None = None,
    ) -> Roster:
        """Add a site to the roster, with the keys that it handed over out of band.

        They count `until` a moment, or until they are revoked.
        The same entry again changes nothing.

        Raises:
            EnvelopeRefused: the site has another key or was revoked, or the key is unfit or was
            revoked.
            HomeRefused: the root key is not here.
        """
        roster = self.roster()
        known = roster.member(site)
        same = known is not None and (known.key, known.witness) == (key, witness)
        if known is not None and same and transport in {None, known.transport}:
            return roster
        if known is not None and (known.key != key or known.transport is not None):
            message = f"enrolment refused: {site} has joined with another key"
            raise EnvelopeRefused(
                message, next_step="use the home that joined, or another site name"
            )
        if known is None and any(one.site == site for one in roster.revoked):
            message = f"enrolment refused: {site} was revoked, and its log ended with its key"
            raise EnvelopeRefused(
                message, next_step="join under another site name; a new plan names that one"
            )
        if {key, witness} & roster.gone():
            message = f"enrolment refused: a key of {site} was revoked or replaced"
            raise EnvelopeRefused(message, next_step="ask for a request with new keys")
        member = Member(
            site=site,
            key=registered(key),
            witness=registered(witness),
            since=self.clock(),
            transport=transport,
            until=until,
        )
        others = tuple(one for one in roster.members if one.site != site)
        joined = Enrolled(federation=roster.federation, party=site, key=key)
        return self.change(roster, joined, members=in_order(*others, member))

    def revoke(self, site: SiteName) -> Roster:
        """Take a site off the roster; its key never counts again.

        Raises:
            EnvelopeRefused: the site has not joined.
            HomeRefused: the root key is not here.
        """
        roster = self.roster()
        member = roster.member(site)
        if member is None:
            message = f"revocation refused: {site} has not joined"
            raise EnvelopeRefused(message, next_step="see who has: aggregator roster list")
        self.note_log(site)
        at = self.clock()
        keys = tuple(Revocation(site=site, key=key, at=at) for key in member.signers)
        members = tuple(one for one in roster.members if one.site != site)
        gone = Revoked(federation=roster.federation, party=site, key=member.key)
        return self.change(roster, gone, members=members, revoked=(*roster.revoked, *keys))

    def note_log(self, site: SiteName) -> None:
        """Note the head under which a site's log was received, if a crash kept that from this log.

        What its key signed until now counts by that, whatever becomes of the key.
        """
        note = self.log_of(site).note()
        known = {
            one.head
            for one in read_facts(self.home.journal, LogReceived)
            if isinstance(one, LogReceived)
        }
        if note is not None and note not in known:
            self.journal.append(LogReceived(site=site, head=note))

    def change(self, roster: Roster, facts: Facts, **fields: object) -> Roster:
        """Note what changes, sign the next roster and put it in the place of this one.

        Raises:
            HomeRefused: the root key is not here.
        """
        root = load_root_key(self.home)
        changed = Roster.model_validate(dict(roster) | fields | {"serial": roster.serial + 1})
        self.journal.append(facts)
        self.journal.seal()
        self.witnesses.keep_change(self.journal.head())
        write_durably(self.home.roster, signed(changed, root))
        return changed


def in_order(*members: Member) -> tuple[Member, ...]:
    """Return members as a roster lists them."""
    return tuple(sorted(members, key=lambda one: one.site))


def stored_roster(home: AggregatorHome) -> Roster:
    """Return a home's roster, verified under its root key; nobody needs to own the home for it.

    Raises:
        EnvelopeRefused: it does not verify.
    """
    return _verified_roster(home.roster.read_bytes(), load_root(home))


@lru_cache(maxsize=8)
def _verified_roster(content: bytes, root: PublicKey) -> Roster:
    """Verify a roster file; equal bytes give the equal record, for every reply of a round."""
    return opened_envelope(content, Roster, key=root)


def make(root: Path, *, federation: str, address: str = "") -> AggregatorConfig:
    """Make a home, whole or not at all: keys, an empty roster and registry, a journal that began.

    With an address that hospitals will call, there are certificates too.

    Raises:
        InputRefused: the federation's name or the address does not fit.
        HomeRefused: the directory holds something already, or an earlier init of another name.
    """
    wanted = settings(federation=federation, address=address)

    def fill(place: Path) -> None:
        home = AggregatorHome(place)
        key = write_keys(home, wanted)
        with Registry(home.checkpoints / "registry.sqlite"):
            pass
        with closing(_journal(home, wanted, key, now)) as journal:
            journal.append(HomeMade(key=key.public))
            with at_work(journal, "init", code=installed_code()):
                """A home is made."""
        write_config(home, wanted)

    home = AggregatorHome(root)
    make_whole(root, fill, last=home.config.name)
    made = load_config(home)
    if made != wanted:
        message = f"home refused: {root.name} was being made for {made.federation}, and is whole"
        raise HomeRefused(message, next_step="use it for that name, or choose another --home")
    return made


@contextmanager
def opened(
    root: Path, *, command: str = "run", clock: Callable[[], Moment] = now
) -> Iterator[Federation]:
    """Own a home, open its journal and models, and note which software starts and stops.

    Raises:
        HomeRefused: not a home, in use, or a key that others can read.
        JournalDamaged: the journal does not match its head.
    """
    home = AggregatorHome(root)
    config = load_config(home)
    with owned(root), naming_versions(home.journal):
        key = load_service_key(home)
        journal = _journal(home, config, key, clock)
        store = CheckpointStore(home.checkpoints / "objects")
        try:
            refuse_empty(journal.size)
            with (
                at_work(journal, command, code=installed_code()),
                Registry(home.checkpoints / "registry.sqlite") as registry,
            ):
                yield Federation(home, config, key, journal, store, registry, clock)
        finally:
            journal.close()


def _journal(
    home: AggregatorHome, config: AggregatorConfig, key: SigningKey, clock: Callable[[], Moment]
) -> Journal:
    origin = aggregator_origin(config.federation)
    former = former_keys(home.keys)
    return Journal(home.journal, origin=origin, key=key, clock=clock, former=former)


def load_service_key(home: AggregatorHome) -> SigningKey:
    """Read the service key; a replacement that a crash broke off is brought to its end.

    Raises:
        HomeRefused: missing, or readable by others.
    """
    waiting = home.next_service_key
    if waiting.exists() and SigningKey.load(waiting).public == stored_roster(home).aggregator:
        waiting.replace(home.service_key)
        sync_folder(home.keys)
    return SigningKey.load(home.service_key)


def installed_code() -> Digest:
    """Name the installed code of this side."""
    return code_identity(Path(__file__).parent)
