from pathlib import Path

import numpy as np
import pytest

from aggregator.aggregation.spool import Spool
from schemas.errors import CheckpointDamaged
from tests.aggregator.examples import LAYOUT, SIZE, body, filled, update

DELTA = np.arange(SIZE, dtype=np.float32)


def test_what_was_put_comes_back_byte_for_byte_also_through_a_new_spool(tmp_path: Path) -> None:
    filled(Spool(tmp_path / "1", LAYOUT), {"B": DELTA, "A": -DELTA})
    again = Spool(tmp_path / "1", LAYOUT)
    assert again.sites() == ("A", "B")
    assert again.envelope("B") == b"B"
    assert bytes(again.body("B")) == body(DELTA)
    assert np.array_equal(again.values("A"), -DELTA)
    assert np.array_equal(again.part("B", 2, 5), DELTA[2:5])


def test_values_cannot_be_changed_in_place(tmp_path: Path) -> None:
    spool = filled(Spool(tmp_path, LAYOUT), {"A": DELTA})
    with pytest.raises(ValueError, match="read-only"):
        spool.values("A")[0] = 1


def test_an_empty_or_missing_folder_holds_no_site_and_clears(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "none", LAYOUT)
    assert spool.sites() == ()
    spool.clear()


def test_arrays_without_their_envelope_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "A.arrays").write_bytes(body(DELTA))
    assert Spool(tmp_path, LAYOUT).sites() == ()


def test_the_same_envelope_again_changes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    spool = filled(Spool(tmp_path, LAYOUT), {"A": DELTA})
    filled(spool, {"A": DELTA})
    other = body(-DELTA)
    with pytest.raises(ValueError, match="another update of A is already in this round's spool"):
        spool.put("A", update("A", other), b"other", other)
    assert np.array_equal(spool.values("A"), DELTA)


def test_an_update_cannot_stand_for_another_site(tmp_path: Path) -> None:
    content = body(DELTA)
    with pytest.raises(ValueError, match="an update of A cannot stand for B"):
        Spool(tmp_path, LAYOUT).put("B", update("A", content), b"", content)


@pytest.mark.parametrize("size", [0, 10, len(body(DELTA)) + 4])
def test_a_spooled_file_of_another_length_is_damage(tmp_path: Path, size: int) -> None:
    spool = filled(Spool(tmp_path, LAYOUT), {"A": DELTA})
    (tmp_path / "A.arrays").write_bytes(body(DELTA).ljust(size, b"\0")[:size])
    message = f"the update of A has {size} bytes, {len(body(DELTA))} were written"
    with pytest.raises(CheckpointDamaged, match=message):
        spool.values("A")
    with pytest.raises(CheckpointDamaged, match=message):
        spool.part("A", 0, 1)


def test_a_lost_file_is_damage(tmp_path: Path) -> None:
    spool = filled(Spool(tmp_path, LAYOUT), {"A": DELTA})
    (tmp_path / "A.arrays").unlink()
    with pytest.raises(CheckpointDamaged, match="has 0 bytes"):
        spool.part("A", 0, 1)


def test_a_removed_spool_leaves_no_folder(tmp_path: Path) -> None:
    spool = filled(Spool(tmp_path / "1", LAYOUT), {"A": DELTA, "B": DELTA})
    spool.clear()
    assert spool.sites() == ()
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["A.arrays", "B.arrays"]
    spool.remove()
    assert not (tmp_path / "1").exists()


def test_a_round_writes_over_the_files_of_the_one_before(tmp_path: Path) -> None:
    spool = filled(Spool(tmp_path, LAYOUT), {"A": DELTA})
    spool.clear()
    filled(spool, {"A": -DELTA})
    assert np.array_equal(spool.values("A"), -DELTA)
