"""What the plots of all pages share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """A position on an axis and its label."""

    at: float
    label: str
