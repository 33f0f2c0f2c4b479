"""The aggregator's TLS: an authority of its own and the certificate that it vouches for.

* Hospitals trust this authority and no other: its certificate stands in their signed admission.
* The certificate names the address that hospitals call; a federation that has a certificate of
  another authority hands it in instead.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from schemas.errors import HomeRefused, InputRefused
from schemas.files import read_private, write_durably
from schemas.names import Address, Name
from schemas.pages.certificates import certificate_rows
from schemas.pages.records import CertificateRow

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
"""The longest that common TLS libraries accept from a private authority."""

_CLOCKS_APART = timedelta(hours=1)


def make_tls(folder: Path, *, federation: Name, address: Address) -> None:
    """Write an authority, and a key and certificate for this address, into a new folder.

    authority.pem   what hospitals trust
    authority.key   signs certificates; mode 0600
    server.pem      the certificate that is shown
    server.key      its key; mode 0600
    """
    authority_key, server_key = (generate_private_key(SECP256R1()) for _ in range(2))
    name = f"{federation} authority"[:64]
    authority = _certificate(name, authority_key, issuer=name, signer=authority_key, host=None)
    host = address.rpartition(":")[0]
    server = _certificate(host[:64], server_key, issuer=name, signer=authority_key, host=host)
    for key, file in ((authority_key, "authority.key"), (server_key, "server.key")):
        content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_durably(folder / file, content, mode=0o600)
    write_durably(folder / "authority.pem", authority.public_bytes(Encoding.PEM))
    write_durably(folder / "server.pem", server.public_bytes(Encoding.PEM))


def shown_certificates(folder: Path) -> tuple[CertificateRow, ...]:
    """List the certificate that is shown and its authority; none: nobody calls over a network."""
    found = (folder / name for name in ("server.pem", "authority.pem"))
    return tuple(
        row for path in found if path.exists() for row in certificate_rows(path.read_bytes())
    )


def renew_tls(folder: Path, *, address: Address) -> datetime:
    """Put a new certificate of this home's own authority in place; return when it ends.

    Raises:
        HomeRefused: the authority's key is not here, as with a certificate that was handed in.
    """
    path = folder / "authority.key"
    if not path.exists():
        message = "renewal refused: the authority of this home's certificate is not its own"
        raise HomeRefused(message, next_step="hand the new one in: aggregator tls install")
    signer = load_pem_private_key(read_private(path), password=None)
    authority = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
    if not isinstance(signer, EllipticCurvePrivateKey):
        message = "key refused: authority.key holds no elliptic-curve key"
        raise HomeRefused(message, next_step="restore it from a backup")
    host, key = address.rpartition(":")[0], generate_private_key(SECP256R1())
    name = authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    server = _certificate(host[:64], key, issuer=str(name), signer=signer, host=host)
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    put(folder, server.public_bytes(Encoding.PEM), content)
    return server.not_valid_after_utc


def put(folder: Path, certificates: bytes, key: bytes) -> None:
    """Put a certificate, with those between it and its authority, and its key in place."""
    write_durably(folder / "server.key", key, mode=0o600)
    write_durably(folder / "server.pem", certificates)


def install_tls(folder: Path, *, certificates: bytes, key: bytes, authority: bytes) -> datetime:
    """Put a certificate of another authority in place; return when it ends.

    Raises:
        InputRefused: a file holds something else, or key and certificate do not belong together.
    """
    try:
        server = x509.load_pem_x509_certificates(certificates)[0]
        own = load_pem_private_key(key, password=None).public_key()
        x509.load_pem_x509_certificates(authority)
    except (ValueError, TypeError):
        message = "certificate refused: certificates and an unencrypted key in PEM are needed"
        raise InputRefused(message, next_step="convert them, and try again") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own.public_bytes(*form) != server.public_key().public_bytes(*form):
        message = "certificate refused: the key is not that of the first certificate"
        raise InputRefused(message, next_step="name the key that belongs to it")
    put(folder, certificates, key)
    write_durably(folder / "authority.pem", authority)
    (folder / "authority.key").unlink(missing_ok=True)
    return server.not_valid_after_utc


def ends(folder: Path) -> datetime:
    """Return when the certificate that is shown ends."""
    content = (folder / "server.pem").read_bytes()
    return x509.load_pem_x509_certificates(content)[0].not_valid_after_utc


def _certificate(
    subject: str,
    key: EllipticCurvePrivateKey,
    *,
    issuer: str,
    signer: EllipticCurvePrivateKey,
    host: str | None,
) -> x509.Certificate:
    """Make a certificate; without a host it is an authority's (RFC 5280, 4.2.1)."""
    begun = datetime.now(UTC) - _CLOCKS_APART
    days = AUTHORITY_DAYS if host is None else CERTIFICATE_DAYS
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + timedelta(days=days))
        .add_extension(
            x509.BasicConstraints(ca=host is None, path_length=0 if host is None else None),
            critical=True,
        )
        .add_extension(_usage(is_authority=host is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    if host is not None:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        made = made.add_extension(
            x509.SubjectAlternativeName([_general_name(host)]), critical=False
        ).add_extension(purpose, critical=False)
    return made.sign(signer, SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
