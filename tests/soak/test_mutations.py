"""Damaged and hostile files cost themselves only: 200 of them, 10 000 in the soak.

Bit flips, truncations, lengths and dimensions that promise too much, sequences nested without end,
and values of a wrong kind. The process that ingests must go on, within time and memory, and
account for every file.
"""

import struct
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from hospital_node.cohort.reasons import REASONS, NotUsed
from hospital_node.cohort.workers import dismiss, read_apart
from schemas.contract import DataContract
from schemas.image_rules import EachFrame, Range
from schemas.recipe import OwnWindow
from tests.hospital_node.cohort.exports import contract, image, pixels, recipe
from tests.hospital_node.cohort.test_codecs import EXTENDED
from tests.hospital_node.cohort.test_tables import table
from tests.readers import watched

SYNTAXES = (
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
)
HANG_S = 5.0
WORKER_KB = 2**20
"""A gigabyte, as the kernel counts it for the largest child that ever was."""


def generous() -> DataContract:
    every = Range(least=1, most=65535)
    return contract(
        rows=every,
        columns=every,
        bits_stored=Range(least=1, most=32),
        photometric=("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL"),
        frames=EachFrame(),
        burned_in="warn",
        preprocessing=recipe(intensity=OwnWindow()),
    )


def originals() -> list[bytes]:
    plain = [written(example(), syntax) for syntax in SYNTAXES]
    tables = example(
        ModalityLUTSequence=[table(4096, 0, 16)], VOILUTSequence=[table(65536, 0, 12, form="OW")]
    )
    return [*plain, written(tables, ExplicitVRLittleEndian), written(of_12_bits(), None)]


def example(**changes: Any) -> Dataset:
    values = pixels(1, shape=(48, 48))
    return image(1, patient="P", values=values, WindowCenter="2048", WindowWidth="4096", **changes)


def of_12_bits() -> Dataset:
    """Return an image in JPEG of 12 bits."""
    source, dataset = dcmread(EXTENDED), example()
    for keyword in ("Rows", "Columns", "PixelData"):
        setattr(dataset, keyword, source[keyword].value)
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    return dataset


def written(dataset: Dataset, syntax: UID | None) -> bytes:
    """Return a file in a transfer syntax; None: it is in its own already."""
    inner = Dataset()
    inner.PatientName = "Made^Up"
    dataset.ReferencedImageSequence = [inner]
    if syntax in {ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian}:
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax is not None:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def flipped(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.randint(1, 32)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncated(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content))]


def lengthened(content: bytes, random: Random) -> bytes:
    """Announce more than there is, in one of the lengths of the file."""
    changed = bytearray(content)
    place = random.randrange(132, len(changed) - 4)
    changed[place : place + 4] = random.choice(
        [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", struct.pack("<I", 2**30)]
    )
    return bytes(changed)


def enlarged(content: bytes, random: Random) -> bytes:
    """Announce other dimensions: rows, columns, bits, samples or frames."""
    changed = bytearray(content)
    for tag in (b"\x28\x00\x10\x00", b"\x28\x00\x11\x00", b"\x28\x00\x00\x01", b"\x28\x00\x02\x00"):
        place = changed.find(tag)
        if place > 0 and random.random() < 0.6:
            value = random.choice([0, 1, 3, 8, 16, 32, 4096, 8192, 32768, 65535])
            changed[place + 8 : place + 10] = struct.pack("<H", value)
    return bytes(changed)


def nested(content: bytes, random: Random) -> bytes:
    """Open sequences in sequences, and perhaps never close them."""
    depth = random.choice([10, 200, 1500, 20000])
    explicit = random.random() < 0.5
    opening = (
        b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff"
        if explicit
        else b"\x08\x00\x40\x11\xff\xff\xff\xff"
    ) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * (
        depth * (random.random() < 0.5)
    )
    place = content.find(b"\x08\x00\x16\x00UI")
    place = place if place > 0 else 144 + int.from_bytes(content[140:144], "little")
    return content[:place] + opening * depth + closing + content[place:]


def retyped(content: bytes, random: Random) -> bytes:
    """Give elements another value representation."""
    changed = bytearray(content)
    kinds = (b"OB", b"OW", b"SQ", b"UN", b"US", b"DS", b"IS", b"AT", b"FD", b"zz", b"\0\0")
    known = (b"UI", b"CS", b"US", b"OW", b"OB", b"LO", b"PN", b"SQ")
    for _ in range(random.randint(1, 4)):
        place = changed.find(random.choice(known), random.randrange(132, len(changed)))
        if place > 0:
            changed[place : place + 2] = random.choice(kinds)
    return bytes(changed)


def shuffled(content: bytes, random: Random) -> bytes:
    """Move or double a stretch of bytes."""
    first, length = random.randrange(132, len(content)), random.randrange(1, 4096)
    stretch, place = content[first : first + length], random.randrange(132, len(content))
    return content[:place] + stretch + content[place:]


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flipped,
    truncated,
    lengthened,
    enlarged,
    nested,
    retyped,
    shuffled,
)


def campaign(folder: Path, count: int, seed: int) -> tuple[dict[str, int], float]:
    """Read this many damaged files; return how many ended under each code, and the longest wait."""
    random, whole = Random(seed), originals()  # noqa: S311 - damage, and no secret
    paths = []
    for number in range(count):
        damage = MUTATIONS[number % len(MUTATIONS)]
        path = folder / f"{number}"
        path.write_bytes(damage(random.choice(whole), random))
        paths.append(path)
    codes: dict[str, int] = {}
    seen: set[int] = set()
    last = time.monotonic()
    longest = 0.0
    dismiss()  # a reader of an earlier test may have held more
    with watched() as peak:
        for number, outcome in read_apart(paths, generous(), workers=2):
            assert number not in seen
            seen.add(number)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            code = outcome.code if isinstance(outcome, NotUsed) else "used"
            assert code == "used" or code in REASONS
            codes[code] = codes.get(code, 0) + 1
    assert seen == set(range(count))
    assert 0 < peak.kilobytes < WORKER_KB
    return codes, longest


def test_two_hundred_damaged_files_are_all_accounted_for(tmp_path: Path) -> None:
    codes, _ = campaign(tmp_path, 200, seed=4)
    assert sum(codes.values()) == 200
    assert codes["used"] > 0
    assert len(codes) > 6


@pytest.mark.soak
def test_ten_thousand_damaged_files_are_all_accounted_for(tmp_path: Path) -> None:
    codes, longest = campaign(tmp_path, 10_000, seed=5)
    assert longest <= HANG_S
    assert sum(codes.values()) == 10_000
