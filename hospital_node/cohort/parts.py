"""Which part each patient belongs to, for good: train and validation never share a patient.

* The ledger prices the two parts side by side; that holds only while no patient was ever in both,
  over all contracts, labels tables and re-ingests of this home.
* A patient's part is written down before the first cohort that uses it, and never changed. A
  cohort that would move a patient is refused.
* Under another pseudonym key the same patients would be new ones, in other parts: the register is
  bound to its key.
* The register holds keyed pseudonyms and parts, and a digest of the key, nothing else. It stays
  when a patient is withdrawn, since what was released stays charged.
"""

import hmac
from pathlib import Path

from schemas.base import Record
from schemas.errors import CohortChanged, HomeRefused, InvalidRecord, NotConforming
from schemas.files import write_durably
from schemas.manifest import DatasetManifest, Part, Pseudonym
from schemas.names import Digest, digest_of

_FILE = ".parts.json"
"""After the store's own name, beside it: it outlives the cohorts."""


class PartsRegister(Record):
    """Every patient that a cohort of this home ever held, by part."""

    key: Digest
    """Of a keyed hash, which tells nothing of the key."""
    train: tuple[Pseudonym, ...] = ()
    validation: tuple[Pseudonym, ...] = ()


def settle_parts(store: Path, manifest: DatasetManifest, *, key: bytes) -> None:
    """Write down the parts of a cohort's patients; on disk when it returns.

    Raises:
        NotConforming: a patient was in the other part before.
        CohortChanged: the register cannot be read.
        HomeRefused: the register was made under another pseudonym key.
    """
    known = _known(store, _named(key))
    wanted: dict[Pseudonym, Part] = {row.patient: row.part for row in manifest.rows}
    moved = sum(known.get(patient, part) != part for patient, part in wanted.items())
    if moved:
        message = (
            f"cohort refused: {moved} patients would change between train and validation, "
            "each patient keeps its part for good"
        )
        next_step = "split as this home's first cohort did: the same rule, fraction or column"
        raise NotConforming(message, next_step=next_step)
    if wanted.keys() <= known.keys():
        return
    together = known | wanted
    register = PartsRegister(
        key=_named(key),
        train=tuple(sorted(one for one, part in together.items() if part == "train")),
        validation=tuple(sorted(one for one, part in together.items() if part == "validation")),
    )
    write_durably(_path(store), register.canonical(), mode=0o600)


def is_begun(store: Path) -> bool:
    """Say whether the register is there: a home has one since its first cohort."""
    return _path(store).exists()


def _path(store: Path) -> Path:
    return store.with_name(store.name + _FILE)


def _named(key: bytes) -> Digest:
    return digest_of(hmac.digest(key, b"consilium register of parts", "sha256"))


def _known(store: Path, key: Digest) -> dict[Pseudonym, Part]:
    path = _path(store)
    if not path.exists():
        return {}
    try:
        register = PartsRegister.from_canonical(path.read_bytes())
    except InvalidRecord:
        message = "cohort refused: found a register of parts that is damaged"
        raise CohortChanged(message, next_step="restore it from a backup") from None
    if register.key != key:
        message = (
            "key refused: keys/pseudonym is another one than the register of parts was made under; "
            "its patients would count as new ones, in other parts"
        )
        raise HomeRefused(message, next_step="restore keys/pseudonym from its backup")
    parts: dict[Pseudonym, Part] = dict.fromkeys(register.train, "train")
    return parts | dict.fromkeys(register.validation, "validation")
