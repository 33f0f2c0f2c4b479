"""A manifest's counts add up, and no patient stands in both parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.base import MAX_RECORD_BYTES
from schemas.manifest import DatasetManifest, FileCount, ImageRow, Part
from schemas.names import digest_of

DIGEST = digest_of(b"")


def row(image: int, patient: int, part: Part) -> ImageRow:
    return ImageRow(
        image=digest_of(image.to_bytes(2)), patient=f"{patient:032x}", part=part, label=patient % 2
    )


def manifest(
    rows: list[ImageRow], *, read: int, not_used: tuple[FileCount, ...] = ()
) -> DatasetManifest:
    return DatasetManifest(
        site="east",
        contract=DIGEST,
        pack=DIGEST,
        height=32,
        width=32,
        read=read,
        rows=tuple(sorted(rows, key=lambda one: one.image)),
        not_used=not_used,
    )


COUNTS = st.lists(
    st.builds(
        FileCount,
        outcome=st.sampled_from(["quarantined", "refused"]),
        code=st.sampled_from(["not-dicom", "no-label", "burned-in"]),
        files=st.integers(1, 9),
    ),
    max_size=4,
).map(tuple)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12), COUNTS)
def test_a_manifest_counts_its_patients_and_every_file(
    images: list[tuple[int, bool]], not_used: tuple[FileCount, ...]
) -> None:
    parts: dict[int, Part] = {p: "train" if first else "validation" for p, first in images}
    rows = [row(i, patient, parts[patient]) for i, (patient, _) in enumerate(images)]
    read = len(rows) + sum(one.files for one in not_used)
    found = manifest(rows, read=read, not_used=not_used)
    assert DatasetManifest.from_canonical(found.canonical()) == found
    assert found.patients() == len(parts)
    assert found.patients("train") == sum(part == "train" for part in parts.values())
    assert found.patients("train") + found.patients("validation") == found.patients()
    for wrong in (read - 1, read + 1):
        with pytest.raises(ValidationError):
            manifest(rows, read=wrong, not_used=not_used)


def test_files_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(
        ValidationError, match="files read, used, quarantined and refused do not add up"
    ):
        manifest([row(1, 1, "train")], read=2)


def test_rows_in_another_order_are_refused() -> None:
    rows = sorted([row(1, 1, "train"), row(2, 2, "train")], key=lambda one: one.image)
    fields = manifest(rows, read=2).model_dump()
    DatasetManifest.model_validate(fields)
    with pytest.raises(ValidationError, match="rows are not sorted by image digest"):
        DatasetManifest.model_validate({**fields, "rows": tuple(reversed(fields["rows"]))})


def test_a_patient_in_both_parts_is_refused_without_the_pseudonym() -> None:
    with pytest.raises(ValidationError, match="a patient stands in both parts") as refused:
        manifest([row(1, 7, "train"), row(2, 7, "validation")], read=2)
    assert f"{7:032x}" not in str(refused.value)


@pytest.mark.parametrize(
    "patient", ["", "Doe^Jane", "7" * 31, "7" * 33, "A" * 32, "1.2.840." + "0" * 24]
)
def test_only_a_keyed_pseudonym_may_name_a_patient(patient: str) -> None:
    with pytest.raises(ValidationError):
        ImageRow(image=DIGEST, patient=patient, part="train", label=0)


def test_a_manifest_of_a_hundred_thousand_images_is_read_again() -> None:
    one = manifest([row(1, 1, "train")], read=1).canonical().decode()
    start, end = one.index('{"files"'), one.index("]", one.index('"rows"'))
    rows = (one[start:end].replace(digest_of(b"\x00\x01")[-64:], f"{n:064x}") for n in range(10**5))
    content = f"{one[:start]}{','.join(rows)}{one[end:]}".replace('"read":1,', '"read":100000,')

    assert len(content) > MAX_RECORD_BYTES
    assert DatasetManifest.from_canonical(content.encode()).used == 10**5
