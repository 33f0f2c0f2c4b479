"""Identity planted wherever a DICOM file, its name or its label has room for it."""

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from tests.attacks.planted_streams import renamed_syntax, spread
from tests.hospital_node.cohort.exports import image, pixels, write, write_labels

PATIENTS = 12
DATE = "17510228"


@dataclass(slots=True)
class Planted:
    """Every marker by the MIDI-B action that must have become of it."""

    markers: defaultdict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    numbers: Iterator[int] = field(default_factory=lambda: count(1000))

    def text(self) -> str:
        return self._noted("text_removed", f"QXWZ{next(self.numbers)}VKJY")

    def date(self) -> str:
        return self._noted("date_shifted", DATE)

    def moment(self) -> str:
        return self._noted("date_shifted", f"{DATE}031415.{next(self.numbers)}")

    def time(self) -> str:
        return self._noted("date_shifted", f"031415.{next(self.numbers):06d}")

    def uid(self) -> str:
        return self._noted("uid_changed", f"1.2.271828.{next(self.numbers)}.31415")

    def syntax(self, length: int) -> str:
        """Return a UID of this length."""
        return self._noted("uid_changed", f"1.2.271828.{next(self.numbers)}.".ljust(length, "7"))

    def age(self) -> str:
        """Return ages that nobody else has in this order."""
        return self._noted("text_removed", f"{next(self.numbers)}Y\\093Y\\1117M")

    def number(self) -> str:
        return self._noted("text_removed", f"27182{next(self.numbers)}")

    def name(self) -> str:
        """Return a name in Chinese characters that no other has."""
        digits = str(next(self.numbers)).translate(WIDE)
        return self._noted("text_removed", f"\u5c71\u7530\u592a\u90ce{digits}")

    def _noted(self, action: str, marker: str) -> str:
        self.markers[action].append(marker.encode())
        return marker


WIDE = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
"""Digits as wide as a Chinese character, which JIS X 0208 has."""


def value(planted: Planted, representation: str) -> object:
    """Return a marker in the form of a value representation; None where it has no room."""
    made = MARKERS.get(representation)
    return None if made is None else made(planted)


MARKERS: Mapping[str, Callable[[Planted], object]] = {
    **dict.fromkeys(("LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "AE", "CS"), Planted.text),
    **dict.fromkeys(("OB", "OW", "UN"), lambda planted: planted.text().encode()),
    **dict.fromkeys(("DS", "IS"), Planted.number),
    "AS": Planted.age,
    "DA": Planted.date,
    "DT": Planted.moment,
    "TM": Planted.time,
    "UI": lambda planted: UID(planted.uid()),
}


COMPRESSED = (4, 5, 6)
"""Large enough for every codec."""


def plant(dataset: Dataset, table: list[dict[str, str]], planted: Planted) -> None:
    """Write a marker wherever the table names a place."""
    for row in table:
        identifier = row["id"].replace("50xx", "5004").replace("60xx", "6004")
        identifier = identifier.replace("xxxx", "0110")
        if not re.fullmatch(r"[0-9A-Fa-f]{8}", identifier):
            continue
        tag = int(identifier, 16)
        if tag >> 16 in {0, 2, 0x6004} or tag in KEPT_TAGS:
            continue
        plant_at(dataset, tag, planted)


KEPT_TAGS = {tag_for_keyword(one) for one in ("SOPInstanceUID", "PatientID", "PixelData")}


def plant_at(dataset: Dataset, tag: int, planted: Planted) -> None:
    try:
        representation = dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        representation = "LO"
    if representation == "SQ":
        dataset.add_new(tag, "SQ", Sequence([nested(planted, depth=3)]))
        return
    written = value(planted, representation)
    if written is not None:
        dataset.add_new(tag, representation, written)


def nested(planted: Planted, *, depth: int) -> Dataset:
    inner = Dataset()
    inner.PatientName = planted.text()
    inner.PatientID = planted.text()
    inner.ContentDate = planted.date()
    inner.PatientAge = planted.age()
    inner.ReferencedSOPInstanceUID = UID(planted.uid())
    inner.TextValue = planted.text()
    block = inner.private_block(0x0029, planted.text(), create=True)
    block.add_new(0x01, "LO", planted.text())
    if depth:
        inner.ReferencedImageSequence = [nested(planted, depth=depth - 1)]
    return inner


def plant_beyond(dataset: Dataset, planted: Planted) -> None:
    """Write markers where no table looks: private, unknown, groups of pictures, technical."""
    for group in (0x0009, 0x0019, 0x0029, 0x7FE1):
        block = dataset.private_block(group, planted.text(), create=True)
        for offset, representation in enumerate(
            ("LO", "PN", "DA", "UI", "UN", "OB", "AS"), start=1
        ):
            block.add_new(offset, representation, value(planted, representation))
    for tag in (0x00080FFE, 0x00189FFE, 0x0028FFEE, 0x00410FFE):
        dataset.add_new(tag, "UN", planted.text().encode())
    dataset.add_new(0x50000005, "US", 1)
    dataset.add_new(0x50000022, "LO", planted.text())
    dataset.add_new(0x50003000, "OB", planted.text().encode())
    for keyword in ("ImageType",):
        dataset[keyword].value = ["ORIGINAL", "PRIMARY", planted.text(), planted.text()]
    dataset.SharedFunctionalGroupsSequence = [nested(planted, depth=2)]
    dataset.RadiopharmaceuticalInformationSequence = [nested(planted, depth=1)]
    dataset.ConvolutionKernel = planted.text()
    dataset.WindowCenterWidthExplanation = planted.text()
    dataset.SoftwareVersions = planted.text()
    dataset.ContentSequence = [nested(planted, depth=2)]
    dataset.DataSetTrailingPadding = planted.text().encode()
    dataset.EncapsulatedDocument = planted.text().encode()
    meta = dataset.file_meta
    meta.SourceApplicationEntityTitle = planted.text()
    meta.SendingApplicationEntityTitle = planted.text()
    meta.ImplementationVersionName = planted.text()
    meta.PrivateInformationCreatorUID = UID(planted.uid())
    meta.PrivateInformation = planted.text().encode()
    dataset.preamble = planted.text().encode().ljust(128, b"\0")


def overlaid(dataset: Dataset, planted: Planted) -> None:
    dataset.add_new(0x60000010, "US", 16)
    dataset.add_new(0x60000022, "LO", planted.text())
    dataset.add_new(0x60001500, "LO", planted.text())
    dataset.add_new(0x60003000, "OB", planted.text().encode() * 2)


def exported(folder: Path, table: list[dict[str, str]], planted: Planted) -> list[str]:
    """Write an export full of markers: 24 images to use, 4 to look at, 9 files that do not fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # markers have not the form of their attributes
        return _exported(folder, table, planted)


def _exported(folder: Path, table: list[dict[str, str]], planted: Planted) -> list[str]:
    names = [planted.text() for _ in range(PATIENTS)]
    rows, uids = [], []
    for number in range(36):
        patient = names[number // 2 % PATIENTS]
        large = pixels(number, shape=(48, 48)) if number in COMPRESSED else None
        dataset = image(number, patient=patient, values=large)
        if number in {0, 1, 24, 28, 29}:
            plant(dataset, table, planted)
        plant_beyond(dataset, planted)
        dataset.SOPInstanceUID = UID(planted.uid())
        dataset.SeriesInstanceUID = UID(planted.uid())
        dataset.StudyInstanceUID = UID(planted.uid())
        spread(dataset, number, planted)
        spoil(dataset, number, planted)
        path = write(dataset, folder / "dicom" / planted.text() / f"{planted.text()}.dcm")
        if number == 35:
            renamed_syntax(path, planted)
        uids.append(str(dataset.SOPInstanceUID))
        rows.append(
            {
                "sop_instance_uid": uids[-1],
                "patient_id": patient,
                "label": str(number // 2 % 2),
                "remark": planted.text(),
            }
        )
    write_labels(folder / "labels.csv", rows)
    for path in sorted((folder / "dicom").rglob("*.dcm"))[-1:]:
        (path.parent / planted.text()).write_bytes(path.read_bytes()[:3000])
    return uids


def spoil(dataset: Dataset, number: int, planted: Planted) -> None:
    """Make images from 24 on such that a person must look, or that they do not fit."""
    changes: dict[int, Callable[[], object]] = {
        24: lambda: setattr(dataset, "BurnedInAnnotation", "YES"),
        25: lambda: overlaid(dataset, planted),
        26: lambda: setattr(dataset, "ImageType", ["DERIVED", "SECONDARY", planted.text()]),
        27: lambda: setattr(dataset, "BurnedInAnnotation", planted.text()),
        28: lambda: setattr(dataset, "Modality", planted.text()),
        29: lambda: setattr(dataset, "PhotometricInterpretation", planted.text()),
        30: lambda: setattr(dataset, "PixelData", planted.text().encode()),
        31: lambda: setattr(dataset, "PatientID", planted.text()),
        32: lambda: setattr(dataset, "Rows", 7),
        33: lambda: setattr(dataset, "NumberOfFrames", "2"),
        34: lambda: setattr(dataset, "SOPClassUID", UID(planted.uid())),
    }
    changes.get(number, lambda: None)()
