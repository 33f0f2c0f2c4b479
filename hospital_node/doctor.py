"""Whether this node can do its work: one line for each thing that hospitals trip over.

* Every line says what was found and, unless it is well, what to do.
* Nothing is changed, and no patient's data is read; the aggregator's port is called twice.
"""

import shutil
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

import httpx

from hospital_node.cohort.codecs import PREFERRED, missing
from hospital_node.config import NodeConfig, NodeHome, load_config, load_pseudonym_key
from hospital_node.distrust import is_distrusted
from hospital_node.enrolment import Line, line
from hospital_node.node import membership_of
from hospital_node.policy import load_policy
from hospital_node.privacy.ledger import Ledger
from hospital_node.proxy import proxy_to
from schemas.audit.journal import verified
from schemas.audit.notes import site_origin
from schemas.errors import FederationError
from schemas.files import read_plain
from schemas.wire.key_files import protection
from schemas.wire.keys import SigningKey, former_keys
from schemas.wire.transport import load_transport_key

Outcome: TypeAlias = Literal["well", "note", "fault"]

LEAST_FREE_BYTES = 5 * 2**30
CLOCKS_APART_S = 5.0
SOON = timedelta(days=30)
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, what was found, and what to do."""

    name: str
    outcome: Outcome
    found: str
    next_step: str = ""


def examined(home: NodeHome) -> Iterator[Check]:
    """Examine a node's home and its line to the aggregator, one thing after the other.

    Raises:
        HomeRefused: not a node's home.
    """
    config = load_config(home)
    yield _home(home)
    yield _held("keys", lambda: _keys(home))
    yield from _passphrase(home)
    yield _held("policy", lambda: _policy(home))
    yield _held("ledger", lambda: _ledger(home))
    yield _held("journal", lambda: _journal(home, config))
    yield _disk(home)
    yield from _codecs()
    yield from _connection(home, config)


def _held(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "well", look())
    except (FederationError, OSError) as error:
        return _fault(name, error)


def _fault(name: str, error: FederationError | OSError) -> Check:
    if isinstance(error, FederationError):
        return Check(name, "fault", error.message, error.next_step)
    step = "check that it is a file or folder of this account, or restore it from a backup"
    return Check(name, "fault", f"what belongs to it cannot be read ({error.strerror})", step)


def _home(home: NodeHome) -> Check:
    mode = stat.S_IMODE(home.root.stat().st_mode)
    if not mode & 0o077:
        return Check("home", "well", "only its owner can look into it")
    found = f"{home.root.name} has mode {mode:04o}, only 0700 keeps its images from other accounts"
    return Check("home", "fault", found, f"chmod 700 {home.root.name}, and ask who could read it")


def _keys(home: NodeHome) -> str:
    SigningKey.load(home.signing_key)
    SigningKey.load(home.witness_key)
    load_transport_key(home.transport_key)
    load_pseudonym_key(home)
    return "all four are here, and only their owner can read them"


def _passphrase(home: NodeHome) -> Iterator[Check]:
    try:
        found = protection(home.keys)
    except (FederationError, OSError):
        return  # said with the keys
    match found:
        case "whole":
            yield Check("passphrase", "well", "the keys rest under a passphrase")
        case "partial":
            step = "finish what was begun: hospital-node keys lock"
            yield Check("passphrase", "fault", "some keys do not rest under the passphrase", step)
        case "none":
            step = "the disk must be encrypted; or: hospital-node keys lock"
            yield Check("passphrase", "note", "the keys rest without a passphrase", step)


def _policy(home: NodeHome) -> str:
    policy = load_policy(home)
    work = f"; work is limited: {policy.work.said}" if policy.work.said else ""
    approved = f"{len(policy.approvals)} plans are approved"
    return f"epsilon at most {policy.limit.epsilon:g}; {approved}{work}"


def _ledger(home: NodeHome) -> str:
    with Ledger(home.ledger) as ledger:
        return f"opens, and holds {len(ledger.entries())} charges"


def _journal(home: NodeHome, config: NodeConfig) -> str:
    keys = (SigningKey.load(home.signing_key).public, *former_keys(home.keys))
    head = verified(home.journal, origin=site_origin(config.site), key=keys)
    return f"{head.size} events match their signed head"


def _disk(home: NodeHome) -> Check:
    free = shutil.disk_usage(home.root).free
    found = f"{free / 2**30:.1f} GiB are free"
    if free >= LEAST_FREE_BYTES:
        return Check("disk", "well", found)
    return Check("disk", "fault", found, f"free {LEAST_FREE_BYTES / 2**30:.0f} GiB or more")


def _codecs() -> Iterator[Check]:
    names = [found for syntax in PREFERRED if (found := missing(syntax))]
    if not names:
        yield Check("codecs", "well", "every transfer syntax that is known here can be read")
    for name in names:
        step = "install the node's extra again: pip install 'consilium[node]'"
        yield Check("codecs", "fault", f"nothing here reads {name}", step)


def _connection(home: NodeHome, config: NodeConfig) -> Iterator[Check]:
    """Look at enrolment, proxy, name, TLS, clock and relay; a fault of the line ends it."""
    if config.aggregator is None or not home.admission.exists():
        step = "hospital-node enrol request, and install the answer; not needed on one machine"
        yield Check("enrolment", "note", "this hospital has not joined over a network", step)
        return
    try:
        reached = line(read_plain(home.admission), config.aggregator.fingerprint)
        yield _enrolment(home, config)
    except (FederationError, OSError) as error:
        yield _fault("enrolment", error)
        return
    host = reached.address.rpartition(":")[0]
    try:
        proxy = proxy_to(host)
    except FederationError as error:
        yield _fault("proxy", error)
        return
    yield Check("proxy", "well", f"{proxy} is used" if proxy else "none is used")
    if not proxy:
        name = _name(host)
        yield name
        if name.outcome == "fault":
            return
    for one in _called(reached, is_proxied=bool(proxy)):
        yield one
        if one.outcome == "fault":
            return
    yield _held("relay", lambda: _let_in(home, reached))


def _let_in(home: NodeHome, reached: Line) -> str:
    # Flower takes a second to load, and no check above needs it.
    from hospital_node.flower.question import refuse_unknown  # noqa: PLC0415

    refuse_unknown(reached, load_transport_key(home.transport_key))
    return "the aggregator lets this node in"


def _enrolment(home: NodeHome, config: NodeConfig) -> Check:
    membership, roster = membership_of(home)
    member = roster.member(config.site)
    key = SigningKey.load(home.signing_key).public
    if member is None or member.key != key:
        found = f"the roster of {membership.federation} does not name this node's key"
        return Check("enrolment", "fault", found, "ask the aggregator: aggregator roster list")
    if member.until is None:
        return Check("enrolment", "well", f"joined {membership.federation}; its key has no end")
    left = datetime.fromisoformat(member.until) - datetime.now(UTC)
    found = f"joined {membership.federation}; its key counts until {member.until[:10]}"
    if left > SOON:
        return Check("enrolment", "well", found)
    outcome: Outcome = "note" if left > timedelta(0) else "fault"
    return Check("enrolment", outcome, found, "replace it: hospital-node enrol rotate")


def _name(host: str) -> Check:
    try:
        count = len({one[4][0] for one in socket.getaddrinfo(host, None)})
    except OSError:
        step = "ask for a DNS entry, or a line in /etc/hosts; a proxy would resolve it itself"
        return Check("name", "fault", f"{host} has no address here", step)
    return Check("name", "well", f"{host} has {count} address{'es' if count > 1 else ''}")


def _called(reached: Line, *, is_proxied: bool) -> Iterator[Check]:
    """Call the port once: TLS and clock."""
    context = ssl.create_default_context(cadata=reached.authorities)
    try:
        with (
            httpx.Client(verify=context, timeout=PATIENCE_S) as client,
            client.stream("GET", f"https://{reached.address}/") as answer,
        ):
            pass  # the head of the answer is enough
    except httpx.ProxyError:
        step = "ask the network team to let HTTPS through to this address and port"
        yield Check("tls", "fault", "the proxy does not let the call through", step)
        return
    except httpx.ConnectError as error:
        yield _unreached(error, reached, is_proxied=is_proxied)
        return
    except httpx.HTTPError as error:
        step = "ask the aggregator whether it serves, and the network team what stands between"
        yield Check("tls", "fault", f"no answer ({type(error).__name__})", step)
        return
    yield Check("tls", "well", "the aggregator answers under its own authority")
    yield _clock(answer)


def _unreached(error: httpx.ConnectError, reached: Line, *, is_proxied: bool) -> Check:
    if is_distrusted(error):
        found = "the certificate shown is not vouched for by the federation's authority"
        step = "ask the network team whether TLS is opened on the way, to let this address through"
        return Check("tls", "fault", found, step)
    found = f"{'the proxy' if is_proxied else reached.address} takes no connection"
    step = "ask the network team for outbound HTTPS to it, and the aggregator whether it serves"
    return Check("tls", "fault", found, step)


def _clock(answer: httpx.Response) -> Check:
    try:
        there = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return Check("clock", "note", "the answer bears no time", "compare both clocks yourself")
    apart = (datetime.now(UTC) - there).total_seconds()
    if abs(apart) <= CLOCKS_APART_S:
        return Check("clock", "well", f"within {CLOCKS_APART_S:.0f} s of the aggregator's")
    side = "ahead of" if apart > 0 else "behind"
    found = f"{abs(apart):.0f} s {side} the aggregator's, {CLOCKS_APART_S:.0f} s are allowed"
    return Check("clock", "fault", found, "set the clock by NTP on both machines")
