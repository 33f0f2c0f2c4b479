"""What may be kept of a header, and under which name a patient appears."""

import hmac
import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from hospital_node.cohort.deidentification import ALLOWED, part_of, pseudonym, risks_of
from tests.hospital_node.cohort.exports import KEY


def test_no_allowed_attribute_is_one_that_the_standard_removes_or_cleans(
    shared_vectors: Path,
) -> None:
    table = json.loads((shared_vectors / "ps315-E.1-1-2025a.json").read_text(encoding="utf-8"))
    named = {row["id"].lower() for row in table}
    allowed = {f"{tag_for_keyword(keyword):08x}" for keyword in ALLOWED}
    assert allowed & named == set()


def test_a_pseudonym_is_an_hmac_under_a_key_of_its_own() -> None:
    derived = hmac.new(KEY, b"consilium/patient-pseudonym/1", sha256).digest()
    expected = hmac.new(derived, b"Jos\xc3\xa9 7", sha256).hexdigest()[:32]
    assert pseudonym("José 7", key=KEY) == expected


@given(st.text(min_size=1), st.text(min_size=1))
def test_pseudonyms_tell_patients_apart_and_depend_on_the_key(one: str, other: str) -> None:
    assert (pseudonym(one, key=KEY) == pseudonym(other, key=KEY)) == (one == other)
    assert pseudonym(one, key=KEY) != pseudonym(one, key=bytes(32))


@given(st.text(), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_validation_patient_stays_one_at_every_larger_fraction(
    patient: str, one: float, other: float
) -> None:
    least, most = sorted((one, other))
    if part_of(patient, key=KEY, validation_fraction=least) == "validation":
        assert part_of(patient, key=KEY, validation_fraction=most) == "validation"


def test_the_validation_fraction_is_met() -> None:
    drawn = [part_of(str(n), key=KEY, validation_fraction=0.2) for n in range(10_000)]
    assert drawn.count("validation") / len(drawn) == pytest.approx(0.2, abs=0.012)


RISKS = {
    "nothing said": ({}, False, ()),
    "declared clean": ({"BurnedInAnnotation": "NO"}, False, ()),
    "declared": ({"BurnedInAnnotation": "YES"}, False, ("burned-in-declared",)),
    "declared oddly": ({"BurnedInAnnotation": "MAYBE"}, False, ("burned-in-declared",)),
    "secondary capture": (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        False,
        ("secondary-capture",),
    ),
    "many of them": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, False, ("secondary-capture",)),
    "another class": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1"}, False, ()),
    "secondary image": ({"ImageType": "DERIVED\\SECONDARY"}, False, ("secondary-image",)),
    "overlay": ({}, True, ("overlay",)),
}


@pytest.mark.parametrize(("header", "overlay", "expected"), RISKS.values(), ids=RISKS)
def test_signs_of_text_in_the_pixels_are_named(
    header: dict[str, str],
    overlay: bool,  # noqa: FBT001 - a column of the table
    expected: tuple[str, ...],
) -> None:
    assert risks_of(header, overlay=overlay, regions=False) == expected
