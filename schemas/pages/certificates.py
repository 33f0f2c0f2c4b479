"""Certificates as reports list them."""

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from schemas.names import moment_of
from schemas.pages.records import CertificateRow


def certificate_rows(content: bytes) -> tuple[CertificateRow, ...]:
    """List the certificates of a file in PEM (RFC 7468)."""
    return tuple(
        CertificateRow(
            subject=one.subject.rfc4514_string(),
            fingerprint=f"sha256:{one.fingerprint(SHA256()).hex()}",
            since=moment_of(one.not_valid_before_utc),
            until=moment_of(one.not_valid_after_utc),
        )
        for one in x509.load_pem_x509_certificates(content)
    )
