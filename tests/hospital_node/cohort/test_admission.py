"""How much of a source is kept in memory while its files are read."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

from hospital_node.cohort.admission import Admission, Known
from hospital_node.cohort.desk import Desk
from hospital_node.cohort.grids import NOT_TURNED, Grid
from hospital_node.cohort.labels import Label
from hospital_node.cohort.readings import FileRead, FrameRead
from hospital_node.cohort.selection import selected
from hospital_node.cohort.sources import Listing
from tests.hospital_node.cohort.exports import contract

IMAGES = 2000
GRID = Grid((16, 16), None, NOT_TURNED)


def room(work: Callable[[], object]) -> float:
    """Return the bytes for each image that what `work` returns takes."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = work()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept
    return (after - before) / IMAGES


def read(number: int, instance: str) -> FileRead:
    image = f"sha256:{number:064x}"
    return FileRead(instance=instance, frames=(FrameRead(1, image, GRID),))


def test_an_admitted_image_and_its_row_take_little_room(tmp_path: Path) -> None:
    table = {f"2.25.{number}": Label(f"P{number // 4}", 0, None) for number in range(IMAGES)}
    desk = Desk("north", bytes(32), tmp_path / "cohort", lambda *_: None, 1)
    known = Known.of(table, contract(), desk=desk, pictures={})
    named = list(known.rows)
    admission = Admission(known)

    def admitted() -> object:
        for number, instance in enumerate(named):
            admission.take(number, "", read(number, f"{instance}"[:16] + f"{instance}"[16:]))
        return admission.arrivals

    assert room(admitted) < 512
    chosen = selected(admission.arrivals, max_images_per_patient=4)
    assert room(lambda: [one.row for one in chosen.used]) < 640
    assert len(chosen.used) == IMAGES
    assert not admission.unread


def test_a_list_of_files_takes_the_room_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    paths = [folder / f"{number:08d}.dcm" for number in range(IMAGES)]
    listed = Listing.of(paths)

    names = sum(map(len, map(str, paths))) / IMAGES
    assert room(lambda: Listing.of(Path(one) for one in paths)) < names + 80
    assert list(listed) == paths
    assert listed[-1] == paths[-1]
    assert list(listed.at([2, 0])) == [paths[2], paths[0]]
    assert list(listed[:2]) == paths[:2]
