"""What a plan may say, what it is told when it may not, and what it never repeats."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import Record
from schemas.contract import DataContract
from schemas.errors import InvalidRecord
from schemas.plan import TrainingPlan
from schemas.privacy import SampledGaussian
from tests.schemas.written import CONTRACT, PLAIN_PLAN, PRIVATE_PLAN, changed

DEMO = Path(__file__).resolve().parents[2] / "deployment" / "demo"
SHIPPED = sorted(DEMO.glob("*.plan.toml"))
PLAIN = TrainingPlan.from_toml(PLAIN_PLAN)
PRIVATE = TrainingPlan.from_toml(PRIVATE_PLAN)


def test_plans_are_shipped() -> None:
    assert {path.name for path in SHIPPED} >= {"brain-mri.plan.toml", "chest-xray.plan.toml"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_plan_is_read_and_names_a_contract_beside_it(path: Path) -> None:
    plan = TrainingPlan.from_toml(path.read_text(encoding="utf-8"))
    assert TrainingPlan.from_canonical(plan.canonical()).digest == plan.digest
    DataContract.from_toml((DEMO / plan.contract.file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("protection", ["masked", "encrypted"])
def test_the_chest_x_ray_plans_differ_in_their_protection_alone(protection: str) -> None:
    plain, other = (
        tomllib.loads((DEMO / f"{name}.plan.toml").read_text(encoding="utf-8"))
        for name in ("chest-xray", f"chest-xray-{protection}")
    )
    assert other.pop("protection")["kind"] == protection
    assert {name for name in other if other[name] != plain.get(name)} == {
        "name",
        "participation",
        "update_gate",
    }
    assert other["participation"] == plain["participation"] | {"quorum": 3}


def test_a_plan_is_pinned_when_both_digests_stand_in_it() -> None:
    digest = "sha256:" + "0" * 64
    contract = f'file = "chest.contract.toml"\npinned = "{digest}"'
    arrays = f'seed = 0\narrays = "{digest}"'
    half = changed(PLAIN_PLAN, 'file = "chest.contract.toml"', contract)
    assert not PLAIN.is_pinned
    assert not TrainingPlan.from_toml(half).is_pinned
    assert not TrainingPlan.from_toml(changed(PLAIN_PLAN, "seed = 0", arrays)).is_pinned
    assert TrainingPlan.from_toml(changed(half, "seed = 0", arrays)).is_pinned


def test_a_site_is_found_by_its_name_alone() -> None:
    west = PLAIN.site("west")
    assert west is not None
    assert west.weight == 2.5
    assert PLAIN.site("north") is None


def test_a_private_plan_says_what_a_round_and_an_evaluation_cost() -> None:
    assert PRIVATE.train_event() == SampledGaussian(
        sampling_rate=0.5, noise_multiplier=2.0, steps=5
    )
    assert PRIVATE.evaluation_event() == SampledGaussian(
        sampling_rate=1.0, noise_multiplier=1.5, steps=1
    )


def test_a_plan_without_privacy_has_no_cost_to_state() -> None:
    assert PLAIN.train_event() is None
    assert PLAIN.evaluation_event() is None


WRONG_PLAIN = [
    ('kind = "none"', "", "/privacy: Unable to extract tag using discriminator 'kind'"),
    ('\n[privacy]\nkind = "none"\n', "", "/privacy: Field required"),
    ('kind = "none"', 'kind = "some"', "/privacy: 'kind' should be one of 'none', 'patient'"),
    ('name = "plain"', 'name = "a/b"', "/name: String should match pattern"),
    ("rounds = 4", "rounds = 0", "/rounds: Input should be greater than or equal to 1"),
    ("rounds = 4", "rounds = 4.0", "/rounds: Input should be a valid integer"),
    ("rounds = 4", "rounds = true", "/rounds: Input should be a valid integer"),
    ("rounds = 4", "rounds = 3", "/: Value error, a judged round lies after the last round"),
    ("rounds = [2, 4]", "rounds = [4, 2]",
     "/evaluation: Value error, rounds are not distinct, ascending and at least 1"),
    ("rounds = [2, 4]", "rounds = [2, 2]",
     "/evaluation: Value error, rounds are not distinct, ascending and at least 1"),
    ("rounds = [2, 4]", "rounds = [0]",
     "/evaluation: Value error, rounds are not distinct, ascending and at least 1"),
    ("rounds = [2, 4]", "rounds = []", "/evaluation/rounds: Tuple should have at least 1 item"),
    ("rounds = [2, 4]", "rounds = [2, 4]\nnoise_multiplier = 1.0",
     "/: Value error, evaluation.noise_multiplier needs privacy"),
    ('site = "west"', 'site = "east"', "/: Value error, a site is listed twice"),
    ("weight = 2.5", "weight = 0.0",
     "/sites/1/weight: Input should be greater than or equal to 0.000001"),
    ("learning_rate = 0.001", "learning_rate = 1e308",
     "/local/epochs/optimizer/adamw/learning_rate: Input should be less than or equal to 10000"),
    ('algorithm = "fedavg"', 'algorithm = "fedavg"\nlearning_rate = 1e300',
     "/aggregation/learning_rate: Input should be less than or equal to 10000"),
    ("quorum = 2", "quorum = 3",
     "/: Value error, the quorum is larger than the number of sites"),
    ("min_sites = 1", "min_sites = 3",
     "/: Value error, the gate's min_sites is larger than the number of sites"),
    ('algorithm = "fedavg"', 'algorithm = "fedavgm"',
     "/aggregation: Value error, fedavgm needs momentum above 0"),
    ('algorithm = "fedavg"', 'algorithm = "fedavg"\nmomentum = 0.5',
     "/aggregation: Value error, fedavg has no momentum"),
    ('algorithm = "fedavg"', 'algorithm = "fedavg"\naverage_from = 3',
     "/: Value error, average_from lies after the first judged round"),
    ('algorithm = "fedavg"', 'algorithm = "krum"',
     "/aggregation/algorithm: Input should be 'fedsgd', 'fedavg', 'fedavgm', 'fedprox'"),
    ("dropout = 0.3", "channels = [16, 0]",
     "/network/convolutional/channels/1: Input should be greater than or equal to 1"),
    ('kind = "convolutional"', 'kind = "transformer"',
     "/network: 'kind' should be one of 'convolutional', 'densenet', 'efficientnet', "),
    ("dropout = 0.3", 'class = "os.system"',
     "/network/convolutional/class: Extra inputs are not permitted"),
    ('file = "chest.contract.toml"', 'file = "../chest.contract.toml"',
     "/contract/file: String should match pattern"),
    ("quorum = 2", "quorum = 2\ndeadline_s = 0.0",
     "/participation/deadline_s: Input should be greater than 0"),
    ("quorum = 2", "quorum = 2\ndeadline_s = inf", "the file is not plain TOML (a value that"),
    ("learning_rate = 0.001", "learning_rate = nan", "the file is not plain TOML (a value that"),
    ("epochs = 1", "epochs = 2026-11-20", "the file is not plain TOML (a value that"),
    ("epochs = 1", "epochs = 1\nepochs = 2", "the file is not plain TOML (syntax at line"),
]  # fmt: skip

WRONG_PRIVATE = [
    ('kind = "patient"', 'kind = "none"', "/privacy/none/sampling_rate: Extra inputs are not"),
    ("expected_patients = 60.0", "",
     "/: Value error, privacy needs expected_patients of every site"),
    ("expected_patients = 60.0", "expected_patients = 1e-300",
     "/sites/0/expected_patients: Input should be greater than or equal to 1"),
    ("max_norm = 0.25", "max_norm = 1e300",
     "/privacy/patient/max_norm: Input should be less than or equal to 1000000000"),
    ("learning_rate = 1.0", "learning_rate = 1e308",
     "/local/private-steps/optimizer/learning_rate: Input should be less than or equal to 10000"),
    ("noise_multiplier = 1.5", "",
     "/: Value error, privacy needs evaluation.noise_multiplier"),
    ('kind = "gabor-fourier"', 'kind = "convolutional"\ndropout = 0.1',
     "/: Value error, dropout draws are not part of the private mechanism"),
    ('kind = "private-steps"\nsteps = 5', 'kind = "epochs"\nepochs = 1\nbatch_images = 8',
     "/: Value error, privacy needs local.kind private-steps"),
    ('"sgd", learning_rate', '"adamw", learning_rate',
     "/local/private-steps/optimizer/kind: Input should be 'sgd'"),
    ("sampling_rate = 0.5", "sampling_rate = 1.5",
     "/privacy/patient/sampling_rate: Input should be less than or equal to 1"),
    ("sampling_rate = 0.5", "sampling_rate = 0.0",
     "/privacy/patient/sampling_rate: Input should be greater than or equal to 0.000001"),
    ("noise_multiplier = 2.0", "noise_multiplier = 0.0",
     "/privacy/patient/noise_multiplier: Input should be greater than or equal to"),
    ("noise_multiplier = 2.0", "noise_multiplier = 1e300",
     "/privacy/patient/noise_multiplier: Input should be less than or equal to"),
    ("noise_multiplier = 1.5", "noise_multiplier = 0.0",
     "/evaluation/noise_multiplier: Input should be greater than or equal to"),
    ("max_norm = 0.25", "max_norm = 0.0",
     "/privacy/patient/max_norm: Input should be greater than or equal to 0.000000001"),
    ("delta = 1e-4", "delta = 0.02",
     "/privacy/patient/delta: Input should be less than or equal to 0.01"),
    ("delta = 1e-4", "delta = 0.0", "/privacy/patient/delta: Input should be greater than 0"),
    ("steps = 5", "steps = 0", "/local/private-steps/steps: Input should be greater than or"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [(PLAIN_PLAN, *row) for row in WRONG_PLAIN] + [(PRIVATE_PLAN, *row) for row in WRONG_PRIVATE],
)
def test_a_wrong_plan_is_told_where_and_why(text: str, old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        TrainingPlan.from_toml(changed(text, old, new))
    assert refused.value.message.startswith(f"TrainingPlan refused: {message}")


def test_private_steps_without_privacy_are_refused() -> None:
    privacy = PRIVATE_PLAN.partition("[privacy]\n")[2].partition("\n[")[0]
    with pytest.raises(InvalidRecord) as refused:
        TrainingPlan.from_toml(changed(PRIVATE_PLAN, privacy, 'kind = "none"\n'))
    assert refused.value.message == (
        "TrainingPlan refused: /: Value error, local.kind private-steps needs privacy; "
        "evaluation.noise_multiplier needs privacy"
    )


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Walk to every value of a tree."""
    if path:
        yield path
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    if isinstance(value, list):
        inner = list(enumerate(value))
    for key, one in inner:
        yield from _places(one, (*path, key))


TREES: dict[type[Record], object] = {
    DataContract: tomllib.loads(CONTRACT),
    TrainingPlan: tomllib.loads(PRIVATE_PLAN),
}
MARKS: list[object] = [
    "Doe^Jane 7781 ",
    7781778177817781,
    -7781.7781,
    ["Doe^Jane 7781 "],
    {"kind": "Doe^Jane 7781 "},
    {"Doe^Jane 7781 ": 1},
]


@given(st.data())
def test_no_refusal_repeats_a_value(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(TREES, key=lambda one: one.__name__)))
    tree = json.loads(json.dumps(TREES[kind]))
    path = data.draw(st.sampled_from(list(_places(tree))))
    place = tree
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = data.draw(st.sampled_from(MARKS))
    with pytest.raises(InvalidRecord) as refused:  # if by nothing else, by its spaces
        kind.from_canonical(json.dumps(tree).encode())
    said = f"{refused.value} {refused.value.message} {refused.value.next_step}"
    assert "7781" not in said
    assert "Doe" not in said
    assert refused.value.__cause__ is None, "a traceback would repeat it"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
