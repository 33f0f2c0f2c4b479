"""DICOMweb services that refuse, redirect, drip, lie, or show another certificate."""

import datetime as dt
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hospital_node.cohort.sources.dicomweb import DicomWebSource
from hospital_node.cohort.sources.query import Query
from hospital_node.cohort.sources.settings import DicomWeb
from hospital_node.cohort.sources.source import Fetched
from hospital_node.cohort.sources.spool import Spool
from schemas.errors import ArchiveRefused, HomeRefused, SourceEmpty
from tests.hospital_node.cohort.exports import ROOT_UID
from tests.hospital_node.cohort.sources.test_hostile_pacs import PATIENT, SOP_CLASS, picture

TOKEN = "invented.token-of-a-test"  # noqa: S105
COUNT = 3


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for the loopback address, and its key beside it."""

    chain: Path
    authority: Path


def certificate(folder: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "archive of a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "authority.pem").write_bytes(pem)
    (folder / "chain.pem").write_bytes(secret + pem)
    return Certificate(folder / "chain.pem", folder / "authority.pem")


def row(number: int, patient: str) -> dict[str, object]:
    values = {
        "00100020": patient,
        "0020000D": "1.2.3",
        "0020000E": "1.2.3.4",
        "00080060": "DX",
        "00080018": f"{ROOT_UID}{number}",
        "00080016": SOP_CLASS,
    }
    return {tag: {"vr": "LO", "Value": [value]} for tag, value in values.items()}


def content(number: int, patient: str = PATIENT) -> bytes:
    dataset, file = picture(number, patient), BytesIO()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def part(body: bytes) -> bytes:
    return b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + body + b"\r\n--edge--\r\n"


Reply = Callable[["Service"], None]


class Service(BaseHTTPRequestHandler):
    """A service that answers well, but for what `fault` does first."""

    fault: Reply | None = None
    listed_patient = PATIENT
    body: Callable[[int], bytes] = staticmethod(lambda number: part(content(number)))

    def do_GET(self) -> None:
        fault = type(self).fault
        if fault is not None:
            fault(self)
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply(401, b"who are you")
            return
        path, _, query = self.path.partition("?")
        if "offset=0" in query:
            count = COUNT if path.endswith("/instances") else 1
            rows = [row(number, self.listed_patient) for number in range(count)]
            self.reply(200, json.dumps(rows).encode(), "application/dicom+json")
        elif query:
            self.reply(200, b"[]", "application/dicom+json")
        else:
            number = int(path.rpartition(ROOT_UID)[2])
            self.reply(200, self.body(number), 'multipart/related; boundary="edge"')

    def reply(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def serving(shown: Certificate, **behaviour: object) -> Iterator[str]:
    kind = type("Faulty", (Service,), behaviour)
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        server.daemon_threads = True
        server.block_on_close = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}/dicom-web"
        finally:
            server.shutdown()


def fetched(
    folder: Path, *, token: str = TOKEN, trusted: Path | None = None, **behaviour: object
) -> Fetched:
    shown = certificate(folder / "shown")
    query = Query((PATIENT,), frozenset(f"{ROOT_UID}{n}" for n in range(3)), ("DX",), (SOP_CLASS,))
    with serving(shown, **behaviour) as url:
        settings = DicomWeb(
            url=url, authority=str(trusted or shown.authority), timeout_s=1.0, stall_s=2.0
        )
        source = DicomWebSource(settings, token.encode(), query)
        return source.fetched(Spool(folder / "spool"), progress=lambda _done, _all: None)


def refusal(folder: Path, **how: object) -> str:
    with pytest.raises((ArchiveRefused, SourceEmpty)) as refused:
        fetched(folder, **how)  # type: ignore[arg-type]
    said = f"{refused.value.message} {refused.value.next_step}"
    for secret in (PATIENT, ROOT_UID, TOKEN, "who are you", "1.2.3"):
        assert secret not in said
    assert not list((folder / "spool").glob("objects/*"))
    return said


def test_an_honest_service_with_tls_and_a_token_is_fetched_whole(tmp_path: Path) -> None:
    found = fetched(tmp_path)
    assert (found.asked, found.missing, found.unasked) == (3, 0, 0)
    assert len(list((tmp_path / "spool" / "objects").iterdir())) == 3


def test_another_certificate_is_refused_before_the_token_is_sent(tmp_path: Path) -> None:
    seen: list[str] = []
    other = certificate(tmp_path / "other").authority
    said = refusal(tmp_path, trusted=other, fault=lambda self: seen.append(self.path))
    assert "its certificate is of another name or authority" in said
    assert seen == []


def test_a_refused_token_is_said(tmp_path: Path) -> None:
    assert "it refuses this node's token (status 401)" in refusal(tmp_path, token="another")  # noqa: S106


def test_a_token_goes_nowhere_else(tmp_path: Path) -> None:
    def redirect(self: Service) -> None:
        self.send_response(302)
        self.send_header("Location", "https://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    assert "it sends this node elsewhere" in refusal(tmp_path, fault=redirect)


def drip(self: Service) -> None:
    self.send_response(200)
    self.send_header("Content-Type", "application/dicom+json")
    self.end_headers()
    for _ in range(40):
        time.sleep(0.2)
        try:
            self.wfile.write(b" ")
        except OSError:
            return


def silent(_self: Service) -> None:
    time.sleep(3)


def cut(self: Service) -> None:
    self.send_response(200)
    self.send_header("Content-Length", "1000")
    self.end_headers()
    self.wfile.write(b"[")
    self.close_connection = True


@pytest.mark.parametrize("fault", [drip, silent, cut])
def test_a_service_that_does_not_come_to_an_end_is_refused(tmp_path: Path, fault: Reply) -> None:
    assert "broke off or was too slow" in refusal(tmp_path, fault=fault)


def test_an_answer_that_is_no_json_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, fault=lambda self: self.reply(200, b"<html>", "text/html"))
    assert "an answer that is not DICOM JSON" in said


def test_another_patients_listing_is_not_asked_for(tmp_path: Path) -> None:
    assert "lists no labelled image" in refusal(tmp_path, listed_patient="ANOTHER")


BODIES: dict[str, Callable[[int], bytes]] = {
    "another patient": lambda number: part(content(number, "ANOTHER")),
    "another image": lambda _: part(content(77)),
    "no image": lambda _: part(b"MZ" * 100),
    "nothing": lambda _: part(b""),
}


@pytest.mark.parametrize("story", BODIES)
def test_what_is_not_what_was_asked_for_is_never_kept(tmp_path: Path, story: str) -> None:
    said = refusal(tmp_path, body=staticmethod(BODIES[story]))
    assert "3 of 3 objects that it lists did not come" in said


def test_a_part_without_its_end_is_refused(tmp_path: Path) -> None:
    whole = staticmethod(lambda number: part(content(number))[:-40])
    assert "broke off or was too slow" in refusal(tmp_path, body=whole)


@pytest.mark.parametrize("token", ["", "two words", "line\nline", "t\u00f6ken"])
def test_a_secret_that_is_no_token_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(HomeRefused, match="does not hold a token in printable ASCII"):
        fetched(tmp_path, token=token)
