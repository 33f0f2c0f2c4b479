"""The aggregator's home directory: what stands where, and how it comes into being.

aggregator.toml  the federation's name; written once
keys/            root key (signs the roster) and service key (signs requests), mode 0600
roster.json      who has joined, signed by the root key
checkpoints/     models by digest, and their registry
runs/            one folder for each run: plan, states, requests, spool
heads/           the newest journal head that each site sent with a release
journal/         the audit log
reports/         reports by run
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schemas.base import Record
from schemas.enrolment import Roster
from schemas.errors import HomeRefused, InputRefused
from schemas.files import write_durably
from schemas.names import Name
from schemas.wire.envelope import signed
from schemas.wire.keys import SigningKey

_AGGREGATOR_TOML = """\
# The coordinating service of one federation. Its name stands in every message and report.
federation = "{federation}"
"""


class AggregatorConfig(Record):
    """The settings of an aggregator."""

    federation: Name


@dataclass(frozen=True, slots=True)
class AggregatorHome:
    """The paths of a home directory."""

    root: Path

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.root / "aggregator.toml"

    @property
    def root_key(self) -> Path:
        """The key that signs the roster."""
        return self.root / "keys" / "root"

    @property
    def service_key(self) -> Path:
        """The key that signs requests and the journal."""
        return self.root / "keys" / "service"

    @property
    def roster(self) -> Path:
        """The signed roster."""
        return self.root / "roster.json"

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
    def reports(self) -> Path:
        """The reports."""
        return self.root / "reports"


def settings(*, federation: str) -> AggregatorConfig:
    """Return the settings of a new aggregator.

    Raises:
        InputRefused: the name does not fit.
    """
    try:
        return AggregatorConfig(federation=federation)
    except ValidationError:
        message = "federation name refused: 1 to 127 letters, digits, '.', '-' and '_' are allowed"
        raise InputRefused(message, next_step="choose a shorter or plainer --name") from None


def write_keys(home: AggregatorHome, config: AggregatorConfig) -> SigningKey:
    """Write fresh keys and an empty roster into a home that is being made.

    Returns the service key.
    """
    root_key, service_key = SigningKey.generate(), SigningKey.generate()
    root_key.save(home.root_key)
    service_key.save(home.service_key)
    roster = Roster(
        federation=config.federation, serial=1, aggregator=service_key.public, members=()
    )
    write_durably(home.roster, signed(roster, root_key))
    return service_key


def write_config(home: AggregatorHome, config: AggregatorConfig) -> None:
    """Write the settings, without which a directory is no home."""
    write_durably(home.config, _AGGREGATOR_TOML.format(federation=config.federation).encode())


def load_config(home: AggregatorHome) -> AggregatorConfig:
    """Read the settings of an existing home.

    Raises:
        HomeRefused: not an aggregator's home.
    """
    try:
        return AggregatorConfig.from_toml(home.config.read_text(encoding="utf-8"))
    except OSError:
        message = f"home refused: {home.root.name} has no aggregator.toml that can be read"
        next_step = "make one: aggregator init --home DIR --name NAME"
        raise HomeRefused(message, next_step=next_step) from None
