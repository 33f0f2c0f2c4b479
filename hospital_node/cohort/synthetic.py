"""Four invented hospitals of DICOM, for the demo and for tests.

* The same site and seed give the same bytes, file by file.
* Sites differ in patients, prevalence, size, photometric interpretation, bits, rescale, transfer
  syntax, contrast, blur and noise.
* A label belongs to an image. An affected patient may have an image that shows nothing.
* Headers are made up (`Made^Up^…`) and carry what a real export carries, so that
  de-identification has work to do.
"""

from __future__ import annotations

import csv
import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    RLELossless,
)

from hospital_node.cohort.phantom import radiograph, scanned

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from hospital_node.cohort.phantom import Plane

    Stored: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

__all__ = ["HOSPITALS", "SyntheticSite", "write_site"]

IMAGES_PER_PATIENT = (0.60, 0.25, 0.10, 0.05)
"""The probability of one, two, three and four images."""
SHOWN = 0.9
"""The probability that an image of an affected patient shows the lesion."""
FIELD_OF_VIEW_MM = 320.0
"""Along the shorter side."""
BYTE_BITS = 8


@dataclass(frozen=True, slots=True)
class SyntheticSite:
    """One invented hospital: its patients, its scanner and its habits."""

    name: str
    patients: int
    prevalence: float
    """The probability that a patient is affected."""
    rows: int
    columns: int
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    bits_stored: int
    transfer_syntax: UID
    modality: Literal["CR", "DX"]
    manufacturer: str
    gamma: float
    noise: float
    """Standard deviation of the detector's noise, in parts of the full range."""
    blur: float
    """Standard deviation in pixels."""
    rescale: tuple[int, int] = (1, 0)
    """Slope and intercept; a DX image for presentation may only carry 1 and 0 (PS3.3 C.8.11.3)."""


HOSPITALS = (
    SyntheticSite(
        name="northgate",
        patients=360,
        prevalence=0.40,
        rows=128,
        columns=128,
        photometric="MONOCHROME2",
        bits_stored=12,
        transfer_syntax=ExplicitVRLittleEndian,
        modality="DX",
        manufacturer="Aldebaran Imaging",
        gamma=1.0,
        noise=0.03,
        blur=0.6,
    ),
    SyntheticSite(
        name="eastfield",
        patients=300,
        prevalence=0.52,
        rows=144,
        columns=128,
        photometric="MONOCHROME1",
        bits_stored=14,
        transfer_syntax=DeflatedExplicitVRLittleEndian,
        modality="DX",
        manufacturer="Borealis Medical",
        gamma=0.8,
        noise=0.04,
        blur=1.0,
    ),
    SyntheticSite(
        name="southbank",
        patients=270,
        prevalence=0.46,
        rows=96,
        columns=96,
        photometric="MONOCHROME2",
        bits_stored=8,
        transfer_syntax=RLELossless,
        modality="DX",
        manufacturer="Cassini Radiology",
        gamma=1.25,
        noise=0.02,
        blur=0.5,
    ),
    SyntheticSite(
        name="westhill",
        patients=240,
        prevalence=0.56,
        rows=112,
        columns=128,
        photometric="MONOCHROME1",
        bits_stored=10,
        transfer_syntax=ExplicitVRLittleEndian,
        modality="CR",
        manufacturer="Delphinus Plates",
        gamma=0.9,
        noise=0.05,
        blur=0.8,
        rescale=(2, -1024),
    ),
)


@dataclass(frozen=True, slots=True)
class _Patient:
    identifier: str
    birth_date: str
    sex: str
    study: UID
    series: UID
    study_date: str
    accession: str


def write_site(site: SyntheticSite, folder: Path, *, seed: int) -> None:
    """Write `folder/dicom/PATIENT/IMnnnn.dcm` and `folder/labels.csv`.

    Raises:
        FileExistsError: A patient's folder is already there.
    """
    random = np.random.default_rng([seed, *site.name.encode()])
    rows: list[tuple[str, str, int]] = []
    for number in range(site.patients):
        patient = _patient(site, random, number)
        home = folder / "dicom" / patient.identifier
        home.mkdir(parents=True)
        for instance, label in enumerate(_labels(site, random), start=1):
            density = radiograph((site.rows, site.columns), random, lesion=label == 1)
            image = scanned(density, random, blur=site.blur, gamma=site.gamma, noise=site.noise)
            dataset = _header(site, patient, _uid(random), instance)
            _set_pixels(dataset, site, _stored(site, image))
            dataset.save_as(home / f"IM{instance:04d}.dcm", enforce_file_format=True)
            rows.append((str(dataset.SOPInstanceUID), patient.identifier, label))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("sop_instance_uid", "patient_id", "label"))
        writer.writerows(rows)


def _labels(site: SyntheticSite, random: Generator) -> list[int]:
    """Draw a label for each image of one patient."""
    affected = random.random() < site.prevalence
    images = 1 + int(random.choice(len(IMAGES_PER_PATIENT), p=IMAGES_PER_PATIENT))
    return [int(affected and shown) for shown in random.random(images) < SHOWN]


def _patient(site: SyntheticSite, random: Generator, number: int) -> _Patient:
    token = hashlib.sha256(random.bytes(16)).hexdigest()[:6].upper()
    return _Patient(
        identifier=f"{site.name[:2].upper()}-{number:04d}-{token}",
        birth_date=_date(random, 1935, 2004),
        sex=str(random.choice(["F", "M"])),
        study=_uid(random),
        series=_uid(random),
        study_date=_date(random, 2018, 2024),
        accession=f"A{int(random.integers(10**7, 10**8))}",
    )


def _date(random: Generator, first_year: int, last_year: int) -> str:
    year, month, day = random.integers((first_year, 1, 1), (last_year + 1, 13, 29))
    return f"{year:04d}{month:02d}{day:02d}"


def _uid(random: Generator) -> UID:
    """Draw an identifier from a UUID (PS3.5 annex B.2)."""
    return UID(f"2.25.{uuid.UUID(bytes=random.bytes(16), version=4).int}")


def _header(site: SyntheticSite, patient: _Patient, instance_uid: UID, number: int) -> Dataset:
    """Return what a site's scanner and archive write around the pixels."""
    dataset = Dataset()
    dataset.SOPClassUID = (
        ComputedRadiographyImageStorage
        if site.modality == "CR"
        else DigitalXRayImageStorageForPresentation
    )
    dataset.SOPInstanceUID = instance_uid
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.Modality = site.modality
    dataset.Manufacturer = site.manufacturer
    _identify(dataset, site, patient)
    dataset.InstanceNumber = number
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    if site.modality == "DX":
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.PixelIntensityRelationship = "LIN"
        dataset.PixelIntensityRelationshipSign = 1
    dataset.BurnedInAnnotation = "NO"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = site.transfer_syntax
    return dataset


def _identify(dataset: Dataset, site: SyntheticSite, patient: _Patient) -> None:
    """Set everything that names a person, a visit or an institution."""
    dataset.PatientName = f"Made^Up^{patient.identifier[-6:]}"
    dataset.PatientID = patient.identifier
    dataset.PatientBirthDate = patient.birth_date
    dataset.PatientSex = patient.sex
    dataset.StudyInstanceUID = patient.study
    dataset.SeriesInstanceUID = patient.series
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = patient.study_date
    dataset.StudyTime = dataset.ContentTime = "120000"
    dataset.StudyID = patient.accession[1:5]
    dataset.SeriesNumber = 1
    dataset.AccessionNumber = patient.accession
    dataset.InstitutionName = f"{site.name.title()} Hospital"
    dataset.StationName = f"{site.name.upper()}-1"
    dataset.ReferringPhysicianName = f"Made^Up^Physician {patient.accession[-2:]}"
    dataset.OperatorsName = f"Made^Up^Operator of {site.name}"
    block = dataset.private_block(0x0019, "CONSILIUM MADE UP", create=True)
    block.add_new(0x01, "LO", f"Made Up, ward {patient.accession[-1]}")


def _stored(site: SyntheticSite, image: Plane) -> Stored:
    """Return an image's integers; MONOCHROME1 shows the least of them as white."""
    shown = image if site.photometric == "MONOCHROME2" else 1 - image
    values: Plane = np.rint(shown * (2**site.bits_stored - 1))
    if site.bits_stored <= BYTE_BITS:
        return values.astype(np.uint8)
    return values.astype(np.uint16)


def _set_pixels(dataset: Dataset, site: SyntheticSite, stored: Stored) -> None:
    """Set the pixels and what describes them, in the site's transfer syntax."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = site.photometric
    dataset.Rows, dataset.Columns = stored.shape
    spacing = round(FIELD_OF_VIEW_MM / min(stored.shape), 4)
    dataset.ImagerPixelSpacing = [spacing, spacing]
    dataset.BitsAllocated = stored.itemsize * BYTE_BITS
    dataset.BitsStored = site.bits_stored
    dataset.HighBit = site.bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept = site.rescale
    dataset.RescaleType = "US"
    inverted = site.photometric == "MONOCHROME1"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    if site.transfer_syntax == RLELossless:
        dataset.compress(
            RLELossless, stored, encoding_plugin="pydicom", generate_instance_uid=False
        )
    else:
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
