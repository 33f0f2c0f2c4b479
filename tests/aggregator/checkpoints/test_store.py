from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from aggregator.aggregation.spool import Vector
from aggregator.checkpoints.store import CheckpointStore, written
from schemas.checkpoint import CheckpointManifest, Source
from schemas.errors import ArraysRefused, CheckpointDamaged
from schemas.names import Digest, digest_of
from schemas.wire.arrays import decoded
from tests.aggregator.examples import DIGEST, LAYOUT, MOMENT, SIZE, body

VECTOR = np.arange(SIZE, dtype=np.float32)


def manifest(arrays: Digest, *, run: str = "run-1") -> CheckpointManifest:
    return CheckpointManifest(
        arrays=arrays,
        federation="study",
        run=run,
        plan=DIGEST,
        contract=DIGEST,
        round=1,
        parent=DIGEST,
        trained_from=DIGEST,
        sources=(Source(site="A", update=DIGEST, weight=1.0),),
        kind="candidate",
        created=MOMENT,
    )


def put(store: CheckpointStore, vector: Vector = VECTOR) -> CheckpointManifest:
    made = manifest(store.keep_arrays(written(LAYOUT, vector)))
    assert store.describe(made) == made.digest
    return made


def the_object(store: CheckpointStore, digest: Digest, suffix: str) -> Path:
    return store.folder / f"{digest.removeprefix('sha256:')}.{suffix}"


def test_a_stored_model_is_plain_safetensors_of_its_layout(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "objects")
    made = put(store)
    content = store.arrays(made.arrays)
    assert content == body(VECTOR)
    assert {name: one.tolist() for name, one in load(content).items()} == {
        name: one.tolist() for name, one in decoded(content, LAYOUT).items()
    }
    assert np.array_equal(store.vector(made.arrays, LAYOUT), VECTOR)
    assert store.manifest(made.digest) == made


def test_storing_again_changes_no_file(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    put(store)
    before = {path: path.stat().st_ino for path in tmp_path.iterdir()}
    put(store)
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == before


def test_two_runs_may_start_from_the_same_arrays(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    arrays = store.keep_arrays(written(LAYOUT, VECTOR))
    assert arrays == store.keep_arrays(body(VECTOR))
    digests = [store.describe(manifest(arrays, run=run)) for run in ("run-1", "run-2")]
    assert [store.manifest(one).run for one in digests] == ["run-1", "run-2"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_that_is_not_finite_is_never_stored(tmp_path: Path, value: float) -> None:
    store = CheckpointStore(tmp_path / "objects")
    broken = VECTOR.copy()
    broken[2] = value
    with pytest.raises(ArraysRefused, match="checkpoint refused: it holds values that are not"):
        store.keep_arrays(written(LAYOUT, broken))
    assert not store.folder.exists()


def test_a_manifest_of_absent_arrays_is_a_mistake(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    with pytest.raises(ValueError, match="arrays that are not kept"):
        store.describe(manifest(DIGEST))


@pytest.mark.parametrize("vector", [VECTOR[:-1], VECTOR.astype(np.float64)])
def test_a_vector_of_another_form_is_a_mistake(vector: Vector) -> None:
    with pytest.raises(ValueError, match="does not fit the layout"):
        written(LAYOUT, vector)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[:-1],
    "empty": lambda _: b"",
    "one bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "longer": lambda content: content + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_a_damaged_object_is_noticed_and_mended_by_storing_it_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], suffix: str
) -> None:
    store = CheckpointStore(tmp_path)
    other = store.keep_arrays(written(LAYOUT, -VECTOR))
    made = put(store)
    digest = made.arrays if suffix == "safetensors" else made.digest
    path = the_object(store, digest, suffix)
    path.write_bytes(damage(path.read_bytes()))
    read = store.arrays if suffix == "safetensors" else store.manifest
    with pytest.raises(CheckpointDamaged, match="of another digest, only its own bytes"):
        read(digest)
    assert store.arrays(other) == body(-VECTOR)
    put(store)
    read(digest)


def test_a_lost_object_is_damage(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointDamaged, match="checkpoint refused: sha256:000000000000… is missing"
    ):
        CheckpointStore(tmp_path).arrays(DIGEST)


def test_an_object_that_is_no_manifest_is_not_read_as_one(tmp_path: Path) -> None:
    digest = digest_of(b"{}")
    the_object(CheckpointStore(tmp_path), digest, "json").write_bytes(b"{}")
    with pytest.raises(CheckpointDamaged, match="is not a manifest"):
        CheckpointStore(tmp_path).manifest(digest)
