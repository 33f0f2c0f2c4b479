"""What every test may ask for.

* The shared images and vectors lie beside the repository, or where CONSILIUM_SHARED says; a test
  that asks for a folder that is not there is skipped.
* Numeric libraries use one thread, here and in every process a test starts, so that results repeat
  and two workers share two cores.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Read once, when a test first imports the library that obeys them: no test pays for torch unasked.
for _variable in ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

hypothesis.settings.register_profile("consilium", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("consilium")


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """Undo what a test told torch about threads."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images: `brain-mri`, `chest-xray` and `dicom`."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """The folder of published test vectors."""
    return _shared("vectors")


def _shared(name: str) -> Path:
    folder = Path(os.environ.get("CONSILIUM_SHARED", ROOT.parent / "shared")) / name
    if not folder.is_dir():
        pytest.skip(f"the shared folder '{name}' is not here; CONSILIUM_SHARED may name its parent")
    return folder
