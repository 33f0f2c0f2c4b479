"""Changes of a contract, one field at a time; and the exported form, held as a golden file."""

import json
from pathlib import Path
from typing import Any

import pytest

import deployment.cli
from schemas.checks import DIMENSIONS
from schemas.command_line import run
from schemas.contract import DataContract
from schemas.contract_changes import change_of, changes, is_raised_enough
from schemas.contract_schema import contract_schema
from tests.conftest import ROOT
from tests.hospital_node.cohort.exports import contract

GOLDEN = ROOT / "tests" / "vectors" / "data-contract.schema.json"


def changed(**updates: Any) -> DataContract:
    """Return the small contract with values replaced by their pointers, `__` for each slash."""
    fields = contract().model_dump(mode="json")
    for name, value in updates.items():
        *path, last = name.split("__")
        place: Any = fields
        for step in path:
            place = place[int(step)] if step.isdigit() else place[step]
        place[last] = value
    return DataContract.model_validate_json(json.dumps(fields))


REFERENCE = {
    "low": 0.0,
    "high": 1.0,
    "shares": [0.5, 0.5],
    "distance": "wasserstein-1",
    "most_distance": 0.1,
}


def weight(code: str, severity: str, **more: object) -> dict[str, object]:
    return {"code": code, "dimension": DIMENSIONS[code], "severity": severity, **more}


STORIES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "none"),
    "a title": ({"title": "Other words"}, "patch"),
    "a meaning": ({"labels__classes__0__meaning": "Nothing found"}, "patch"),
    "an approval": ({"legal_references": ["A board"]}, "patch"),
    "one more modality": ({"image__modalities": ["DX", "CR"]}, "minor"),
    "another modality": ({"image__modalities": ["CR"]}, "major"),
    "larger images": ({"image__rows__most": 128}, "minor"),
    "smaller images only": ({"image__rows__most": 32}, "major"),
    "a lower least": ({"image__rows__least": 4}, "minor"),
    "a higher least": ({"image__rows__least": 9}, "major"),
    "fewer patients": ({"cohort__min_patients": 2}, "none"),
    "more patients": ({"cohort__min_patients": 3}, "major"),
    "one attribute needed": ({"image__required_attributes": ["ViewPosition"]}, "major"),
    "one attribute forbidden": ({"image__forbidden_attributes": ["PatientName"]}, "major"),
    "a view": ({"image__views": ["PA"]}, "major"),
    "a side": ({"image__lateralities": ["L"]}, "major"),
    "a body part": ({"image__body_parts": ["CHEST"]}, "major"),
    "a distance": ({"image__spacing_mm": {"least": 0.1, "most": 0.2}}, "major"),
    "more of each class": ({"cohort__min_patients_of_class": 5}, "major"),
    "a reference that blocks": (
        {"reference": REFERENCE, "checks": [weight("drift", "block")]},
        "major",
    ),
    "a check graver": ({"checks": [weight("near-duplicate", "block")]}, "major"),
    "a check lighter": ({"checks": [weight("too-few-patients", "warn")]}, "minor"),
    "a check in other words": ({"checks": [weight("no-label", "warn", remedy="Ask")]}, "patch"),
    "a sign lighter": ({"checks": [weight("overlay", "warn")]}, "major"),
    "more images of a patient": ({"cohort__max_images_per_patient": 4}, "major"),
    "another split": ({"cohort__parts__validation_fraction": 0.3}, "major"),
    "another size": ({"preprocessing__height": 16}, "major"),
    "another floor": ({"preprocessing__normalisation__floor": 0.03}, "major"),
    "another intensity": (
        {"preprocessing__intensity": {"kind": "window", "low": 0.0, "high": 1.0}},
        "major",
    ),
    "another class": ({"labels__classes__1__value": "2"}, "major"),
    "another code": ({"labels__classes__1__code": "233604007"}, "major"),
    "laxer pixels": ({"deidentification__burned_in": "warn"}, "major"),
    "another contract": ({"id": "other"}, "major"),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_change_is_as_grave_as_its_gravest_field(story: str) -> None:
    updates, level = STORIES[story]
    found = changes(contract(), changed(**updates))
    assert change_of(found) == level
    assert bool(found) == (level != "none")


def test_a_change_names_its_place_and_no_value() -> None:
    (one,) = changes(contract(), changed(image__rows__most=77))
    assert (one.pointer, one.level, one.reason) == ("/image/rows/most", "minor", "a higher most")
    assert "77" not in one.canonical().decode()


FORTH: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no distance asked": (
        {"image__spacing_mm": {"least": 0.1, "most": 0.2}},
        {"image__spacing_mm": None},
        "minor",
    ),
    "a wider distance": (
        {"image__spacing_mm": {"least": 0.1, "most": 0.2}},
        {"image__spacing_mm": {"least": 0.05, "most": 0.3}},
        "minor",
    ),
    "one more view": ({"image__views": ["PA"]}, {"image__views": ["AP", "PA"]}, "minor"),
    "any view": ({"image__views": ["PA"]}, {"image__views": []}, "minor"),
    "another view": ({"image__views": ["PA"]}, {"image__views": ["AP"]}, "major"),
    "nothing forbidden": (
        {"image__forbidden_attributes": ["PatientName"]},
        {"image__forbidden_attributes": []},
        "minor",
    ),
    "drift tolerated further": (
        {"reference": REFERENCE, "checks": [weight("drift", "block")]},
        {"reference": {**REFERENCE, "most_distance": 0.2}, "checks": [weight("drift", "block")]},
        "minor",
    ),
    "drift from something else": (
        {"reference": REFERENCE, "checks": [weight("drift", "block")]},
        {"reference": {**REFERENCE, "shares": [0.25, 0.75]}, "checks": [weight("drift", "block")]},
        "major",
    ),
    "a reference that is only warned of": ({}, {"reference": REFERENCE}, "minor"),
    "no drift": (
        {"reference": REFERENCE, "checks": [weight("drift", "block")]},
        {},
        "minor",
    ),
    "a larger share": (
        {"checks": [weight("no-label", "block", most_share=0.1)]},
        {"checks": [weight("no-label", "block", most_share=0.2)]},
        "minor",
    ),
    "a smaller share": (
        {"checks": [weight("no-label", "block", most_share=0.1)]},
        {"checks": [weight("no-label", "block")]},
        "major",
    ),
    "checks in another order": (
        {"checks": [weight("no-label", "block"), weight("rows", "block")]},
        {"checks": [weight("rows", "block"), weight("no-label", "block")]},
        "none",
    ),
}


@pytest.mark.parametrize("story", FORTH)
def test_what_is_asked_of_images_and_checks_is_weighed_both_ways(story: str) -> None:
    old, new, level = FORTH[story]
    assert change_of(changes(changed(**old), changed(**new))) == level


def test_a_check_that_is_weighed_otherwise_is_named() -> None:
    (one,) = changes(contract(), changed(checks=[weight("near-duplicate", "block")]))
    assert (one.pointer, one.reason) == ("/checks/0", "near-duplicate: graver")


def test_back_and_forth_one_of_the_ways_is_major_where_any_rule_is_not_words() -> None:
    for updates, level in STORIES.values():
        there = change_of(changes(contract(), changed(**updates)))
        back = change_of(changes(changed(**updates), contract()))
        assert there == level
        if level in {"minor", "major"}:
            assert "major" in {there, back}
        else:
            assert back == level


@pytest.mark.parametrize(
    ("version", "level", "enough"),
    [
        ("1.0.0", "none", True),
        ("0.9.9", "none", False),
        ("1.0.0", "patch", False),
        ("1.0.1", "patch", True),
        ("1.0.1", "minor", False),
        ("1.1.0", "minor", True),
        ("1.9.9", "major", False),
        ("2.0.0", "major", True),
    ],
)
def test_the_version_is_raised_as_far_as_the_change_needs(
    version: str, level: Any, enough: object
) -> None:
    assert is_raised_enough(contract(), changed(version=version), level) is enough


def test_the_command_says_each_field_and_ends_with_one_for_a_version_too_low(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "deployment" / "demo" / "chest-xray.contract.toml").read_text()
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(text)
    new.write_text(text.replace('["CR", "DX"]', '["CR", "DX", "RG"]'))
    assert run(deployment.cli.app, ["contract", "diff", str(old), str(new)]) == 1
    said = capsys.readouterr().out
    assert "minor: /image/modalities: more is allowed" in said
    assert "the version is not raised as far as a minor change needs" in said
    new.write_text(new.read_text().replace('version = "1.0.0"', 'version = "1.1.0"'))
    assert run(deployment.cli.app, ["contract", "diff", str(old), str(new), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["change"], told["version_raised_enough"]) == ("minor", True)


def test_the_exported_form_is_the_golden_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(deployment.cli.app, ["contract", "schema"]) == 0
    assert capsys.readouterr().out == contract_schema()
    assert contract_schema() == GOLDEN.read_text(), (
        "the form changed: raise schema_version or the contract's version rules, then "
        "consilium contract schema > tests/vectors/data-contract.schema.json"
    )
