"""The aggregator's public port, served in this process as `aggregator serve` serves it."""

import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from aggregator.door import Door
from aggregator.flower.link import admit, link_factory
from aggregator.flower.superlink import fleet
from aggregator.lines import FIRST_S, NEXT_S, Lines, entrances
from aggregator.web import server
from schemas.enrolment import Member, Roster
from schemas.wire.keys import SigningKey
from schemas.wire.transport import named
from tests.deployed import PATIENCE_S, free_port

NOW = "2026-11-20T09:08:07.006Z"
MOST, EACH = 60, 20
"""Lines: fewer than of the command, so that they are soon used up."""


def member(site: str, key: EllipticCurvePrivateKey, *, until: str | None = None) -> Member:
    """Make a member whose node calls with this key."""
    return Member(
        site=site,
        key=SigningKey.generate().public,
        witness=SigningKey.generate().public,
        since=NOW,
        until=until,
        transport=named(key.public_key()),
    )


@dataclass(frozen=True, slots=True)
class Port:
    """The public application, and the keys of two sites that are let in."""

    folder: Path
    client: httpx.Client
    keys: dict[str, EllipticCurvePrivateKey]
    door: Door
    number: int
    lines: Lines

    def admitted(self, *sites: str, until: str | None = None) -> None:
        """Let in exactly these sites."""
        members = tuple(member(site, self.keys[site], until=until) for site in sites)
        service = SigningKey.generate().public
        roster = Roster(federation="t", serial=1, aggregator=service, members=members)
        admit(link_factory(self.folder).state(), roster, at=NOW)

    @contextmanager
    def line(self, site: str) -> Iterator[FleetHttpClient]:
        """Lend the calls of a node."""
        key = self.keys[site]
        signer = NodeAuthHttpInterceptor(key, key.public_key())
        with closing(FleetHttpClient(str(self.client.base_url), interceptors=[signer])) as made:
            yield made

    def signature(self, site: str) -> dict[str, str]:
        """Sign a call of this moment, as a node does, whatever its body."""
        key = self.keys[site]
        at = now().isoformat()
        return {
            FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public_key_to_bytes(key.public_key())).decode(),
            TIMESTAMP_HEADER: at,
            FLEET_HTTP_SIGNATURE_HEADER: b64encode(sign_message(key, at.encode())).decode(),
        }

    def activated(self, site: str) -> Node:
        key = public_key_to_bytes(self.keys[site].public_key())
        request = ActivateNodeRequest(public_key=key, heartbeat_interval=10)
        with self.line(site) as line:
            return Node(node_id=line.ActivateNode(request).node_id)


def until(happened: Callable[[], bool]) -> None:
    """Wait until something has happened, for a bounded time."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def serving(
    folder: Path,
    *,
    proxy: str | None = None,
    tls: tuple[Path, Path] | None = None,
    first_s: float = FIRST_S,
    next_s: float = NEXT_S,
) -> Iterator[Port]:
    """Serve the application as the command does; the client of a port with TLS is the caller's."""
    link, door, number = folder / "link", Door(), free_port()
    app = fleet(link_factory(link), door, proxy=proxy)
    listen = f"127.0.0.1:{number}"
    told = door.turned_away
    lines = Lines(MOST, EACH, told=told, proxy=proxy, first_s=first_s, next_s=next_s)
    made = server(app, tls=tls, lines=lines)
    thread = threading.Thread(target=made.run, args=(entrances(listen, lines),), daemon=True)
    thread.start()
    try:
        until(lambda: made.started or not thread.is_alive())
        assert made.started
        with httpx.Client(base_url=f"http://{listen}", timeout=60) as client:
            yield Port(link, client, {}, door, number, lines)
    finally:
        made.should_exit = True
        thread.join(PATIENCE_S)


def fresh(served: Port) -> Port:
    """Return a port that has turned nobody away, with two sites let in and new keys for them."""
    keys = {site: generate_private_key(SECP384R1()) for site in ("north", "south", "stranger")}
    found = replace(served, keys=keys)
    found.door.counts.clear()
    found.door.callers.clear()
    found.admitted("north", "south")
    return found
