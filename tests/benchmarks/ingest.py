"""What an ingest costs: `python -m tests.benchmarks.ingest --json`.

On the compressed files of the shared data, each site of brain-mri and chest-xray once:

* `one_worker_vs_bare`: files a second of an ingest with one worker, from file to store, over those
  of a bare loop of pydicom's decode and SHA-256 in one process.
* `two_workers_vs_one`: files a second with two workers over one.
* `reingest_speedup`: time of a first ingest (two workers) over that of the unchanged source.
* `open_s`: seconds to open and verify 10 000 images for training, in a fresh process.
* `epoch_speedup`: time to decode and prepare images over the time to take them from the store.
* `peak_mb`: most memory of the ingesting process and its largest worker, by number of files.

Workers are warm, as they are in a long ingest. Medians of interleaved repeats.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from hospital_node.cohort.desk import Desk
from hospital_node.cohort.dicom import Image, read
from hospital_node.cohort.ingest import ingest
from hospital_node.cohort.store import open_cohort
from hospital_node.cohort.workers import dismiss
from schemas.contract import DataContract
from tests.hospital_node.cohort.exports import contract, image, label, write, write_labels

ROOT = Path(__file__).parents[2]
SITES = (
    "brain-mri/DU",
    "brain-mri/HT",
    "brain-mri/FG",
    "brain-mri/CS",
    "chest-xray/guangzhou",
    "chest-xray/nih",
)
REPEATS = 3
KEY = bytes(32)
OPENED = 10_000
SIZES = (1_000, 20_000)


def shared() -> Path:
    return Path(os.environ.get("CONSILIUM_SHARED", ROOT.parent / "shared")) / "data"


def agreed(site: str) -> DataContract:
    study = site.partition("/")[0]
    path = ROOT / "deployment" / "demo" / f"{study}.contract.toml"
    return DataContract.from_toml(path.read_text(encoding="utf-8"))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare() -> None:
    """Decode and hash every file, and do nothing else."""
    for site in SITES:
        for path in sorted((shared() / site / "dicom").rglob("*.dcm")):
            hashlib.sha256(dcmread(path).pixel_array.tobytes()).digest()


def ingested(folder: Path, *, workers: int) -> None:
    for site in SITES:
        desk = Desk("bench", KEY, folder / site / "cohort", lambda *_: None, workers)
        source = shared() / site
        ingest(source / "dicom", source / "labels.csv", agreed(site), desk=desk)


def speeds(folder: Path) -> dict[str, object]:
    """Time the bare loop and ingests with one worker and two, in turn."""
    times: dict[str, list[float]] = {"bare": [], "one": [], "two": [], "again": []}
    ingested(folder / "warm", workers=2)
    for number in range(REPEATS):
        times["bare"].append(timed(bare))
        for workers, name in ((1, "one"), (2, "two")):
            place = folder / f"{name}-{number}"
            times[name].append(timed(lambda p=place, w=workers: ingested(p, workers=w)))  # type: ignore[misc]
        times["again"].append(
            timed(lambda p=folder / f"two-{number}": ingested(p, workers=2))  # type: ignore[misc]
        )
        for name in ("one", "two"):
            shutil.rmtree(folder / f"{name}-{number}")
    middle = {name: median(found) for name, found in times.items()}
    return {
        "files": sum(1 for s in SITES for _ in (shared() / s / "dicom").rglob("*.dcm")),
        "seconds": {name: round(one, 3) for name, one in middle.items()},
        "one_worker_vs_bare": round(middle["bare"] / middle["one"], 3),
        "two_workers_vs_one": round(middle["one"] / middle["two"], 3),
        "reingest_speedup": round(middle["two"] / middle["again"], 1),
    }


def epoch(folder: Path) -> dict[str, object]:
    """Compare an epoch over the stored images with one that reads the files again."""
    site = SITES[0]
    ingested_site = folder / "warm" / site / "cohort"
    cohort = open_cohort(ingested_site, agreed(site).digest)
    paths = sorted((shared() / site / "dicom").rglob("*.dcm"))[: len(cohort.manifest.rows)]

    def decoded() -> None:
        assert all(isinstance(read(path, agreed(site)), Image) for path in paths)

    def taken() -> None:
        for start in range(0, len(cohort.pixels), 32):
            np.array(cohort.pixels[start : start + 32]).sum()

    ratios = [timed(decoded) / timed(taken) for _ in range(REPEATS)]
    return {"epoch_speedup": round(median(ratios), 1)}


def export(folder: Path, files: int) -> None:
    """Write this many different small images, four of each patient."""
    rows = []
    base = image(0, patient="P")
    random = np.random.default_rng(3)
    for number in range(files):
        dataset = Dataset()
        dataset.update(base)
        dataset.file_meta = base.file_meta
        dataset.SOPInstanceUID = f"2.25.{number + 1}"
        dataset.PatientID = f"P{number // 4}"
        dataset.PixelData = random.integers(0, 4096, (16, 16), dtype=np.uint16).tobytes()
        write(dataset, folder / "dicom" / f"{number // 1000}" / f"{number}.dcm")
        row = label(number, f"P{number // 4}", str(number // 4 % 2))
        rows.append(row | {"sop_instance_uid": f"2.25.{number + 1}"})
    write_labels(folder / "labels.csv", rows)


def small() -> DataContract:
    from tests.hospital_node.cohort.exports import recipe  # noqa: PLC0415 - as below

    rules = contract(preprocessing=recipe(size=(64, 64)))
    cohort = rules.cohort.model_copy(update={"max_images_per_patient": 4})
    return rules.model_copy(update={"cohort": cohort})


def measure_export(folder: Path) -> None:
    """Ingest an export and print the peak memory in MiB of this process and its largest child."""
    desk = Desk("bench", KEY, folder / "cohort", lambda *_: None, 2)
    ingest(folder / "dicom", folder / "labels.csv", small(), desk=desk)
    dismiss()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({"peak_mb": round((own + child) / 1024, 1)}))  # noqa: T201


def measure_open(folder: Path) -> None:
    """Open a cohort, take every image once, and print how long the opening took."""
    digest = small().digest
    taken = timed(lambda: open_cohort(folder / "cohort", digest))
    images = len(open_cohort(folder / "cohort", digest).pixels)
    print(json.dumps({"open_s": round(taken, 3), "images": images}))  # noqa: T201


def apart(task: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.ingest", task, str(folder)]
    found = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)  # noqa: S603 - ours
    result = json.loads(found.stdout.splitlines()[-1])
    assert isinstance(result, dict)
    return result


def sizes(folder: Path) -> dict[str, object]:
    """Measure memory by number of files, and the opening of 10 000 images."""
    peaks = {}
    for files in SIZES:
        export(folder / str(files), files)
        peaks[str(files)] = apart("export", folder / str(files))["peak_mb"]
    export(folder / "opened", OPENED)
    apart("export", folder / "opened")
    times = [apart("open", folder / "opened") for _ in range(REPEATS)]
    assert {one["images"] for one in times} == {OPENED}
    return {"open_s": median(one["open_s"] for one in times), "peak_mb": peaks}


def main() -> None:
    match sys.argv[1:]:
        case ["export", place]:
            return measure_export(Path(place))
        case ["open", place]:
            return measure_open(Path(place))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        figures: dict[str, object] = sizes(folder)
        if shared().is_dir():
            figures |= speeds(folder) | epoch(folder)
        print(json.dumps(figures))  # noqa: T201
    return None


if __name__ == "__main__":
    main()
