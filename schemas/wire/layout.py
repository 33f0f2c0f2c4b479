"""The declared names, shapes and dtypes of arrays."""

import math
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from schemas.base import Record
from schemas.names import Name

DType: TypeAlias = Literal["float32"]
"""What a network's trainable arrays are on the wire."""

MAX_ELEMENTS = 2**31


class ArraySpec(Record):
    """One array."""

    name: Name
    shape: tuple[Annotated[int, Field(ge=1, le=2**31)], ...] = Field(max_length=8)
    dtype: DType = "float32"

    @property
    def size(self) -> int:
        """Count its elements; 1 for a scalar."""
        return math.prod(self.shape)


def _sorted_and_distinct(layout: tuple[ArraySpec, ...]) -> tuple[ArraySpec, ...]:
    names = [one.name for one in layout]
    if names != sorted(set(names)):
        message = "array names are not distinct and sorted"
        raise ValueError(message)
    if sum(one.size for one in layout) > MAX_ELEMENTS:
        message = f"more than {MAX_ELEMENTS} elements"
        raise ValueError(message)
    return layout


Layout: TypeAlias = Annotated[tuple[ArraySpec, ...], AfterValidator(_sorted_and_distinct)]
