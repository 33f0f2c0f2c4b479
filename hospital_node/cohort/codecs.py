"""Pixel bytes to numbers, by the installed codecs in a fixed order of preference.

* A codec gets the pixel bytes and the numbers of the header, never the rest of the data set.
* A transfer syntax without a codec is named by the standard's name for it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from hospital_node.cohort.deidentification import Technical

__all__ = ["CodecMissing", "decoded"]

_PREFERRED: Mapping[str, str] = MappingProxyType(
    {
        HTJ2K: "pylibjpeg",
        HTJ2KLossless: "pylibjpeg",
        JPEG2000: "pylibjpeg",
        JPEG2000Lossless: "pylibjpeg",
        JPEGBaseline8Bit: "pillow",
        JPEGLSLossless: "pyjpegls",
        JPEGLSNearLossless: "pyjpegls",
        RLELossless: "pylibjpeg",
    }
)
"""The codec of choice by transfer syntax; any other is tried where it is not installed."""


class CodecMissing(Exception):
    """No installed codec reads this transfer syntax."""

    def __init__(self, syntax: str) -> None:
        super().__init__(syntax)
        self.syntax = syntax


def decoded(
    content: bytes, header: Technical, *, syntax: UID, representation: str
) -> NDArray[np.integer[Any]]:
    """Return a single grey frame, [rows, columns].

    `representation` is the pixel element's, OB or OW.

    Raises:
        CodecMissing: no codec for this transfer syntax. A codec itself may raise anything.
    """
    decoder = _decoder(syntax, bits=int(header["BitsStored"]))
    preferred = _PREFERRED.get(syntax, "")
    rows, columns = int(header["Rows"]), int(header["Columns"])
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": header["PhotometricInterpretation"],
        "bits_allocated": int(header["BitsAllocated"]),
        "bits_stored": int(header["BitsStored"]),
        "pixel_representation": int(header.get("PixelRepresentation", "0")),
        "pixel_keyword": "PixelData",
        "pixel_vr": representation,
    }
    plugin = preferred if preferred in decoder.available_plugins else ""
    pixels, _ = decoder.as_array(content, raw=True, decoding_plugin=plugin, **options)
    if pixels.shape != (rows, columns):
        message = "the codec returned another shape"
        raise ValueError(message)
    return cast("NDArray[np.integer[Any]]", pixels)


def _decoder(syntax: UID, *, bits: int) -> Decoder:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise CodecMissing(syntax.name) from None
    # Of the codecs that claim it, only this one reads more than 8 bits.
    is_extended = syntax == JPEGExtended12Bit and bits > 8  # noqa: PLR2004
    if not decoder.is_available or (is_extended and "pylibjpeg" not in decoder.available_plugins):
        raise CodecMissing(syntax.name)
    return decoder
