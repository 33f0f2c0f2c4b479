"""New keys in the place of old ones: a site's, by a request that both keys signed, and our own.

* The event is on disk, under a head that the old key signed, before the roster changes.
* What planned former keys signed still counts; compromised ones are revoked.
* The service key is not replaced while a run is under way: its requests are signed already.
"""

from dataclasses import dataclass
from datetime import datetime

from aggregator.enrolment import admission, read_request
from aggregator.federation import Federation, in_order, load_service_key
from aggregator.rounds import is_over
from aggregator.runs import run_names, stored
from schemas.audit.events import KeyReplaced
from schemas.enrolment import (
    EnrolmentRequest,
    Former,
    KeyRotation,
    Member,
    Revocation,
    Roster,
    SignedAdmission,
)
from schemas.errors import EnvelopeRefused, InputRefused, InvalidRecord
from schemas.files import make_folder, write_durably
from schemas.names import Moment, digest_of, moment_of
from schemas.wire.envelope import Envelope, opened
from schemas.wire.keys import SigningKey, registered, retire


@dataclass(frozen=True, slots=True)
class Rotation:
    """A site's request to go on under new keys, verified."""

    member: Member
    request: EnrolmentRequest
    envelope: bytes
    """Signed by the key that is replaced; a bundle shows it."""


def read_rotation(roster: Roster, content: bytes) -> Rotation:
    """Return a request that the site's present key and its new one have signed.

    Raises:
        EnvelopeRefused: no such request, of no member, or of another key than the member's.
    """
    try:
        claimed = KeyRotation.from_canonical(Envelope.from_canonical(content).payload_bytes)
    except InvalidRecord:
        message = "rotation refused: the file holds no request to replace keys"
        next_step = "ask the hospital for: hospital-node enrol rotate"
        raise EnvelopeRefused(message, next_step=next_step) from None
    member = roster.member(claimed.site)
    if member is None:
        message = f"rotation refused: {claimed.site} has not joined"
        raise EnvelopeRefused(message, next_step="see who has: aggregator roster list")
    rotation = opened(content, KeyRotation, key=member.key)
    request = read_request(rotation.request.encode())
    if (request.site, rotation.replaces) != (member.site, member.key):
        message = "rotation refused: it replaces another key, or brings keys of another site"
        raise EnvelopeRefused(message, next_step="ask the hospital for a new request")
    fresh = {request.key, request.witness}
    present = {member.key, member.witness}
    if fresh & (roster.gone() | present) or request.transport == member.transport:
        message = "rotation refused: it brings a key that was in use before"
        raise EnvelopeRefused(message, next_step="ask the hospital for a new request")
    return Rotation(member, request, content)


def replaced(
    federation: Federation, rotation: Rotation, *, is_compromised: bool
) -> SignedAdmission:
    """Put a site's new keys on the roster, and return what it installs.

    They last as long as the old ones did from their beginning.

    Raises:
        HomeRefused: the root key is not here.
    """
    roster, member, request = federation.roster(), rotation.member, rotation.request
    now = federation.clock()
    make_folder(federation.home.rotations)
    name = digest_of(rotation.envelope).removeprefix("sha256:")
    write_durably(federation.home.rotations / f"{name}.json", rotation.envelope)
    federation.note_log(member.site)
    old = Former(key=member.key, witness=member.witness, until=now)
    new = Member(
        site=member.site,
        key=registered(request.key),
        witness=registered(request.witness),
        since=now,
        until=_as_long(member, now),
        transport=request.transport,
        former=member.former if is_compromised else (*member.former, old),
    )
    revoked = Revocation(site=member.site, key=member.key, at=now)
    federation.change(
        roster,
        KeyReplaced(
            federation=roster.federation,
            party=member.site,
            old=member.key,
            new=new.key,
            old_witness=member.witness,
            new_witness=new.witness,
            reason="compromised" if is_compromised else "planned",
        ),
        members=in_order(*(one for one in roster.members if one.site != member.site), new),
        revoked=(*roster.revoked, revoked) if is_compromised else roster.revoked,
    )
    return admission(federation, member.site)


def service_replaced(federation: Federation, *, leave_runs: bool = False) -> Roster:
    """Replace the key that signs requests and the journal, and return the roster that says so.

    `leave_runs`: a run under way is given up; sites that answered under the old key refuse it.

    Raises:
        InputRefused: a run is under way.
        HomeRefused: the root key is not here.
    """
    if not leave_runs:
        _refuse_under_way(federation)
    home, roster = federation.home, federation.roster()
    if not home.next_service_key.exists():
        SigningKey.generate().save(home.next_service_key)
    new = SigningKey.load(home.next_service_key)
    retire(home.keys, federation.key.public)
    former = Former(key=federation.key.public, witness=None, until=federation.clock())
    changed = federation.change(
        roster,
        KeyReplaced(
            federation=roster.federation,
            party="aggregator",
            old=federation.key.public,
            new=new.public,
            reason="planned",
        ),
        aggregator=new.public,
        former=(*roster.former, former),
    )
    federation.key = load_service_key(home)
    federation.journal.go_on(federation.key)
    return changed


def _as_long(member: Member, now: Moment) -> Moment | None:
    if member.until is None:
        return None
    length = datetime.fromisoformat(member.until) - datetime.fromisoformat(member.since)
    return moment_of(datetime.fromisoformat(now) + length)


def _refuse_under_way(federation: Federation) -> None:
    for name in run_names(federation):
        plan, state = stored(federation, name)
        if not is_over(plan, state) and state.round > 0:
            message = f"rotation refused: {name} is under way, and its requests are signed already"
            next_step = (
                f"bring it to its end first: aggregator run PLAN --home DIR --resume {name}; "
                "or give it up: --leave-runs"
            )
            raise InputRefused(message, next_step=next_step)
