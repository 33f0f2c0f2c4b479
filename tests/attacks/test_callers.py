"""Whoever calls: under which address it counts, and what it can write at the aggregator."""

import logging
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from aggregator.caller import UNKNOWN, caller
from aggregator.config import AggregatorHome, load_config
from aggregator.door import Callers, Door, reason_of
from aggregator.federation import make
from aggregator.flower.link import link_factory
from aggregator.flower.serving import admit_always
from aggregator.log_limit import LINES, LONGEST, WINDOW_S, LogLimit
from aggregator.tls import make_tls
from schemas.audit.events import TurnedAway
from schemas.audit.lines import read_events
from schemas.enrolment import Roster
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey
from tests.attacks.ports import Port, member, serving, until
from tests.deployed import PATIENCE_S, free_port

EXAMPLE = Path(__file__).resolve().parents[2] / "deployment" / "nginx" / "consilium.conf"
LONG = b"a\x80\x85b" * 600


def test_no_header_says_under_which_address_a_call_counts(port: Port) -> None:
    for said in (b"10.9.8.7", LONG, b"10.9.8.7, 127.0.0.1"):
        headers = [(b"x-forwarded-for", said), (b"forwarded", b"for=10.9.8.7")]
        assert port.client.get("/", headers=headers).status_code == 404
    assert port.door.callers == {"no-such-endpoint": {"127.0.0.1": None}}


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ([], "127.0.0.1"),
        ([b"10.9.8.7"], "10.9.8.7"),
        ([b" 10.9.8.7 "], "10.9.8.7"),
        ([b"2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        ([b"::ffff:10.9.8.7"], "10.9.8.7"),
        ([b"10.9.8.7, 10.1.1.1"], "127.0.0.1"),
        ([b"10.9.8.7", b"10.1.1.1"], "127.0.0.1"),
        ([b"10.9.8.7:80"], "127.0.0.1"),
        ([b"unknown"], "127.0.0.1"),
        ([b""], "127.0.0.1"),
        ([LONG], "127.0.0.1"),
    ],
)
def test_a_named_proxy_is_believed_when_it_says_one_plain_address(
    said: list[bytes], counted: str
) -> None:
    headers = [(b"x-forwarded-for", one) for one in said]
    scope = {"client": ("127.0.0.1", 5), "headers": headers}
    assert caller(scope, proxy="127.0.0.1") == counted
    assert caller(scope, proxy=None) == "127.0.0.1"
    assert caller(scope | {"client": ("10.0.0.3", 5)}, proxy="127.0.0.1") == "10.0.0.3"


def test_what_is_no_address_is_recorded_as_unknown(tmp_path: Path) -> None:
    door = Door()
    for said in ("", "x" * 5000, "\x85\n", "10.0.0.256", "fe80::1%" + "e" * 5000):
        door.answered(404, said)
    make(tmp_path / "home", federation="t")
    home = AggregatorHome(tmp_path / "home")
    door.write(home, load_config(home))
    [event] = read_events(home.door)
    assert event.facts == TurnedAway(what="call", reason="no-such-endpoint", count=5)
    [private] = (home.door / "private").iterdir()
    assert Callers.from_canonical(private.read_bytes()[32:]).addresses == (UNKNOWN, "fe80::/64")


def test_every_status_that_flower_refuses_with_has_a_reason(port: Port) -> None:
    statuses = {one.http_status_code for one in API_ERROR_MAP.values()}
    assert {one for one in statuses if reason_of(one) is None} == {503}
    for kind in ("text/plain", "x" * 5000):
        answer = port.client.post("/v1/fleet/pull-messages", headers={"content-type": kind})
        assert answer.status_code == 415
    assert port.door.counts == {"malformed": 2}


def test_a_stranger_cannot_fill_the_log(port: Port) -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    kept = Kept()
    kept.addFilter(LogLimit())
    logging.getLogger().addHandler(kept)
    try:
        for _ in range(5 * LINES):
            headers = {"content-type": "x" * 5000}
            port.client.post("/v1/fleet/pull-messages", headers=headers)
    finally:
        logging.getLogger().removeHandler(kept)
    assert len(lines) == LINES
    assert max(len(one) for one in lines) <= LONGEST
    assert not logging.getLogger("flwr").handlers
    assert port.door.counts == {"malformed": 5 * LINES}


def test_what_was_left_out_of_the_log_is_said_and_other_parts_are_heard() -> None:
    now = 0.0
    limit = LogLimit(clock=lambda: now)

    def said(name: str, words: str) -> str | None:
        record = logging.LogRecord(name, logging.ERROR, "", 0, words, None, None)
        return record.getMessage() if limit.filter(record) else None

    assert [said("flood", "a\nb\x1b") for _ in range(3 * LINES)] == ["a?b?"] * LINES + [None] * (
        2 * LINES
    )
    assert said("admission", "c") == "c"
    now = WINDOW_S
    assert said("flood", "d") == f"d ({2 * LINES} lines were left out before)"
    assert said("flood", "e") == "e"


def test_the_admission_of_nodes_goes_on_whatever_the_door_holds(tmp_path: Path) -> None:
    make(tmp_path / "home", federation="t")
    home, door, over = AggregatorHome(tmp_path / "home"), Door(), threading.Event()
    factory = link_factory(home.link)
    door.counts["no reason that a journal could hold\n" * 100] = 1
    door.callers.update({one: {} for one in door.counts})
    thread = threading.Thread(target=admit_always, args=(factory, home, door, over), daemon=True)
    thread.start()
    try:
        until(lambda: not door.counts)
        north = generate_private_key(SECP384R1())
        service, root = SigningKey.load(home.service_key).public, SigningKey.load(home.root_key)
        members = (member("north", north),)
        roster = Roster(federation="t", serial=2, aggregator=service, members=members)
        home.roster.write_bytes(signed(roster, root))
        key, state = public_key_to_bytes(north.public_key()), factory.state()
        until(lambda: state.get_node_id_by_public_key(key) is not None)
        assert thread.is_alive()
    finally:
        over.set()
        thread.join(PATIENCE_S)


def test_behind_the_example_of_a_proxy_a_call_counts_under_its_own_address(tmp_path: Path) -> None:
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not here")
    make_tls(tmp_path, federation="t", address="federation.example.org:8443")
    tls = (tmp_path / "server.pem", tmp_path / "server.key")
    with (
        serving(tmp_path, proxy="127.0.0.1", tls=tls) as port,
        proxied(nginx, tmp_path, port.number) as front,
        httpx.Client(
            base_url=f"https://127.0.0.1:{front}",
            transport=httpx.HTTPTransport(verify=False, local_address="127.0.0.9"),
        ) as client,
    ):
        for said in (b"10.9.8.7", LONG):
            answer = client.post("/v1/fleet/pull-messages", headers=[(b"x-forwarded-for", said)])
            assert answer.status_code == 415
        assert client.get("/v1/fleet/pull-messages").status_code == 403
        assert client.post("/v1/control/start-run").status_code == 404
        assert port.door.callers == {"malformed": {"127.0.0.9": None}}
        assert port.door.counts == {"malformed": 2}


@contextmanager
def proxied(nginx: str, folder: Path, behind: int) -> Iterator[int]:
    """Run the example before a port; lend the port that it listens on."""
    front, text = free_port(), EXAMPLE.read_text()
    for before, after in (
        ("/etc/consilium/", f"{folder}/"),
        ("listen 8443 ssl", f"listen 127.0.0.1:{front} ssl"),
        ("https://127.0.0.1:9443", f"https://127.0.0.1:{behind}"),
    ):
        assert before in text
        text = text.replace(before, after)
    paths = "".join(
        f"{one}_temp_path {folder}/{one};\n"
        for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    around = f"daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\nhttp {{\n"
    (folder / "nginx.conf").write_text(f"{around}access_log off;\n{paths}{text}}}\n")
    words = [nginx, "-e", str(folder / "errors"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(words)  # noqa: S603 - every word is of this test
    try:
        until((folder / "pid").exists)
        yield front
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
