"""Released models at a hospital: kept as they came, and put into use by a person.

* A release is signed by the joined federation's aggregator, and its arrays are the named ones; both
  are held again whenever a model is opened.
* A model that came is not in use: a named person installs it. One is in use at a time.
* A model is known by the digest of its arrays.
"""

from dataclasses import dataclass
from pathlib import Path

from hospital_node.config import NodeHome
from hospital_node.node import Node, membership_of
from schemas.audit.events import ModelInstalled, ModelReceived
from schemas.audit.lines import read_facts
from schemas.base import Record
from schemas.errors import ArraysRefused, CheckpointDamaged, EnvelopeRefused, InputRefused
from schemas.files import write_durably
from schemas.names import Digest, Moment, Text, digest_of
from schemas.release import ModelRelease, Receipt
from schemas.wire.arrays import Arrays, declared_layout, decoded
from schemas.wire.envelope import opened, signed
from schemas.wire.packet import Packet

_RELEASE, _ARRAYS, _INSTALLED = "release.json", "model.safetensors", "installed.json"


class Installed(Record):
    """One person's decision to use a model."""

    arrays: Digest
    approver: Text
    installed: Moment


@dataclass(frozen=True, slots=True)
class Delivered:
    """A released model as it stands here, verified."""

    release: ModelRelease
    packet: Packet

    @property
    def digest(self) -> Digest:
        """Name the model by its arrays."""
        return self.release.manifest.arrays

    @property
    def arrays(self) -> Arrays:
        """Read the arrays that were trained."""
        return decoded(self.packet.body, declared_layout(self.packet.body))


def received(node: Node, packet: Packet) -> Packet:
    """Verify a released model, keep it, and return a signed receipt.

    The same release again changes nothing and gets the same receipt.

    Raises:
        EnvelopeRefused: not signed by the aggregator of the joined federation, or other arrays than
        it names.
        ArraysRefused: the arrays are not finite float32 ones.
    """
    found = keep(node, packet)
    manifest = found.release.manifest
    receipt = Receipt(
        federation=found.release.federation,
        run=manifest.run,
        site=node.config.site,
        release=digest_of(packet.envelope),
        arrays=manifest.arrays,
    )
    return Packet(signed(receipt, node.key))


def keep(node: Node, packet: Packet) -> Delivered:
    """Verify a released model and keep it.

    Raises:
        EnvelopeRefused: as for `received`.
        ArraysRefused: as for `received`.
    """
    found = _verified(node.home, packet, stored=False)
    folder = _folder(node.home, found.digest)
    path = folder / _RELEASE
    is_kept = path.exists() and path.read_bytes() == packet.envelope
    if not (is_kept and _is_whole(folder, found.digest)):
        write_durably(folder / _ARRAYS, packet.body, mode=0o600)
        write_durably(path, packet.envelope, mode=0o600)
    manifest = found.release.manifest
    came = ModelReceived(
        run=manifest.run,
        round=manifest.round,
        arrays=manifest.arrays,
        release=digest_of(packet.envelope),
    )
    if came not in read_facts(node.home.journal, ModelReceived):
        node.journal.append(came)
    return found


def install(node: Node, model: Digest, *, approver: Text) -> Delivered:
    """Put a kept model into use, in a person's name.

    Raises:
        InputRefused: no such model here.
        CheckpointDamaged: it is not as it came.
    """
    found = opened_model(node.home, model)
    manifest = found.release.manifest
    node.journal.append(
        ModelInstalled(
            run=manifest.run, round=manifest.round, arrays=manifest.arrays, approver=approver
        )
    )
    decision = Installed(arrays=found.digest, approver=approver, installed=node.clock())
    write_durably(node.home.models / _INSTALLED, decision.canonical())
    return found


def installed(home: NodeHome) -> Installed | None:
    """Return which model is in use; None while none is."""
    path = home.models / _INSTALLED
    return Installed.from_canonical(path.read_bytes()) if path.exists() else None


def named(home: NodeHome, text: str) -> Digest:
    """Return the one kept model whose digest begins so; empty: the model in use.

    Raises:
        InputRefused: none or several do, or none is in use.
    """
    if not text:
        decision = installed(home)
        if decision is None:
            message = "model refused: none is in use here, and none was named"
            raise InputRefused(
                message, next_step="hospital-node model install MODEL --home DIR --approver NAME"
            )
        return decision.arrays
    wanted = text.removeprefix("sha256:")
    found = [one for one in models(home) if one.removeprefix("sha256:").startswith(wanted)]
    if len(found) != 1:
        message = (
            f"model refused: {len(found)} models here have a digest that begins so, one is needed"
        )
        raise InputRefused(message, next_step="see them: hospital-node model list --home DIR")
    return found[0]


def models(home: NodeHome) -> list[Digest]:
    """List the kept models by digest."""
    return sorted(f"sha256:{path.parent.name}" for path in home.models.glob(f"*/{_RELEASE}"))


def opened_model(home: NodeHome, model: Digest) -> Delivered:
    """Return a kept model, verified again.

    Raises:
        InputRefused: no such model here.
        CheckpointDamaged: it is not as it came.
    """
    folder = _folder(home, model)
    try:
        packet = Packet((folder / _RELEASE).read_bytes(), (folder / _ARRAYS).read_bytes())
    except FileNotFoundError:
        message = f"model refused: {model[:19]}… is not here"
        raise InputRefused(
            message, next_step="see what is: hospital-node model list --home DIR"
        ) from None
    try:
        found = _verified(home, packet, stored=True)
        if found.digest == model:
            return found
        reason = "it is another model than its name says"
    except (EnvelopeRefused, ArraysRefused) as error:
        reason = error.message
    message = f"model refused: {model[:19]}… is not as it was released ({reason})"
    raise CheckpointDamaged(
        message, next_step="install it again from a file, or let the aggregator deliver it again"
    )


def _verified(home: NodeHome, packet: Packet, *, stored: bool) -> Delivered:
    """Verify a release; one that is kept here may be of the time before a key was replaced."""
    membership, roster = membership_of(home)
    keys = roster.signers if stored else roster.aggregator
    found = opened(packet.envelope, ModelRelease, key=keys)
    if found.federation != membership.federation:
        raise _foreign("it is of another federation")
    if digest_of(packet.body) != found.manifest.arrays:
        raise _foreign("its arrays are not the named ones")
    decoded(packet.body, declared_layout(packet.body))
    return Delivered(found, packet)


def _is_whole(folder: Path, model: Digest) -> bool:
    path = folder / _ARRAYS
    return path.exists() and digest_of(path.read_bytes()) == model


def _folder(home: NodeHome, model: Digest) -> Path:
    return home.models / model.removeprefix("sha256:")


def _foreign(found: str) -> EnvelopeRefused:
    return EnvelopeRefused(
        f"release refused: {found}",
        next_step="ask the aggregator for a model of the federation that this hospital joined",
    )
