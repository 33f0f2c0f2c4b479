"""What a contract may say, and what it is told when it may not."""

from pathlib import Path

import pytest

from schemas.base import Record
from schemas.contract import DataContract, PartByColumn, PartByHash
from schemas.errors import InvalidRecord
from schemas.recipe import (
    FixedNormalisation,
    ImageNormalisation,
    PatientNormalisation,
    StoredBits,
    Window,
)
from tests.schemas.written import CONTRACT, changed

DEMO = Path(__file__).resolve().parents[2] / "deployment" / "demo"
SHIPPED = sorted(DEMO.glob("*.contract.toml"))


def test_contracts_are_shipped() -> None:
    assert {path.name for path in SHIPPED} >= {
        "brain-mri.contract.toml",
        "chest-xray.contract.toml",
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_contract_is_read_and_keeps_its_name(path: Path) -> None:
    contract = DataContract.from_toml(path.read_text(encoding="utf-8"))
    assert DataContract.from_canonical(contract.canonical()).digest == contract.digest


def test_comments_and_order_do_not_change_a_contracts_digest_and_a_word_does() -> None:
    contract = DataContract.from_toml(CONTRACT)
    moved = changed(CONTRACT, 'id = "chest"\n', "") + "\n"
    moved = 'id = "chest"  # the same\nschema_version = 1\n' + moved
    assert DataContract.from_toml(moved).digest == contract.digest
    other = changed(CONTRACT, '"Tests"', '"tests"')
    assert DataContract.from_toml(other).digest != contract.digest


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('{ kind = "hash", validation_fraction = 0.25 }', '{ kind = "column", column = "split" }',
         PartByColumn(column="split", train="train", validation="val")),
        ('{ kind = "hash", validation_fraction = 0.25 }',
         '{ kind = "hash", validation_fraction = 0.5 }', PartByHash(validation_fraction=0.5)),
        ('{ kind = "window", low = -100.0, high = 300.0 }', '{ kind = "stored-bits" }',
         StoredBits()),
        ("low = -100.0, high = 300.0", "low = -100, high = 300", Window(low=-100.0, high=300.0)),
        ('"fixed", mean = 0.5, deviation = 0.25', '"image", floor = 0.02',
         ImageNormalisation(floor=0.02)),
        ('"fixed", mean = 0.5, deviation = 0.25',
         '"patient", foreground = 0.05, floor = 0.02, low = -4.0, high = 4.0',
         PatientNormalisation(foreground=0.05, floor=0.02, low=-4.0, high=4.0)),
        ("mean = 0.5", "mean = 0", FixedNormalisation(mean=0.0, deviation=0.25)),
    ],
)  # fmt: skip
def test_each_variant_is_told_by_its_kind(old: str, new: str, expected: Record) -> None:
    contract = DataContract.from_toml(changed(CONTRACT, old, new))
    recipe = contract.preprocessing
    assert expected in (contract.cohort.parts, recipe.intensity, recipe.normalisation)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "chest"', 'id = "../chest"', "/id: String should match pattern"),
        ('version = "1.0.0"', 'version = "1.0"', "/version: String should match pattern"),
        ('status = "active"', 'status = "final"',
         "/status: Input should be 'draft', 'active' or 'deprecated'"),
        ('id = "chest"', 'id = "chest"\nschema_version = 2', "/schema_version: Input should be 1"),
        ('title = "Frontal chest X-rays"', "", "/title: Field required"),
        ("min_patients = 2", "min_patients = 1",
         "/cohort/min_patients: Input should be greater than or equal to 2"),
        ("max_images_per_patient = 4", "max_images_per_patient = 0",
         "/cohort/max_images_per_patient: Input should be greater than or equal to 1"),
        ("validation_fraction = 0.25", "validation_fraction = 1.0",
         "/cohort/parts/hash/validation_fraction: Input should be less than 1"),
        ('kind = "hash"', 'kind = "random"',
         "/cohort/parts: 'kind' should be one of 'hash', 'column'"),
        ('["CR"]', "[]", "/image/modalities: Tuple should have at least 1 item"),
        ('["MONOCHROME2"]', '["CMYK"]',
         "/image/photometric/0: Input should be 'MONOCHROME1', 'MONOCHROME2', 'PALETTE COLOR'"),
        ("rows = { least = 64", "rows = { least = 5000",
         "/image/rows: Value error, least is above most"),
        ("bits_stored = { least = 8", "bits_stored = { least = 0",
         "/image/bits_stored/least: Input should be greater than or equal to 1"),
        ("low = -100.0", "low = 300.0",
         "/preprocessing/intensity/window: Value error, low is not below high"),
        ("deviation = 0.25", "deviation = 0.0",
         "/preprocessing/normalisation/fixed/deviation: Input should be greater than 0"),
        ("height = 32", "height = 7", "/preprocessing/height: Input should be greater than or"),
        ("height = 32", "height = 32.5", "/preprocessing/height: Input should be a valid integer"),
        (', { value = "1", meaning = "yes" }]', "]", "/labels/classes/1: Field required"),
        ('column = "label"', 'columns = "label"',
         "/labels/column: Field required; /labels/columns: Extra inputs are not permitted"),
        ("height = 32", "depth = 16\nheight = 32",
         "/: Value error, frames of kind volume and preprocessing.depth go together"),
        ("height = 32", "spacing_mm = [1.0]\nheight = 32",
         "/preprocessing/spacing_mm: Tuple should have at least 2 items"),
        ("height = 32", "spacing_mm = [1.0, 1.0, 1.0]\nheight = 32",
         "/preprocessing: Value error, 2 spacings are needed"),
        ("height = 32", 'channels = "rgb"\ndepth = 16\nheight = 32',
         "/preprocessing: Value error, a volume is grey"),
    ],
)  # fmt: skip
def test_a_wrong_contract_is_told_where_and_why(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        DataContract.from_toml(changed(CONTRACT, old, new))
    assert refused.value.message.startswith(f"DataContract refused: {message}")
