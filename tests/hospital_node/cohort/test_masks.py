"""Masks from PNG and DICOM Segmentation lie on their images, or both are refused with a code."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL.PngImagePlugin import PngInfo

from hospital_node.cohort.deidentification import pseudonym
from hospital_node.cohort.ingest import ingest
from hospital_node.cohort.readings import opened_readings, readings_file
from hospital_node.cohort.store import Cohort, cohort_folder, open_cohort
from hospital_node.cohort.withdrawal import withdraw
from schemas.contract import DataContract, MaskRules
from schemas.errors import CohortChanged, LabelsRefused
from schemas.image_rules import EachFrame
from schemas.recipe import FixedNormalisation, Preprocessing, StoredBits
from tests.hospital_node.cohort.exports import (
    KEY,
    desk,
    image,
    label,
    recipe,
    write,
)
from tests.hospital_node.cohort.outlined import (
    PATIENTS,
    Kind,
    codes,
    drawn,
    masked,
    pictures,
    seg,
    segmentation,
    segmentations,
    square,
    stored,
    write_images,
    write_picture,
)


def test_pngs_and_segmentations_of_every_kind_give_the_same_masks(tmp_path: Path) -> None:
    agreed = masked(MaskRules(segment=2))
    rows = write_images(tmp_path / "png")
    pictures(tmp_path / "png", rows)
    report, first = stored(tmp_path / "png", rows, agreed)
    assert (report.manifest.read, report.manifest.not_used) == (PATIENTS + PATIENTS // 2, ())
    assert first.masks is not None
    kinds: tuple[Kind, ...] = ("BINARY", "FRACTIONAL", "LABELMAP")
    for kind in kinds:
        folder = tmp_path / kind
        rows = write_images(folder)
        segmentations(folder, kind, segment=2)
        report, _ = stored(folder, rows, agreed)
        assert report.manifest.not_used == ()
        assert report.manifest.masks == first.manifest.masks
        assert report.manifest.rows == first.manifest.rows


def test_only_images_of_the_negative_class_may_do_without_a_mask(tmp_path: Path) -> None:
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    report, cohort = stored(tmp_path, rows)
    assert cohort.masks is not None
    for row, mask in zip(report.manifest.rows, cohort.masks, strict=True):
        assert (row.label == 1) == (row.mask is not None) == bool(mask.any())


def patterned(folder: Path, agreed: DataContract) -> Cohort:
    """Store images whose bright pixels are their masks."""
    rows = write_images(folder)
    for number in range(1, PATIENTS, 2):
        values = (drawn(number) * 4095).astype(np.uint16)
        values[0, 0] = number
        one = image(number, patient=f"P{number}", values=values)
        one.ImagerPixelSpacing = [2.0, 1.0]
        write(one, folder / "dicom" / f"{number}.dcm")
    for number in range(0, PATIENTS, 2):
        one = image(number, patient=f"P{number}")
        one.ImagerPixelSpacing = [2.0, 1.0]
        write(one, folder / "dicom" / f"{number}.dcm")
    pictures(folder, rows)
    return stored(folder, rows, agreed)[1]


@pytest.mark.parametrize(
    ("size", "spacing_mm"),
    [
        ((16, 16), None),
        ((32, 48), None),
        ((8, 8), None),
        ((16, 32), (1.0, 0.5)),
        ((32, 16), (2, 1)),
    ],
)
def test_a_mask_lies_on_its_image_after_the_recipe(
    tmp_path: Path, size: tuple[int, int], spacing_mm: tuple[float, float] | None
) -> None:
    made = Preprocessing(
        intensity=StoredBits(),
        height=size[0],
        width=size[1],
        spacing_mm=spacing_mm,
        normalisation=FixedNormalisation(mean=0.0, deviation=1.0),
    )
    cohort = patterned(tmp_path, masked(preprocessing=made))
    assert cohort.masks is not None
    marked = [index for index, row in enumerate(cohort.manifest.rows) if row.label == 1]
    assert len(marked) == PATIENTS // 2
    for index in marked:
        found, bright = cohort.masks[index].astype(bool), cohort.pixels[index]
        assert found.any()
        # A pixel that is wholly in the finding is marked; one wholly outside is not.
        assert found[bright > 0.99].all()
        assert not found[bright < 0.01].any()
        if size != (8, 8):  # enlarged by whole numbers: there are no other pixels
            assert (found == (bright > 0.5)).all()


def test_a_frame_s_mask_is_that_of_the_frame(tmp_path: Path) -> None:
    values = np.stack([np.full((16, 16), one, dtype=np.uint16) for one in (7, 9, 11)])
    values[1, 3:9, 5:13] = 4000
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    many = image(50, patient="P1", values=values[1], NumberOfFrames=3)
    many.PixelData = values.tobytes()
    many.Rows, many.Columns = 16, 16
    write(many, tmp_path / "dicom" / "many.dcm")
    made = segmentation([image(50, patient="P1")], square()[None], number=9)
    source = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    source.SourceImageSequence[0].ReferencedFrameNumber = 2
    write(made, tmp_path / "dicom" / "many.seg")
    rows.append(label(50, "P1", "1") | {"mask": ""})
    report, cohort = stored(tmp_path, rows, masked(frames=EachFrame()))
    assert codes(report) == {}
    assert cohort.masks is not None
    assert len(cohort.pixels) == PATIENTS + 1  # frames of one value are left out


def test_a_contract_may_need_every_mask_and_allow_empty_ones(tmp_path: Path) -> None:
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    write_picture(tmp_path / "masks" / "1.png", drawn(0))
    report, cohort = stored(tmp_path, rows, masked(MaskRules(needed="all", empty="allowed")))
    assert codes(report) == {"no-mask": PATIENTS // 2}
    assert cohort.masks is not None
    assert [bool(one.any()) for one in cohort.masks].count(False) == 1


def test_a_segmentation_without_the_contract_s_segment_is_no_empty_mask(tmp_path: Path) -> None:
    rows = write_images(tmp_path)
    segmentations(tmp_path)
    write(seg(1, segment=2), tmp_path / "dicom" / "1.seg.dcm")
    report, _ = stored(tmp_path, rows, masked(MaskRules(segment=2)))
    assert codes(report) == {"mask-segment": 3, "no-mask": 3}
    assert report.manifest.used == 2 + PATIENTS // 2


def test_a_bomb_of_a_picture_costs_itself_and_its_image(tmp_path: Path) -> None:
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(2**20))), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    (tmp_path / "masks" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    report, _ = stored(tmp_path, rows)
    assert codes(report) == {"too-many-pixels": 1, "no-mask": 1}


def test_a_finding_that_the_recipe_s_size_loses_is_told(tmp_path: Path) -> None:
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    speck = np.zeros((16, 16), dtype=np.bool_)
    speck[4, 4] = True
    write_picture(tmp_path / "masks" / "1.png", speck)
    report, _ = stored(tmp_path, rows, masked(preprocessing=recipe(size=(8, 8))))
    (lost,) = [one for one in report.findings if one.code == "mask-lost"]
    assert (lost.count, lost.severity) == (1, "warn")
    assert codes(report) == {}


def test_an_unchanged_source_is_not_read_again_and_a_changed_mask_is(tmp_path: Path) -> None:
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    report, _ = stored(tmp_path, rows)
    again, _ = stored(tmp_path, rows)
    assert again == report
    write_picture(tmp_path / "masks" / "1.png", square(first=5, last=8))
    changed, _ = stored(tmp_path, rows)
    assert changed.manifest.pack == report.manifest.pack
    assert changed.manifest.masks != report.manifest.masks
    assert codes(changed) == {}


def test_masks_that_were_changed_in_the_store_are_noticed(tmp_path: Path) -> None:
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    stored(tmp_path, rows)
    path = cohort_folder(tmp_path / "store", masked().digest) / "masks.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CohortChanged, match="found other masks than the manifest names"):
        open_cohort(tmp_path / "store", masked().digest)
    path.unlink()
    with pytest.raises(CohortChanged, match="missing or damaged"):
        open_cohort(tmp_path / "store", masked().digest)


@pytest.mark.parametrize("how", ["png", "seg", "seg without patient"])
def test_a_withdrawn_patient_s_masks_leave_and_never_come_back(tmp_path: Path, how: str) -> None:
    rows = write_images(tmp_path)
    if how == "png":
        pictures(tmp_path, rows)
    else:
        segmentations(tmp_path)
        for path in tmp_path.glob("dicom/*.seg.dcm") if how.endswith("patient") else ():
            made = seg(int(path.name[0]), number=int(path.name[0]))
            made.PatientID = ""
            write(made, path)
    _, cohort = stored(tmp_path, rows)
    patient = pseudonym("P3", key=KEY)
    (mask,) = [one.mask for one in cohort.manifest.rows if one.patient == patient]
    assert withdraw(tmp_path / "store", [patient]).images == 1
    agreed = masked()
    after = open_cohort(tmp_path / "store", agreed.digest)
    assert after.masks is not None
    assert cohort.masks is not None
    kept = [at for at, row in enumerate(cohort.manifest.rows) if row.patient != patient]
    assert (after.masks == cohort.masks[kept]).all()
    for _ in range(2):
        with opened_readings(readings_file(tmp_path / "store", agreed)) as readings:
            held = {one.mask for _, file in readings.files() for one in file.masks}
            assert mask not in held
        again, _ = stored(tmp_path, rows)
        assert codes(again) == {"withdrawn": 2}


def test_nothing_of_a_mask_but_its_pixels_is_kept(tmp_path: Path) -> None:
    marker = "ZQ7MARKER"
    rows = write_images(tmp_path)
    pictures(tmp_path, rows)
    text = PngInfo()
    text.add_text("Author", marker)
    text.add_itxt("Comment", marker)
    Picture.fromarray(drawn(1).astype(np.uint8)).save(tmp_path / "masks" / "1.png", pnginfo=text)
    made = seg(3, number=3)
    made.ContentLabel = made.ContentDescription = made.SeriesDescription = marker
    made.PatientName = made.ContentCreatorName = made.DeviceSerialNumber = marker
    made.SegmentSequence[0].SegmentLabel = made.SegmentSequence[0].TrackingID = marker
    made.PerFrameFunctionalGroupsSequence[0].add_new(0x00104000, "LT", marker)
    made.private_block(0x0019, "INVENTED", create=True).add_new(0x01, "LO", marker)
    made.preamble = marker.encode().ljust(128, b"\0")
    write(made, tmp_path / "dicom" / "3.seg.dcm")
    rows[3]["mask"] = ""
    assert marker.encode() in (tmp_path / "masks" / "1.png").read_bytes()
    assert marker.encode() in (tmp_path / "dicom" / "3.seg.dcm").read_bytes()
    report, _ = stored(tmp_path, rows)
    assert codes(report) == {}
    kept = [path for path in tmp_path.glob("store*/**/*") if path.is_file()]
    assert {path.suffix for path in kept} >= {".json", ".npy", ".sqlite"}
    assert not [path for path in kept if marker.encode() in path.read_bytes()]


def test_a_table_names_masks_below_its_own_folder_only(tmp_path: Path) -> None:
    for place in ("/etc/passwd", "../mask.png", "masks\\\\1.png"):
        rows = write_images(tmp_path)
        rows[1]["mask"] = place
        with pytest.raises(LabelsRefused, match="1 row with a file in column mask that does not"):
            stored(tmp_path, rows)


def test_the_outlines_of_a_real_hospital_lie_in_its_brains(
    shared_data: Path, tmp_path: Path
) -> None:
    text = Path("deployment/demo/brain-mri.contract.toml").read_text()
    agreed = DataContract.from_toml(text)
    labels = agreed.labels.model_copy(update={"mask": MaskRules()})
    agreed = agreed.model_copy(update={"labels": labels})
    site = shared_data / "brain-mri" / "CS"
    report = ingest(site / "dicom", site / "labels.csv", agreed, desk=desk(tmp_path / "store"))
    cohort = open_cohort(tmp_path / "store", agreed.digest)
    assert report.manifest.not_used == ()
    assert report.manifest.read == 254 + 95
    assert cohort.masks is not None
    shown = [bool(mask.any()) for mask in cohort.masks]
    assert [row.label == 1 for row in cohort.manifest.rows] == shown
    inside = cohort.pixels[cohort.masks.astype(bool)]
    assert float(inside.mean()) > float(cohort.pixels.mean()) + 1.0  # FLAIR shows tumour bright
