"""What a model said, as files: a CSV, and beside it the masks of a segmentation.

* Both name images of patients: they are readable by their owner alone.
* A mask is written as it comes, so memory holds one batch of them; the CSV is written last.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from hospital_node.delivery import Delivered
from hospital_node.prediction import Marked, Prediction
from schemas.errors import InputRefused
from schemas.files import write_durably

_CLASSIFIED = ("file", "sop_instance_uid", "frame", "probability", "outcome", "model")
_SEGMENTED = (
    *("file", "sop_instance_uid", "frame", "pixels", "share", "area_mm2"),
    *("mask", "outcome", "model"),
)


def refuse_written(out: Path) -> None:
    """Refuse to mix masks with those of an earlier prediction.

    Raises:
        InputRefused: the folder for them is there already.
    """
    folder = _folder(out)
    if folder.exists():
        message = f"output refused: {folder.name} is there already"
        raise InputRefused(message, next_step="name a new --out")


def write_predictions(
    lines: Iterable[Prediction], source: Path, out: Path, *, model: Delivered
) -> Counter[str]:
    """Write every line; count the outcomes."""
    segments = model.release.plan.metric == "dice"
    text, outcomes = io.StringIO(), Counter[str]()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_SEGMENTED if segments else _CLASSIFIED)
    for one in lines:
        outcomes[one.outcome] += 1
        said = _segmented(one, out, outcomes.total()) if segments else (_probability(one),)
        frame = "" if one.frame is None else one.frame
        name = one.file.relative_to(source)
        writer.writerow((name, one.instance, frame, *said, one.outcome, model.digest))
    write_durably(out, text.getvalue().encode(errors="backslashreplace"), mode=0o600)
    return outcomes


def _probability(one: Prediction) -> str:
    return "" if one.probability is None else f"{one.probability:.9f}"


def _segmented(one: Prediction, out: Path, number: int) -> tuple[str, str, str, str]:
    """Write a mask, and return what stands in its line."""
    if one.marked is None:
        return "", "", "", ""
    path = _folder(out) / f"{number:06d}.png"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_durably(path, _png(one.marked), mode=0o600)
    mask = one.marked.mask
    pixels, covered = int(mask.sum()), one.marked.pixel_mm2
    area = "" if covered is None else f"{pixels * covered:.3f}"
    return str(pixels), f"{pixels / mask.size:.6f}", area, f"{path.parent.name}/{path.name}"


def _png(marked: Marked) -> bytes:
    content = io.BytesIO()
    picture = Picture.fromarray(marked.mask.astype(np.uint8) * np.uint8(255))
    picture.save(content, format="PNG")
    return content.getvalue()


def _folder(out: Path) -> Path:
    return out.with_suffix(".masks")
