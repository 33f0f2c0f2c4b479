"""Arrays have one byte form for a layout; nothing else is read."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load, save

from schemas.errors import ArraysRefused
from schemas.wire.arrays import declared_layout, decoded, encoded, flat_values, header, layout_of
from schemas.wire.layout import ArraySpec, Layout

SPECIAL = [0.0, -0.0, 1e-45, -1.17549421e-38, 3.4028235e38, -3.4028235e38, 1.0]


@st.composite
def arrays_of(draw: st.DrawFn) -> dict[str, NDArray[np.float32]]:
    """Some arrays with names and shapes as networks have them, in any order."""
    shapes = st.lists(st.integers(1, 4), max_size=4).map(tuple)
    names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
    chosen = draw(st.dictionaries(names, shapes, max_size=5))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    arrays = {}
    for name, shape in chosen.items():
        values = random.standard_normal(shape).astype(np.float32)
        values.reshape(-1)[0] = draw(st.sampled_from(SPECIAL))
        arrays[name] = values
    return arrays


ARRAYS = {
    "head.bias": np.array([-0.0, 1.5], dtype=np.float32),
    "body.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scale": np.array(2.0, dtype=np.float32),
}
LAYOUT = layout_of(ARRAYS)
CONTENT = encoded(ARRAYS, LAYOUT)
HEADER = header(LAYOUT)


@given(arrays_of())
def test_arrays_are_read_back_bit_by_bit(arrays: dict[str, NDArray[np.float32]]) -> None:
    layout = layout_of(arrays)
    content = encoded(arrays, layout)
    read = decoded(content, layout)
    assert list(read) == sorted(arrays)
    for name, array in arrays.items():
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()
    assert encoded(read, layout) == content
    assert declared_layout(content) == layout


@given(arrays_of())
def test_the_bytes_are_those_of_the_reference_writer(
    arrays: dict[str, NDArray[np.float32]],
) -> None:
    content = encoded(arrays, layout_of(arrays))
    assert content == save(arrays)
    for name, array in load(content).items():
        assert np.array_equal(array, arrays[name])


def test_strided_arrays_are_written_in_row_order() -> None:
    turned = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    read = decoded(encoded(turned, layout_of(turned)), layout_of(turned))
    assert np.array_equal(read["a"], turned["a"])


def test_what_was_read_cannot_be_changed_even_when_its_bytes_can() -> None:
    for content in (CONTENT, memoryview(bytearray(CONTENT))):
        read = decoded(content, LAYOUT)["body.weight"]
        with pytest.raises(ValueError, match="read-only"):
            read[0, 0] = 1.0


def test_every_change_of_a_header_byte_is_refused() -> None:
    for place in range(len(HEADER)):
        for flip in (0x01, 0x02, 0x04, 0x20, 0x80, 0xFF):
            broken = bytearray(CONTENT)
            broken[place] ^= flip
            with pytest.raises(ArraysRefused, match="differ from the layout"):
                flat_values(bytes(broken), LAYOUT)
            assert declared(bytes(broken)) != LAYOUT


def declared(content: bytes) -> Layout | None:
    """Return the layout that a file declares; None when it is refused."""
    try:
        return declared_layout(content)
    except ArraysRefused:
        return None


def test_every_truncation_and_extension_is_refused() -> None:
    for length in range(len(CONTENT)):
        with pytest.raises(ArraysRefused) as refused:
            flat_values(CONTENT[:length], LAYOUT)
        assert refused.value.message == (
            f"arrays refused: {length} bytes, the layout needs {len(CONTENT)}; "
            "only the declared layout with finite values is allowed"
        )
        with pytest.raises(ArraysRefused):
            declared_layout(CONTENT[:length])
    for more in (b"\0", b" ", b"\0" * 4):
        with pytest.raises(ArraysRefused):
            flat_values(CONTENT + more, LAYOUT)
        with pytest.raises(ArraysRefused):
            declared_layout(CONTENT + more)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_neither_written_nor_read(value: float) -> None:
    arrays = {**ARRAYS, "head.bias": np.array([0.0, value], dtype=np.float32)}
    with pytest.raises(ArraysRefused, match=r"head\.bias holds values that are not finite"):
        encoded(arrays, LAYOUT)
    with pytest.raises(ArraysRefused, match="arrays refused: values that are not finite"):
        decoded(save(arrays), LAYOUT)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "names differ from the layout"),
        ({**ARRAYS, "more": ARRAYS["scale"]}, "names differ from the layout"),
        ({"head.bias": ARRAYS["head.bias"]}, "names differ from the layout"),
        ({**ARRAYS, "scale": np.ones(1, np.float32)}, "scale differs from the layout in shape"),
        ({**ARRAYS, "scale": np.array(2.0)}, "scale differs from the layout in shape or dtype"),
        (
            {**ARRAYS, "scale": np.array(2.0, dtype=">f4")},
            "scale differs from the layout in shape or dtype",
        ),
        (
            {**ARRAYS, "body.weight": ARRAYS["body.weight"].T},
            r"body\.weight differs from the layout in shape or dtype",
        ),
    ],
)
def test_other_arrays_than_the_layouts_are_not_written(
    arrays: dict[str, NDArray[np.float32]], message: str
) -> None:
    with pytest.raises(ArraysRefused, match=message):
        encoded(arrays, LAYOUT)


def file_of(table: object, size: int) -> bytes:
    """A file with any header before `size` bytes of zeros."""
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(size)


def spec(start: int, stop: int, *, dtype: str = "F32", shape: tuple[int, ...] = (1,)) -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


PAIR: Layout = (ArraySpec(name="a", shape=(1,)), ArraySpec(name="b", shape=(1,)))


@pytest.mark.parametrize(
    "content",
    {
        "metadata": file_of(
            {"__metadata__": {"note": "x"}, "a": spec(0, 4), "b": spec(4, 8)}, size=8
        ),
        "another order": file_of({"b": spec(0, 4), "a": spec(4, 8)}, size=8),
        "values in another order": file_of({"a": spec(4, 8), "b": spec(0, 4)}, size=8),
        "overlapping offsets": file_of({"a": spec(0, 4), "b": spec(0, 4)}, size=8),
        "a gap": file_of({"a": spec(0, 4), "b": spec(8, 12)}, size=12),
        "offsets beyond the end": file_of({"a": spec(0, 4), "b": spec(4, 2**62)}, size=8),
        "negative offsets": file_of({"a": spec(-4, 0), "b": spec(0, 4)}, size=8),
        "another dtype": file_of({"a": spec(0, 4, dtype="I32"), "b": spec(4, 8)}, size=8),
        "halves": file_of({"a": spec(0, 4, dtype="F16", shape=(2,)), "b": spec(4, 8)}, size=8),
        "another shape": file_of({"a": spec(0, 4, shape=(1, 1)), "b": spec(4, 8)}, size=8),
        "another name": file_of({"a": spec(0, 4), "c": spec(4, 8)}, size=8),
        "an array missing": file_of({"a": spec(0, 4)}, size=8),
        "an array more": file_of({"a": spec(0, 4), "b": spec(4, 8), "c": spec(8, 12)}, size=12),
        "a list": file_of(["a", "b"], size=8),
        "no object": file_of(7, size=8),
        "an unknown key": file_of({"a": {"dtype": "F32"}, "b": spec(4, 8)}, size=8),
        "deep": (80000).to_bytes(8, "little") + b"[" * 80000,
        "a header longer than the file": (2**63).to_bytes(8, "little") + bytes(16),
        "nothing": b"",
    }.items(),
    ids=lambda one: one[0],
)
def test_another_header_is_refused(content: tuple[str, bytes]) -> None:
    with pytest.raises(ArraysRefused):
        decoded(content[1], PAIR)
    assert declared(content[1]) != PAIR, "only one file declares a layout"


def test_a_file_declares_its_own_layout_if_it_is_canonical() -> None:
    assert declared_layout(CONTENT) == LAYOUT
    assert declared_layout(encoded({}, ())) == ()
    with pytest.raises(ArraysRefused, match="differ from the layout"):
        declared_layout(file_of({"b": spec(0, 4), "a": spec(4, 8)}, size=8))
    with pytest.raises(ArraysRefused, match="no safetensors header of float32 arrays"):
        declared_layout(file_of({"__metadata__": {"note": "x"}, "a": spec(0, 4)}, size=4))
