"""A private round over volumes, and a segmentation of volumes that learns."""

from pathlib import Path
from typing import Any

import pytest

from deployment.material import pin
from hospital_node.bundle import write_bundle
from hospital_node.cohort.store import open_cohort
from hospital_node.config import NodeHome
from hospital_node.delivery import opened_model
from schemas.errors import InputRefused
from tests.volumetric import CLASSIFIER, SEGMENTER, SIDE, SLICES, made, unpinned


def test_a_private_round_trains_a_classifier_of_volumes(tmp_path: Path) -> None:
    study = made(tmp_path, private=True, network=CLASSIFIER)
    state = study.conducted()
    assert state.round == 1
    assert state.verdict is not None
    home = NodeHome(study.nodes["east"])
    cohort = open_cohort(home.cohort, study.parsed().contract.pinned or "")
    assert cohort.pixels.shape[1:] == (SLICES, SIDE, SIDE)


def test_a_segmentation_of_volumes_learns_where_the_ball_is(tmp_path: Path) -> None:
    local = {
        "kind": "epochs",
        "epochs": 20,
        "batch_images": 4,
        "optimizer": {"kind": "adamw", "learning_rate": 0.03},
    }
    study = made(tmp_path, network=SEGMENTER, local=local)
    state = study.conducted()
    assert state.verdict is not None
    assert state.verdict.dice is not None
    assert state.verdict.dice > 0.4  # all of a volume marked would give less than 0.05


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a network of images": (
        {"network": {"kind": "gabor-fourier", "features": 64}},
        "plan refused: contract balls makes volumes, its network gabor-fourier takes images",
    ),
    "augmentation": (
        {
            "local": {
                "kind": "epochs",
                "epochs": 1,
                "batch_images": 4,
                "optimizer": {"kind": "sgd", "learning_rate": 0.1},
                "augmentation": {},
            }
        },
        "plan refused: contract balls makes volumes, and only images are augmented",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_a_plan_over_volumes_that_cannot_be_is_refused_when_it_is_read(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    study = unpinned(tmp_path, **changes)
    with pytest.raises(InputRefused) as refused:
        pin(study.plan)
    assert refused.value.message == message


def test_a_model_of_volumes_is_delivered_and_no_bundle_is_made_of_it(tmp_path: Path) -> None:
    study = made(tmp_path, network=CLASSIFIER)
    state = study.conducted()
    delivered = opened_model(NodeHome(study.nodes["east"]), state.accepted.arrays)
    with pytest.raises(InputRefused, match="makes volumes, only images are predicted"):
        write_bundle(delivered.release, delivered.arrays, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
