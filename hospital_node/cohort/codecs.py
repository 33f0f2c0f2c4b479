"""Pixel bytes to numbers, by the installed codecs in a fixed order of preference.

* A codec gets the pixel bytes and the numbers of the header, never the rest of the data set.
* A transfer syntax without a codec is named by the standard's name for it.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import Decoder, JPEGExtended12BitDecoder, get_decoder
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

from hospital_node.cohort import extended_jpeg
from hospital_node.cohort.deidentification import Technical

__all__ = ["PREFERRED", "CodecMissing", "decoded", "missing"]

PREFERRED: Mapping[str, str] = MappingProxyType(
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
_OF_12_BITS = "gdcm-12-bit"
_BYTE_BITS = 8


class CodecMissing(Exception):
    """No installed codec reads this transfer syntax."""

    def __init__(self, syntax: str) -> None:
        super().__init__(syntax)
        self.syntax = syntax


def missing(syntax: str) -> str:
    """Name a transfer syntax that no installed codec reads."""
    uid = UID(syntax)
    if not uid.is_transfer_syntax:
        return ""
    try:
        _decoder(uid)
    except CodecMissing as without:
        return without.syntax
    return ""


def decoded(
    content: bytes, header: Technical, *, syntax: UID, frames: int, representation: str
) -> Iterator[NDArray[np.integer[Any]]]:
    """Yield each frame: [rows, columns], or [rows, columns, 3] in RGB.

    `representation` is the pixel element's, OB or OW.

    Raises:
        CodecMissing: no codec for this transfer syntax. A codec itself may raise anything.
    """
    decoder = _decoder(syntax)
    preferred = PREFERRED.get(syntax, "")
    rows, columns = int(header["Rows"]), int(header["Columns"])
    samples = int(header.get("SamplesPerPixel", "1"))
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "number_of_frames": frames,
        "samples_per_pixel": samples,
        "photometric_interpretation": header["PhotometricInterpretation"],
        "bits_allocated": int(header["BitsAllocated"]),
        "bits_stored": int(header["BitsStored"]),
        "pixel_representation": int(header.get("PixelRepresentation", "0")),
        "pixel_keyword": "PixelData",
        "pixel_vr": representation,
    }
    if samples > 1:
        options["planar_configuration"] = int(header.get("PlanarConfiguration", "0"))
    if syntax == JPEGExtended12Bit and int(header["BitsStored"]) > _BYTE_BITS:
        preferred = _OF_12_BITS
    plugin = preferred if preferred in decoder.available_plugins else ""
    shape = (rows, columns) if samples == 1 else (rows, columns, samples)
    found = 0
    for pixels, properties in _raw(decoder, content, options, plugin=plugin):
        if pixels.shape != shape or found == frames:
            message = "the codec returned another shape"
            raise ValueError(message)
        found += 1
        yield _rgb(pixels) if properties in _YBR else pixels
    if found != frames:
        message = "the codec returned fewer frames"
        raise ValueError(message)


def _raw(
    decoder: Decoder, content: bytes, options: dict[str, Any], *, plugin: str
) -> Iterator[tuple[NDArray[np.integer[Any]], str]]:
    """Yield frames and the photometric interpretation that the codec gave them."""
    if options["number_of_frames"] == 1:
        # One frame may lie in many fragments, which only this way puts together without a table.
        pixels, properties = decoder.as_array(content, raw=True, decoding_plugin=plugin, **options)
        yield pixels, str(properties["photometric_interpretation"])
        return
    for pixels, properties in decoder.iter_array(
        content, raw=True, decoding_plugin=plugin, **options
    ):
        yield pixels, str(properties["photometric_interpretation"])


_YBR = {"YBR_FULL", "YBR_FULL_422"}


def _rgb(values: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Turn 8 bits of luminance and colour difference into RGB (PS3.3 section C.7.6.3.1.2).

    In thousandths, rounded half up: whole numbers have the same bits everywhere.
    """
    luminance, blue, red = (values[..., index].astype(np.int32) for index in range(3))
    blue -= 128
    red -= 128
    thousandths = (
        1000 * luminance + 1402 * red,
        1000 * luminance - 344 * blue - 714 * red,
        1000 * luminance + 1772 * blue,
    )
    colours = np.stack([(one + 500) // 1000 for one in thousandths], axis=-1)
    return np.clip(colours, 0, 255).astype(np.uint8)


def _decoder(syntax: UID) -> Decoder:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise CodecMissing(syntax.name) from None
    if not decoder.is_available:
        raise CodecMissing(syntax.name)
    return decoder


JPEGExtended12BitDecoder.add_plugin(_OF_12_BITS, (extended_jpeg.__name__, "decode_frame"))
