"""A frame as a picture that a person can look at, in full size."""

from io import BytesIO

import numpy as np
from PIL import Image as Picture

from hospital_node.cohort.transforms import Stored

__all__ = ["page"]


def page(stored: Stored) -> bytes:
    """Return a frame as PNG of 8 bits, from its least value to its greatest, without metadata."""
    least, most = int(stored.values.min()), int(stored.values.max())
    shown = np.empty(stored.values.shape, dtype=np.uint8)
    for first in range(0, len(shown), _STRIP):
        values = stored.values[first : first + _STRIP].astype(np.int64)
        shown[first : first + _STRIP] = (values - least) * 255 // max(most - least, 1)
    if stored.is_inverted:
        np.subtract(255, shown, out=shown)
    written = BytesIO()
    Picture.fromarray(shown).save(written, "PNG", compress_level=1)
    return written.getvalue()


_STRIP = 256
