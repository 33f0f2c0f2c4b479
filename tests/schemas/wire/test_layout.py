"""A layout declares distinct names in order, and not more than can be held."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.wire.layout import MAX_ELEMENTS, ArraySpec, Layout

LAYOUT: TypeAdapter[Layout] = TypeAdapter(Layout)


@given(st.lists(st.integers(1, 9), max_size=4).map(tuple))
def test_an_array_has_the_product_of_its_shape_and_a_scalar_one_element(
    shape: tuple[int, ...],
) -> None:
    assert ArraySpec(name="a", shape=shape).size == math.prod(shape)


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"], ["a", "A"], ["a.10", "a.2", "a.10"]])
def test_names_that_are_not_distinct_and_sorted_are_refused(names: list[str]) -> None:
    layout = tuple(ArraySpec(name=name, shape=()) for name in names)
    with pytest.raises(ValidationError, match="array names are not distinct and sorted"):
        LAYOUT.validate_python(layout)


def test_more_elements_than_can_be_held_are_refused() -> None:
    layout = (ArraySpec(name="a", shape=(MAX_ELEMENTS,)), ArraySpec(name="b", shape=()))
    assert LAYOUT.validate_python(layout[:1]) == layout[:1]
    with pytest.raises(ValidationError, match="more than 2147483648 elements"):
        LAYOUT.validate_python(layout)


@pytest.mark.parametrize("shape", [(0,), (-1,), (2**31 + 1,), (1,) * 9, (1.0,), ("1",)])
def test_a_shape_holds_up_to_eight_whole_positive_numbers(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        ArraySpec(name="a", shape=shape)


@pytest.mark.parametrize("name", ["__metadata__", "", "a/b", "caf\u00e9", 'a"'])
def test_a_name_is_safe_in_a_file(name: str) -> None:
    with pytest.raises(ValidationError):
        ArraySpec(name=name, shape=())
