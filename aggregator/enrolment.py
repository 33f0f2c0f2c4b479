"""Enrolment at the aggregator: a hospital's request becomes a roster entry and a signed answer."""

from aggregator.config import load_root_key
from aggregator.federation import Federation
from schemas.enrolment import Admission, EnrolmentRequest, SignedAdmission
from schemas.errors import EnvelopeRefused, InputRefused, InvalidRecord
from schemas.files import write_durably
from schemas.names import Moment, SiteName
from schemas.wire.envelope import Envelope, opened, signed
from schemas.wire.transport import parsed


def read_request(content: bytes) -> EnrolmentRequest:
    """Return a request that is signed by the very key that it brings.

    Raises:
        EnvelopeRefused: no request, another signer, or an unfit key.
    """
    try:
        claimed = EnrolmentRequest.from_canonical(Envelope.from_canonical(content).payload_bytes)
    except InvalidRecord:
        message = "request refused: the file holds no enrolment request"
        raise EnvelopeRefused(
            message, next_step="ask the hospital for: hospital-node enrol request"
        ) from None
    request = opened(content, EnrolmentRequest, key=claimed.key)
    parsed(request.transport)
    return request


def approved(
    federation: Federation, request: EnrolmentRequest, *, until: Moment | None = None
) -> SignedAdmission:
    """Put a site on the roster, `until` a moment or for good; return what it needs to join.

    Raises:
        InputRefused: this aggregator has no address that a hospital could call.
        EnvelopeRefused: the site has joined with other keys, or its key was revoked.
    """
    _address(federation)
    federation.enrol(
        request.site, request.key, request.witness, transport=request.transport, until=until
    )
    return admission(federation, request.site)


def admission(federation: Federation, site: SiteName) -> SignedAdmission:
    """Sign a member's admission with the roster as it stands now.

    Raises:
        InputRefused: no such member, or no address that a hospital could call.
    """
    address, member = _address(federation), federation.roster().member(site)
    if member is None:
        message = f"admission refused: {site} has not joined"
        raise InputRefused(message, next_step="see who has: aggregator roster list")
    root = load_root_key(federation.home)
    made = Admission(
        federation=federation.config.federation,
        site=site,
        key=member.key,
        address=address,
        authorities=(federation.home.tls / "authority.pem").read_text(encoding="ascii"),
        roster=federation.home.roster.read_text(encoding="utf-8"),
        issued=federation.clock(),
    )
    found = SignedAdmission(root=root.public, admission=signed(made, root).decode())
    write_durably(federation.home.root / "admissions" / f"{site}.json", found.canonical())
    return found


def _address(federation: Federation) -> str:
    if federation.config.address is None:
        message = "enrolment refused: this aggregator has no address that a hospital could call"
        raise InputRefused(message, next_step="make a home with: aggregator init --address …")
    return federation.config.address
