"""Identity planted below and around a data set: alphabets, code streams, fragments, archives."""

import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

if TYPE_CHECKING:
    from tests.attacks.planted import Planted

JPEG_2000_COMMENT, JPEG_2000_TILE = b"\xff\x64", b"\xff\x90"
JPEG_COMMENT, JPEG_START = b"\xff\xfe", b"\xff\xd8"


def spread(dataset: Dataset, number: int, planted: "Planted") -> None:
    """Plant in one image what its number says; it stays one that can be used."""
    match number:
        case 2:
            name(dataset, planted, "ISO 2022 IR 87")
        case 3:
            name(dataset, planted, "ISO_IR 192")
        case 4:
            commented(dataset, planted, JPEG2000Lossless)
        case 5:
            commented(dataset, planted, JPEGLSLossless)
        case 6:
            lengthened(dataset, planted)
        case 7:
            pictured(dataset, planted)
        case 8:
            layered(dataset, planted)
        case 9 | 24:
            raised(dataset, planted)


def name(dataset: Dataset, planted: "Planted", alphabet: str) -> None:
    """Name the patient in another alphabet, by itself and in a sequence."""
    dataset.SpecificCharacterSet = ["", alphabet] if "2022" in alphabet else alphabet
    dataset.PatientName = f"Yamada^Tarou={planted.name()}^{planted.name()}"
    inner = Dataset()
    inner.ReferringPhysicianName = planted.name()
    dataset.ReferencedPatientSequence = [inner]


def commented(dataset: Dataset, planted: "Planted", syntax: UID) -> None:
    """Compress, and put a comment into the code stream."""
    dataset.compress(syntax, generate_instance_uid=False)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    text = planted.text().encode() * 2
    if syntax == JPEG2000Lossless:
        place = stream.index(JPEG_2000_TILE)
        comment = JPEG_2000_COMMENT + (len(text) + 4).to_bytes(2, "big") + b"\0\1" + text
    else:
        place = len(JPEG_START)
        comment = JPEG_COMMENT + (len(text) + 2).to_bytes(2, "big") + text
    dataset.PixelData = encapsulate([stream[:place] + comment + stream[place:]])


def lengthened(dataset: Dataset, planted: "Planted") -> None:
    """Compress, and leave text behind the code stream of a fragment."""
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([stream + planted.text().encode() * 2])


def pictured(dataset: Dataset, planted: "Planted") -> None:
    """Add a small picture of the patient, and a sound."""
    icon = Dataset()
    icon.Rows = icon.Columns = 4
    icon.BitsAllocated = 8
    icon.PixelData = planted.text().encode()
    dataset.IconImageSequence = [icon]
    sound = Dataset()
    sound.add_new(0x54001010, "OB", planted.text().encode())  # Waveform Data
    sound.ChannelSourceSequence = [Dataset()]
    sound.ChannelSourceSequence[0].CodeMeaning = planted.text()
    dataset.WaveformSequence = [sound]
    dataset.add_new(0x5006200C, "OB", planted.text().encode())  # Audio Sample Data
    dataset.add_new(0x5006200E, "LT", planted.text())  # Audio Comments


def layered(dataset: Dataset, planted: "Planted") -> None:
    """Hide sequences in private elements and private elements in sequences, five deep."""
    inner = Dataset()
    inner.PatientBirthDate = planted.date()
    for _ in range(5):
        outer = Dataset()
        block = outer.private_block(0x0011, planted.text(), create=True)
        block.add_new(0x02, "SQ", Sequence([inner]))
        block.add_new(0x03, "UN", planted.text().encode())
        inner = outer
    dataset.private_block(0x0013, planted.text(), create=True).add_new(0x01, "SQ", [inner])


def raised(dataset: Dataset, planted: "Planted") -> None:
    """Write text into the bits above the stored ones, a byte in each pixel."""
    low = np.frombuffer(dataset.PixelData, "<u2") & 0xFF
    text = np.frombuffer(planted.text().encode() * low.size, np.uint8)[: low.size]
    dataset.BitsStored, dataset.HighBit = 8, 7
    dataset.PixelData = (low | text.astype("<u2") << 8).astype("<u2").tobytes()


def renamed_syntax(path: Path, planted: "Planted") -> None:
    """Give a written file a transfer syntax that nobody knows."""
    known, content = ExplicitVRLittleEndian.encode(), path.read_bytes()
    assert content.count(known) == 1
    path.write_bytes(content.replace(known, planted.syntax(len(known)).encode()))


def zipped(source: Path, target: Path, planted: "Planted") -> None:
    """Pack an export with a comment, comments on its members, and names of people."""
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w") as archive:
        archive.comment = planted.text().encode()
        for path in sorted(source.rglob("*.dcm")):
            member = zipfile.ZipInfo(f"{planted.text()}/{path.name}", (1980, 1, 1, 0, 0, 0))
            member.comment = planted.text().encode()
            archive.writestr(member, path.read_bytes())
