"""A hospital's home directory: what stands where, and how it comes into being.

node.toml        site name, the aggregator that a person named, and where the hospital's archive is
policy.toml      what this hospital allows
keys/            signing, witness, transport and pseudonym keys, the archive's token; mode 0600,
                 under a passphrase if there is a file lock
membership.json  the federation that this hospital joined, by its root key
admission.json   how to reach its aggregator, signed by that key
plans/           approved plans, by digest
frozen/          the arrays that plans do not train, by digest
cohort/          images and manifests
conformance/     every conformance report that left
spool/           what was fetched from an archive and is not ingested yet
ledger.sqlite    the privacy account
journal/         the audit log
replies/         every reply that left, by request
personal/        this site's own models, by run and plan
variates/        this site's control variates in scaffold, by run and plan
sums/            secrets and values of sums that are not opened yet, by run and plan
models/          released models, and which one is in use
reports/         this hospital's own report
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hospital_node.cohort.sources.settings import DicomWeb, Pacs
from schemas.base import Record
from schemas.errors import HomeRefused, InputRefused, InvalidRecord
from schemas.files import read_settings, write_durably
from schemas.names import Address, Digest, Name, PublicKey, SiteName
from schemas.wire.key_files import lock_keys, read_key, write_key
from schemas.wire.keys import SigningKey
from schemas.wire.transport import generate_transport_key

_PLAN_DIGITS = 16
_PSEUDONYM_KEY_BYTES = 32
_NODE_TOML = """# This hospital's node. The site name stands in every message and report.
site = "{site}"
"""
_AGGREGATOR_TOML = """
# Whom this node calls, and the fingerprint of the federation's root key, told by another way.
[aggregator]
address = "{address}"
fingerprint = "{fingerprint}"
"""


class AggregatorAt(Record):
    """The aggregator that a person here named."""

    address: Address
    fingerprint: Digest
    """Of the federation's root key."""


class NodeConfig(Record):
    """The settings of a node."""

    site: SiteName
    aggregator: AggregatorAt | None = None
    """None: a federation on one machine, whose homes belong to one person."""
    pacs: Pacs | None = None
    """The hospital's archive, by C-FIND and C-MOVE."""
    dicomweb: DicomWeb | None = None
    """The hospital's archive, by DICOMweb."""


class Membership(Record):
    """The federation that a hospital joined: its root key, given out of band, and signed roster."""

    federation: Name
    root: PublicKey
    roster: str
    """The roster's envelope, as the root key signed it."""


def run_folder(run: Name, plan: Digest) -> str:
    """Name what a run keeps here; another plan under its name gets a folder of its own."""
    return f"{run}.{plan.removeprefix('sha256:')[:_PLAN_DIGITS]}"


@dataclass(frozen=True, slots=True)
class NodeHome:
    """The paths of a home directory."""

    root: Path

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.root / "node.toml"

    @property
    def policy(self) -> Path:
        """The policy file."""
        return self.root / "policy.toml"

    @property
    def keys(self) -> Path:
        """The private keys, and the public halves of former ones."""
        return self.root / "keys"

    @property
    def next_keys(self) -> Path:
        """The keys that are about to replace the present ones."""
        return self.root / "keys" / "next"

    @property
    def signing_key(self) -> Path:
        """The key that signs replies and the journal."""
        return self.root / "keys" / "signing"

    @property
    def transport_key(self) -> Path:
        """The key by which the relay lets this node in."""
        return self.root / "keys" / "transport"

    @property
    def witness_key(self) -> Path:
        """The key that cosigns the aggregator's log."""
        return self.root / "keys" / "witness"

    @property
    def pseudonym_key(self) -> Path:
        """The key under which patients are renamed and split."""
        return self.root / "keys" / "pseudonym"

    @property
    def membership(self) -> Path:
        """The federation joined."""
        return self.root / "membership.json"

    @property
    def admission(self) -> Path:
        """How to reach the aggregator."""
        return self.root / "admission.json"

    @property
    def plans(self) -> Path:
        """The approved plans."""
        return self.root / "plans"

    @property
    def frozen(self) -> Path:
        """The frozen arrays of approved plans."""
        return self.root / "frozen"

    @property
    def cohort(self) -> Path:
        """The cohort store."""
        return self.root / "cohort"

    @property
    def spool(self) -> Path:
        """What was fetched and is not ingested yet."""
        return self.root / "spool"

    @property
    def conformance(self) -> Path:
        """The conformance reports that left."""
        return self.root / "conformance"

    @property
    def web_secret(self) -> Path:
        """The token, or name and password, for DICOMweb."""
        return self.root / "keys" / "dicomweb"

    @property
    def ledger(self) -> Path:
        """The privacy ledger."""
        return self.root / "ledger.sqlite"

    @property
    def journal(self) -> Path:
        """The audit log."""
        return self.root / "journal"

    @property
    def replies(self) -> Path:
        """The replies that left."""
        return self.root / "replies"

    @property
    def reports(self) -> Path:
        """This hospital's own report."""
        return self.root / "reports"

    @property
    def personal(self) -> Path:
        """This site's own models."""
        return self.root / "personal"

    @property
    def variates(self) -> Path:
        """This site's control variates."""
        return self.root / "variates"

    @property
    def sums(self) -> Path:
        """What this site holds of sums that are not opened yet."""
        return self.root / "sums"

    @property
    def models(self) -> Path:
        """The released models."""
        return self.root / "models"


def settings(*, site: str, address: str = "", fingerprint: str = "") -> NodeConfig:
    """Return the settings of a new node.

    Raises:
        InputRefused: the site name does not fit, or the aggregator is not named in full.
    """
    if address or fingerprint:
        try:
            at = AggregatorAt(address=address.removeprefix("https://"), fingerprint=fingerprint)
        except ValidationError:
            message = (
                "aggregator refused: HOST:PORT and the fingerprint sha256:… of its root key "
                "are needed, both"
            )
            next_step = "ask the aggregator for both; it printed them at its init"
            raise InputRefused(message, next_step=next_step) from None
    else:
        at = None
    try:
        return NodeConfig(site=site, aggregator=at)
    except ValidationError:
        message = "site name refused: 1 to 63 letters, digits, - and _ are allowed"
        raise InputRefused(message, next_step="choose a shorter or plainer --site") from None


def write_keys(home: NodeHome, *, is_locked: bool = False) -> SigningKey:
    """Write fresh keys into a home that is being made, and return the signing key.

    `is_locked`: none of them touches the disk but under a passphrase.
    """
    if is_locked:
        lock_keys(home.keys)
    key = SigningKey.generate()
    key.save(home.signing_key)
    generate_transport_key(home.transport_key)
    SigningKey.generate().save(home.witness_key)
    write_key(home.pseudonym_key, secrets.token_bytes(_PSEUDONYM_KEY_BYTES))
    return key


def write_config(home: NodeHome, config: NodeConfig) -> None:
    """Write the settings, without which a directory is no home."""
    text = _NODE_TOML.format(site=config.site)
    if config.aggregator is not None:
        text += _AGGREGATOR_TOML.format(**config.aggregator.model_dump())
    write_durably(home.config, text.encode())


def load_config(home: NodeHome) -> NodeConfig:
    """Read the settings of an existing home.

    Raises:
        HomeRefused: not a node's home, or its settings cannot be used.
    """
    try:
        return NodeConfig.from_toml(read_settings(home.config))
    except FileNotFoundError:
        message = f"home refused: {home.root.name} has no node.toml"
        next_step = "make one: hospital-node init --home DIR --site NAME"
        raise HomeRefused(message, next_step=next_step) from None
    except InvalidRecord as error:
        message = f"home refused: node.toml cannot be used: {error.message}"
        raise HomeRefused(message, next_step="mend the named line of node.toml") from None


def load_pseudonym_key(home: NodeHome) -> bytes:
    """Read the key under which patients are renamed.

    Raises:
        HomeRefused: missing, readable by others, or not 32 bytes.
    """
    key = read_key(home.pseudonym_key)
    if len(key) != _PSEUDONYM_KEY_BYTES:
        message = (
            f"key refused: pseudonym has {len(key)} bytes, only {_PSEUDONYM_KEY_BYTES} are allowed"
        )
        raise HomeRefused(message, next_step="restore it from a backup")
    return key


def load_web_secret(home: NodeHome) -> bytes:
    """Read the token, or name and password, for DICOMweb.

    Raises:
        HomeRefused: missing, or readable by others.
    """
    return read_key(home.web_secret)
