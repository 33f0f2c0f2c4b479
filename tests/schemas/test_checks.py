"""How a contract weighs checks, and what it cannot say."""

import json
from typing import Any

import pytest

from schemas.checks import DIMENSIONS, RESIDUE, SIGNS, Check
from schemas.contract import DataContract
from schemas.errors import InvalidRecord
from schemas.image_rules import Distances, ImageRules
from schemas.reference import ReferenceHistogram
from tests.hospital_node.cohort.exports import contract

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown code": ({"code": "weather"}, "no check that a contract can weigh has this code"),
    "what cannot be lightened": (
        {"code": RESIDUE, "dimension": "confidentiality"},
        "no check that a contract can weigh has this code",
    ),
    "another dimension": ({"dimension": "coverage"}, "near-duplicate is of dimension uniqueness"),
    "a quarantine for nobody to look at": (
        {"severity": "quarantine"},
        "only a sign of text in the pixels can quarantine",
    ),
    "a share of the whole": (
        {"code": "drift", "dimension": "coverage", "most_share": 0.5},
        "drift is about the cohort as a whole and has no share",
    ),
}


@pytest.mark.parametrize("story", REFUSED)
def test_a_weight_that_means_nothing_is_refused(story: str) -> None:
    changes, message = REFUSED[story]
    fields = {"code": "near-duplicate", "dimension": "uniqueness", "severity": "block", **changes}
    fields |= {"most_share": fields.get("most_share", 0.0), "remedy": ""}
    with pytest.raises(InvalidRecord, match=message):
        Check.from_canonical(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def weighing(*checks: Check) -> DataContract:
    fields = contract().model_dump(mode="json")
    fields["checks"] = [one.model_dump(mode="json") for one in checks]
    return DataContract.model_validate_json(json.dumps(fields))


def test_a_contract_weighs_each_check_once() -> None:
    one = Check(code="rows", dimension="conformity", severity="block")
    assert weighing(one).severity("rows") == "block"
    with pytest.raises(ValueError, match="a check is weighed twice"):
        weighing(one, one)


def test_drift_is_weighed_only_against_a_reference() -> None:
    with pytest.raises(ValueError, match="no reference says against what"):
        weighing(Check(code="drift", dimension="coverage", severity="block"))


def test_every_sign_and_only_a_sign_has_the_weight_of_burned_in_text() -> None:
    lax = contract(burned_in="warn")
    for code in DIMENSIONS:
        assert (contract().severity(code) == "quarantine") == (code in SIGNS)
        assert lax.severity(code) != "quarantine"


def test_an_attribute_is_not_both_required_and_forbidden() -> None:
    with pytest.raises(ValueError, match="an attribute is both required and forbidden"):
        contract(required_attributes=("PatientSex",), forbidden_attributes=("PatientSex",))


@pytest.mark.parametrize("view", ["", " PA", "PA ", "pa", "A" * 17, "P\\A"])
def test_a_view_has_the_form_of_the_standard(view: str) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        contract(views=(view,))


def test_distances_are_a_range_and_hold_what_exports_round() -> None:
    with pytest.raises(ValueError, match="least is above most"):
        Distances(least=0.2, most=0.1)
    allowed = Distances(least=0.1, most=0.2)
    assert allowed.holds(0.1 + 0.1)
    assert allowed.holds(0.3 - 0.1)
    assert not allowed.holds(0.21)
    assert "spacing_mm" in ImageRules.model_fields


def reference(*shares: float) -> ReferenceHistogram:
    return ReferenceHistogram(low=0.0, high=1.0, shares=shares, most_distance=0.1)


@pytest.mark.parametrize(
    ("shares", "distance"),
    [
        ((1.0, 0.0, 0.0, 0.0), 0.0),
        ((0.0, 1.0, 0.0, 0.0), 0.25),
        ((0.0, 0.0, 0.0, 1.0), 0.75),
        ((0.5, 0.5, 0.0, 0.0), 0.125),
    ],
)
def test_a_distance_is_how_far_values_moved_as_a_share_of_the_range(
    shares: tuple[float, ...], distance: float
) -> None:
    assert reference(1.0, 0.0, 0.0, 0.0).distance_to(shares) == pytest.approx(distance)
    assert reference(*shares).distance_to((1.0, 0.0, 0.0, 0.0)) == pytest.approx(distance)


def test_a_reference_is_a_distribution() -> None:
    with pytest.raises(ValueError, match="do not add up to 1"):
        reference(0.5, 0.4)
    with pytest.raises(ValueError, match="low is not below high"):
        ReferenceHistogram(low=1.0, high=1.0, shares=(0.5, 0.5), most_distance=0.1)
