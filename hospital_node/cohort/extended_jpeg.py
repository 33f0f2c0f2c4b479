"""JPEG of 12 bits (JPEG Extended, process 4), as one more decoder for pydicom.

* pydicom itself leaves these to a codec under the GPL. GDCM reads them, bit for bit as
  libjpeg-turbo does, and gives nothing where the stream is cut off or of another size.
* Grey only: colour of 12 bits is unheard of.
"""

import gdcm
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import JPEGExtended12Bit

__all__ = ["DECODER_DEPENDENCIES", "decode_frame", "is_available"]

DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("gdcm>=3.2",)}
_PIXELS = (0x7FE0, 0x0010)
_ALLOCATED = 16


def is_available(uid: str) -> bool:
    """Say whether this transfer syntax is read."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Return the pixels of a frame, little endian, 16 bits each."""
    if runner.samples_per_pixel != 1 or runner.bits_allocated != _ALLOCATED:
        message = "not grey in 16 bits"
        raise ValueError(message)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(*_PIXELS))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation
    image.SetPhotometricInterpretation(kind(kind.GetPIType(runner.photometric_interpretation)))
    syntax = gdcm.TransferSyntax
    image.SetTransferSyntax(syntax(syntax.GetTSType(str.__str__(JPEGExtended12Bit))))
    bits, sign = runner.bits_stored, runner.pixel_representation
    image.SetPixelFormat(gdcm.PixelFormat(1, _ALLOCATED, bits, bits - 1, sign))
    found = image.GetBuffer()
    if found is None:
        message = "GDCM does not read it"
        raise ValueError(message)
    decoded: bytes = found.encode("utf-8", "surrogateescape")
    return decoded
