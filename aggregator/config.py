"""The aggregator's home directory: what stands where, and how it comes into being.

aggregator.toml  the federation's name, and the address that hospitals call; written once
keys/            root key (signs the roster) and service key (signs requests), mode 0600
root.pub         the root key's public half, for whatever only verifies
tls/             the authority that hospitals trust, and the certificate that it vouches for
roster.json      who has joined, signed by the root key
link/            the relay's state: nodes that are let in, messages on their way
checkpoints/     models by digest, and their registry
runs/            one folder for each run: plan, states, requests, spool
conformance/     the sites' conformance reports, by contract
heads/           the newest journal head that each site sent with a release
journal/         the audit log
door/            the relay's audit log: who was turned away at the public port
logs/            the sites' audit logs, as they sent them
witnesses/       the heads of the audit log that were shown, and who cosigned them
reports/         reports by run
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from aggregator.tls import make_tls
from schemas.base import Record
from schemas.enrolment import Roster
from schemas.errors import EnvelopeRefused, HomeRefused, InputRefused, InvalidRecord
from schemas.files import read_settings, write_durably
from schemas.names import Address, Name, PublicKey
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey, registered

_AGGREGATOR_TOML = """\
# The coordinating service of one federation. Its name stands in every message and report.
federation = "{federation}"
"""
_ADDRESS_TOML = """
# What hospitals call.
address = "{address}"
"""


class AggregatorConfig(Record):
    """The settings of an aggregator."""

    federation: Name
    address: Address | None = None
    """HOST:PORT that hospitals call; None: a federation on one machine."""


@dataclass(frozen=True, slots=True)
class AggregatorHome:
    """The paths of a home directory."""

    root: Path

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.root / "aggregator.toml"

    @property
    def keys(self) -> Path:
        """The private keys, and the public halves of former ones."""
        return self.root / "keys"

    @property
    def next_service_key(self) -> Path:
        """The service key that is about to replace the present one."""
        return self.root / "keys" / "service.next"

    @property
    def root_key(self) -> Path:
        """The key that signs the roster."""
        return self.root / "keys" / "root"

    @property
    def root_public(self) -> Path:
        """The root key's public half; the root key itself may be away."""
        return self.root / "root.pub"

    @property
    def service_key(self) -> Path:
        """The key that signs requests and the journal."""
        return self.root / "keys" / "service"

    @property
    def conformance(self) -> Path:
        """The sites' conformance reports."""
        return self.root / "conformance"

    @property
    def rotations(self) -> Path:
        """The sites' requests to replace their keys, as they were approved."""
        return self.root / "rotations"

    @property
    def roster(self) -> Path:
        """The signed roster."""
        return self.root / "roster.json"

    @property
    def tls(self) -> Path:
        """The certificates."""
        return self.root / "tls"

    @property
    def link(self) -> Path:
        """The relay's state."""
        return self.root / "link"

    @property
    def checkpoints(self) -> Path:
        """The models and their registry."""
        return self.root / "checkpoints"

    @property
    def runs(self) -> Path:
        """The runs."""
        return self.root / "runs"

    @property
    def heads(self) -> Path:
        """The newest journal head of each site."""
        return self.root / "heads"

    @property
    def journal(self) -> Path:
        """The audit log."""
        return self.root / "journal"

    @property
    def door(self) -> Path:
        """The relay's own audit log."""
        return self.root / "door"

    @property
    def logs(self) -> Path:
        """The sites' audit logs."""
        return self.root / "logs"

    @property
    def witnesses(self) -> Path:
        """The heads shown, with their cosignatures."""
        return self.root / "witnesses"

    @property
    def reports(self) -> Path:
        """The reports."""
        return self.root / "reports"


def settings(*, federation: str, address: str = "") -> AggregatorConfig:
    """Return the settings of a new aggregator.

    Raises:
        InputRefused: the name or the address does not fit.
    """
    try:
        return AggregatorConfig(federation=federation, address=address or None)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("address",):
            message = "address refused: a host name or IPv4 address and a port are allowed"
            next_step = "name what hospitals will call: --address federation.example.org:8443"
            raise InputRefused(message, next_step=next_step) from None
        message = "federation name refused: 1 to 127 letters, digits, '.', '-' and '_' are allowed"
        raise InputRefused(message, next_step="choose a shorter or plainer --name") from None


def write_keys(home: AggregatorHome, config: AggregatorConfig) -> SigningKey:
    """Write fresh keys, certificates and an empty roster into a home that is being made.

    Returns the service key.
    """
    root_key, service_key = SigningKey.generate(), SigningKey.generate()
    root_key.save(home.root_key)
    write_durably(home.root_public, f"{root_key.public}\n".encode())
    service_key.save(home.service_key)
    roster = Roster(
        federation=config.federation, serial=1, aggregator=service_key.public, members=()
    )
    write_durably(home.roster, signed(roster, root_key))
    if config.address is not None:
        make_tls(home.tls, federation=config.federation, address=config.address)
    return service_key


def write_config(home: AggregatorHome, config: AggregatorConfig) -> None:
    """Write the settings, without which a directory is no home."""
    text = _AGGREGATOR_TOML.format(federation=config.federation)
    if config.address is not None:
        text += _ADDRESS_TOML.format(address=config.address)
    write_durably(home.config, text.encode())


def load_config(home: AggregatorHome) -> AggregatorConfig:
    """Read the settings of an existing home.

    Raises:
        HomeRefused: not an aggregator's home, or its settings cannot be used.
    """
    try:
        return AggregatorConfig.from_toml(read_settings(home.config))
    except FileNotFoundError:
        message = f"home refused: {home.root.name} has no aggregator.toml"
        next_step = "make one: aggregator init --home DIR --name NAME"
        raise HomeRefused(message, next_step=next_step) from None
    except InvalidRecord as error:
        message = f"home refused: aggregator.toml cannot be used: {error.message}"
        raise HomeRefused(message, next_step="mend the named line of aggregator.toml") from None


def load_root(home: AggregatorHome) -> PublicKey:
    """Read the public half of the root key, under which the roster is verified.

    Raises:
        HomeRefused: missing, or no public key.
    """
    try:
        return registered(home.root_public.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError, EnvelopeRefused):
        message = "home refused: root.pub is missing or holds no public key"
        raise HomeRefused(message, next_step="restore it from a backup") from None


def load_root_key(home: AggregatorHome) -> SigningKey:
    """Read the root key, which may be away, for what only it can sign.

    Raises:
        HomeRefused: missing, readable by others, or not this federation's.
    """
    if not home.root_key.exists():
        message = "signing refused: keys/root is not here, only it can sign a roster"
        raise HomeRefused(message, next_step="bring it back for this command, and take it away")
    key = SigningKey.load(home.root_key)
    if key.public != load_root(home):
        message = "signing refused: keys/root is not the key whose public half is in root.pub"
        raise HomeRefused(message, next_step="bring back the root key of this federation")
    return key
