"""Masks that tests make up: PNGs, and DICOM Segmentations as highdicom writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as concepts
from pydicom.uid import UID

from hospital_node.cohort.ingest import IngestReport, ingest
from hospital_node.cohort.store import Cohort, open_cohort
from schemas.contract import DataContract, MaskRules
from tests.hospital_node.cohort.exports import (
    ROOT_UID,
    contract,
    desk,
    image,
    label,
    write,
    write_labels,
)

PATIENTS = 8
"""Odd ones have the finding."""
Kind = Literal["BINARY", "FRACTIONAL", "LABELMAP"]


def masked(rules: MaskRules | None = None, **changes: Any) -> DataContract:
    """Return the small contract, with masks."""
    agreed = contract(**changes)
    labels = agreed.labels.model_copy(update={"mask": rules or MaskRules()})
    return agreed.model_copy(update={"labels": labels})


def square(size: int = 16, *, first: int = 3, last: int = 9) -> NDArray[np.bool_]:
    """Return a mask of one square, which is not in the middle."""
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[first:last, first + 2 : last + 4] = True
    return mask


def write_picture(path: Path, mask: NDArray[Any], *, full: int = 255) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray((mask.astype(np.uint8) * full).astype(np.uint8)).save(path, format="PNG")
    return path


def segmentation(
    images: Sequence[Dataset],
    masks: NDArray[np.bool_],
    *,
    kind: Kind = "BINARY",
    segment: int = 1,
    number: int = 1,
) -> Dataset:
    """Return a Segmentation of [images, rows, columns], whose wanted segment is `segment`."""
    for one in images:
        _complete(one)
    described = [_described(each + 1) for each in range(segment)]
    pixels = np.zeros((*masks.shape, segment), dtype=np.uint8)
    pixels[..., segment - 1] = masks
    return hd.seg.Segmentation(
        source_images=list(images),
        pixel_array=pixels.astype(np.float32) if kind == "FRACTIONAL" else pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=UID(f"{ROOT_UID}7.{number}"),
        series_number=1,
        sop_instance_uid=UID(f"{ROOT_UID}8.{number}"),
        instance_number=1,
        manufacturer="Invented",
        manufacturer_model_name="Invented",
        software_versions="1",
        device_serial_number="1",
    )


def _complete(image: Dataset) -> None:
    """Add what an image needs before highdicom takes it for a source."""
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        image.setdefault(keyword, "")
    image.setdefault("AccessionNumber", "")
    image.setdefault("ReferringPhysicianName", "")
    image.setdefault("StudyInstanceUID", UID(f"{ROOT_UID}5.1"))
    image.setdefault("SeriesInstanceUID", UID(f"{ROOT_UID}6.1"))
    image.setdefault("FrameOfReferenceUID", UID(f"{ROOT_UID}4.1"))


def _described(number: int) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"Invented {number}",
        segmented_property_category=concepts.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=concepts.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def drawn(number: int) -> NDArray[np.bool_]:
    return square(first=2 + number % 3) if number % 2 else np.zeros((16, 16), dtype=np.bool_)


def write_images(folder: Path) -> list[dict[str, str]]:
    rows = []
    for number in range(PATIENTS):
        patient = f"P{number}"
        write(image(number, patient=patient), folder / "dicom" / f"{number}.dcm")
        rows.append(label(number, patient, str(number % 2)) | {"mask": ""})
    return rows


def pictures(folder: Path, rows: list[dict[str, str]]) -> None:
    """Give each image with the finding its PNG."""
    for number, row in enumerate(rows):
        if number % 2:
            row["mask"] = f"masks/{number}.png"
            write_picture(folder / row["mask"], drawn(number))


def segmentations(folder: Path, kind: Kind = "BINARY", segment: int = 1) -> None:
    for number in range(1, PATIENTS, 2):
        source = image(number, patient=f"P{number}")
        found = segmentation(
            [source], drawn(number)[None], kind=kind, segment=segment, number=number
        )
        write(found, folder / "dicom" / f"{number}.seg.dcm")


def stored(
    folder: Path, rows: list[dict[str, str]], agreed: DataContract | None = None
) -> tuple[IngestReport, Cohort]:
    write_labels(folder / "labels.csv", rows)
    agreed = agreed or masked()
    store = folder / "store"
    found = ingest(folder / "dicom", folder / "labels.csv", agreed, desk=desk(store))
    return found, open_cohort(store, agreed.digest)


def codes(report: IngestReport) -> dict[str, int]:
    return {one.code: one.files for one in report.manifest.not_used}


def seg(of: int, **changes: Any) -> Dataset:
    return segmentation([image(of, patient=f"P{of}")], drawn(of)[None], **changes)
