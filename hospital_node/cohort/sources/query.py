"""What an archive is asked for: the images of the labels table, and no others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hospital_node.cohort.labels import Label
from schemas.contract import DataContract
from schemas.errors import LabelsRefused

__all__ = ["Query"]

_PLAIN = re.compile(r"[^\x00-\x1f\\*?\x7f]{1,64}")
"""PatientID without what an archive reads as a pattern or several values (PS3.4 C.2.2.2)."""


@dataclass(frozen=True, slots=True)
class Query:
    """What the contract and the labels table ask for."""

    patients: tuple[str, ...] = field(repr=False)
    labelled: frozenset[str] = field(repr=False)
    modalities: tuple[str, ...]
    sop_classes: tuple[str, ...]

    @classmethod
    def of(cls, table: Mapping[str, Label], contract: DataContract) -> "Query":
        """Ask for the labelled images.

        Raises:
            LabelsRefused: a patient's identifier that an archive would read as a pattern.
        """
        patients = sorted({one.patient for one in table.values()})
        odd = sum(_PLAIN.fullmatch(one) is None for one in patients)
        if odd:
            message = (
                f"labels table refused: {odd} values of patient_id that an archive cannot be asked "
                "for; 1 to 64 characters without * ? \\ are allowed"
            )
            raise LabelsRefused(message, next_step="mend them, or ingest from a folder")
        return cls(
            tuple(patients),
            frozenset(table),
            contract.image.modalities,
            contract.image.sop_classes,
        )
