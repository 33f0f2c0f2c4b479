"""A server that shows a certificate of its own making under the aggregator's address."""

import ssl
from contextlib import closing
from itertools import count
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from flwr.supernode.fleet_http_client import FleetHttpClient

from aggregator.config import AggregatorHome
from aggregator.tls import make_tls
from hospital_node.distrust import PAUSE_S, Distrust
from hospital_node.flower.client import fleet_client
from hospital_node.node import make, opened
from schemas.audit.events import Facts, TurnedAway
from schemas.audit.lines import read_facts
from tests.hospital_node.test_doctor import found, served


def noted(home: Path) -> list[Facts]:
    return list(read_facts(home / "journal", TurnedAway))


def test_a_server_that_another_authority_vouches_for_hears_nothing_and_is_noted(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as one:
        home = AggregatorHome(one.study.aggregator)
        make_tls(home.tls, federation="t", address=f"127.0.0.1:{one.port}")
        one.kill("serve")
        one.serve()
        one.node("north")
        one.until_said("north", "asked again in 0.8 s: the federation's authority does not vouch")
        assert "connected" not in one.log("north")
    assert not home.door.exists()  # no call came far enough to be turned away
    assert noted(one.study.nodes["north"]) == [
        TurnedAway(what="server", reason="certificate-refused", count=1)
    ]


def test_no_authority_that_this_machine_trusts_besides_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of a firewall that opens TLS, which a hospital installs on every machine."""
    with served(tmp_path) as one:
        own = (one.study.aggregator / "tls" / "authority.pem").read_bytes()
        home = AggregatorHome(one.study.aggregator)
        make_tls(home.tls, federation="firewall", address=f"127.0.0.1:{one.port}")
        one.kill("serve")
        one.serve()
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(home.tls / "authority.pem"))
        one.node("north")
        one.until_said("north", "asked again in 0.8 s: the federation's authority does not vouch")
        assert "connected" not in one.log("north")
        assert found(one.study.nodes["north"])["tls"].outcome == "fault"
    client = fleet_client(
        "127.0.0.1:9", authorities=own.decode(), key=generate_private_key(SECP384R1())
    )
    with closing(client):
        [trusted] = trust_of(client).get_ca_certs(binary_form=True)
    assert trusted == load_pem_x509_certificate(own).public_bytes(Encoding.DER)


def trust_of(client: FleetHttpClient) -> ssl.SSLContext:
    """Return what a client's lines hold a server against; it is nowhere in the open."""
    transport = client._client._transport  # noqa: SLF001 - Flower and httpx show it nowhere
    assert isinstance(transport, httpx.HTTPTransport)
    context = transport._pool._ssl_context  # noqa: SLF001 - as above
    assert isinstance(context, ssl.SSLContext)
    return context


def test_a_hostile_network_cannot_fill_the_journal(tmp_path: Path) -> None:
    home, seconds = tmp_path / "north", count()
    make(home, site="north")
    distrust = Distrust(home, clock=lambda: float(next(seconds)))
    for _ in range(int(2 * PAUSE_S) + 1):
        distrust.noted()
    assert [one.count for one in noted(home) if isinstance(one, TurnedAway)] == [
        1,
        int(PAUSE_S),
        int(PAUSE_S),
    ]


def test_a_home_that_a_command_owns_is_written_to_later(tmp_path: Path) -> None:
    home = tmp_path / "north"
    make(home, site="north")
    distrust = Distrust(home)
    with opened(home):
        distrust.noted()
    distrust.noted()
    assert noted(home) == [TurnedAway(what="server", reason="certificate-refused", count=2)]
