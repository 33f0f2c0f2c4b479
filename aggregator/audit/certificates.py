"""The TLS certificates that the nodes are shown, as a report lists them."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from aggregator.audit.records import CertificateRow
from schemas.names import moment_of

_FILES = ("server.pem", "authority.pem")


def certificates(folder: Path) -> tuple[CertificateRow, ...]:
    """List the certificate that is shown and the authority; none: no node calls over a network."""
    found = (folder / name for name in _FILES)
    return tuple(_row(path.read_bytes()) for path in found if path.exists())


def _row(content: bytes) -> CertificateRow:
    certificate = x509.load_pem_x509_certificate(content)
    return CertificateRow(
        subject=certificate.subject.rfc4514_string(),
        fingerprint=f"sha256:{certificate.fingerprint(SHA256()).hex()}",
        since=moment_of(certificate.not_valid_before_utc),
        until=moment_of(certificate.not_valid_after_utc),
    )
