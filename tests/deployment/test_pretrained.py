"""Weights that a user brings: what is taken, what is refused, and that nothing is run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from aggregator.material import arrays_path
from deployment.material import pin
from deployment.pretrained import read_weights, started_from
from hospital_node.models.registry import build, trainable_arrays
from schemas.errors import FederationError, InputRefused
from schemas.names import digest_of
from schemas.network import ConvolutionalNetwork
from schemas.plan import FROZEN_SUFFIX, TrainingPlan
from schemas.wire.arrays import Arrays, declared_layout, decoded
from tests import study
from tests.brought import weights

HEAD = "body.10"

Brought: TypeAlias = Mapping[str, NDArray[Any]]


def own(seed: int = 0) -> Arrays:
    spec = ConvolutionalNetwork(channels=(4, 8), groups=2)
    return trainable_arrays(build(spec, height=16, width=16, seed=seed).module)


def written(folder: Path, arrays: Brought) -> Path:
    path = folder / "weights.safetensors"
    save_file(dict(arrays), path, metadata={"made": "elsewhere"})
    return path


def refused(folder: Path, arrays: Brought) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        started_from(read_weights(written(folder, arrays)), own(), head=HEAD)
    return caught.value


def arrays_of(path: Path) -> Arrays:
    content = path.read_bytes()
    return decoded(content, declared_layout(content))


def test_weights_are_taken_with_and_without_the_leading_name(tmp_path: Path) -> None:
    plain = {name.removeprefix("body."): array for name, array in own(5).items()}
    double: Brought = {name: one.astype(np.float64) for name, one in plain.items()}
    for arrays in (own(5), plain, double):
        start = started_from(read_weights(written(tmp_path, arrays)), own(), head=HEAD)
        assert start.from_seed == ()
        assert {name: one.tobytes() for name, one in start.arrays.items()} == {
            name: one.tobytes() for name, one in own(5).items()
        }


@pytest.mark.parametrize("shape", [None, (14, 128)])
def test_a_head_that_is_missing_or_of_other_classes_starts_from_the_seed_whole(
    tmp_path: Path, shape: tuple[int, ...] | None
) -> None:
    arrays = dict(own(5))
    del arrays[f"{HEAD}.weight"]
    if shape is not None:
        arrays[f"{HEAD}.weight"] = np.zeros(shape, np.float32)
    start = started_from(read_weights(written(tmp_path, arrays)), own(), head=HEAD)
    assert start.from_seed == (f"{HEAD}.bias", f"{HEAD}.weight")
    assert np.array_equal(start.arrays[f"{HEAD}.weight"], own()[f"{HEAD}.weight"])


def test_arrays_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    first, *_ = own(5)
    more = {**own(5), "body.extra.weight": np.zeros(2, np.float32)}
    less = {name: one for name, one in own(5).items() if name != first}
    other = {**own(5), first: np.zeros((1, 2), np.float32)}
    assert "unknown to the network (body.extra.weight)" in refused(tmp_path, more).message
    assert f"missing to the network ({first})" in refused(tmp_path, less).message
    assert f"misshapen to the network ({first})" in refused(tmp_path, other).message


def test_a_batch_normalisation_is_refused_by_name(tmp_path: Path) -> None:
    arrays = {**own(5), "body.1.running_mean": np.zeros(4, np.float32)}
    error = refused(tmp_path, arrays)
    assert "a batch normalisation (body.1.running_mean)" in error.message
    assert "group normalisation" in error.next_step


def test_what_is_no_finite_float_is_refused(tmp_path: Path) -> None:
    first, *_ = own(5)
    bads: list[NDArray[Any]] = [own()[first] * np.nan, np.ones(own()[first].shape, np.int64)]
    for bad in bads:
        assert f"not finite ({first})" in refused(tmp_path, {**own(5), first: bad}).message
    short = {name: torch.from_numpy(one).bfloat16() for name, one in own(5).items()}
    save_tensors(short, tmp_path / "short.safetensors")
    with pytest.raises(InputRefused, match="float16, float32 or float64"):
        read_weights(tmp_path / "short.safetensors")


TRAP = b"""cbuiltins\nexec\n(S"raise SystemExit('a pickle was run')"\ntR."""
"""What would be run by unpickling."""


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    for content in (TRAP, b"", b"\x00" * 7, b"\xff" * 64):
        (tmp_path / "weights.pt").write_bytes(content)
        with pytest.raises(InputRefused, match="no safetensors file"):
            read_weights(tmp_path / "weights.pt")
    with pytest.raises(InputRefused, match="cannot be read"):
        read_weights(tmp_path / "missing.safetensors")


def test_a_plan_is_pinned_with_what_is_trained_and_what_is_not(tmp_path: Path) -> None:
    site = study.made(tmp_path, approve=False, trainable="head")
    plan = site.parsed()
    frozen = site.plan.with_suffix(FROZEN_SUFFIX)
    assert plan.is_pinned
    assert plan.initial.pretrained == digest_of(weights(tmp_path).read_bytes())
    assert plan.initial.frozen == digest_of(frozen.read_bytes())
    assert set(arrays_of(arrays_path(site.plan))) == {f"{HEAD}.weight", f"{HEAD}.bias"}
    assert set(arrays_of(frozen)) | set(arrays_of(arrays_path(site.plan))) == set(own())
    assert np.array_equal(arrays_of(frozen)["body.0.weight"], own(99)["body.0.weight"])


def test_a_plan_can_start_whole_from_weights(tmp_path: Path) -> None:
    site = study.made(tmp_path, approve=False)
    pinned = pin(site.plan, source=weights(tmp_path))
    assert pinned.plan.initial.frozen is None
    assert pinned.plan.initial.pretrained is not None
    assert pinned.from_seed == ()
    whole = arrays_of(arrays_path(site.plan))
    assert {name: one.tobytes() for name, one in whole.items()} == {
        name: one.tobytes() for name, one in own(99).items()
    }
    with pytest.raises(InputRefused, match="it starts from pretrained weights"):
        pin(site.plan)


def test_a_frozen_body_never_comes_from_the_seed(tmp_path: Path) -> None:
    site = study.made(tmp_path, approve=False, trainable="head")
    with pytest.raises(InputRefused, match="no weights are named") as caught:
        pin(site.plan)
    assert "--from FILE.safetensors" in caught.value.next_step


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"network": {"kind": "gabor-fourier"}, "trainable": "head"}, "trained body"),
        ({"network": {"kind": "segresnet"}, "trainable": "head"}, "trained body"),
        ({"initial": {"seed": 3, "frozen": "sha256:" + "0" * 64}}, "initial.frozen needs"),
        ({"network": {"kind": "convolutional", "dropout": 0.1}, "trainable": "head"}, "nor drop"),
        (
            {
                "network": {"kind": "gabor-fourier"},
                "local": study.PLAN["local"] | {"augmentation": {}},
            },
            "neither augment",
        ),
        ({"trainable": "tail"}, "trainable"),
    ],
)
def test_plans_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, object], fault: str
) -> None:
    study.write_toml(tmp_path / "bad.plan.toml", study.PLAN | changes)
    with pytest.raises(FederationError, match=fault):
        TrainingPlan.from_toml((tmp_path / "bad.plan.toml").read_text())
