"""A site's own model: arrays that follow the federation in part, and never leave.

* Where a plan says so, a site trains from its own arrays; what leaves is their delta, charged,
  clipped and noised as any other.
* Own arrays are made of the site's deltas as they left and of the arrays that came, so they cost no
  further privacy.
* A state is written before its reply is stored. A round that is trained again after a crash begins
  at the state of the round before it, so the last two states are kept.
* The direction of the last round never comes back: its own step stands in for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.aggregation import Aggregation
from schemas.errors import ArraysRefused, IntegrityLost
from schemas.files import write_durably
from schemas.wire.arrays import Arrays, declared_layout, decoded, encoded, layout_of

MODEL = "model.safetensors"
_KEPT_STATES = 2
_FIELDS = ("own", "received", "total", "velocity")


@dataclass(frozen=True, slots=True)
class Personal:
    """A site's side of one run, at the start of a round or at its end."""

    round: int
    own: Arrays
    """What this round trains from."""
    received: Arrays
    """The federation's arrays, as this round's request brought them."""
    velocity: Arrays
    """Own deltas under the server optimizer's momentum."""
    total: Arrays
    """Sum of the own arrays since the plan's `average_from`."""
    counted: int
    """How many those are."""


def begun(
    before: Personal | None, received: Arrays, *, round_number: int, rule: Aggregation
) -> Personal:
    """Take the step that the federation's answer completes; a first round starts at what came."""
    if before is None:
        still = {name: np.zeros_like(value) for name, value in received.items()}
        return Personal(round_number, received, received, still, still, 0)
    shared = 1.0 if rule.personalisation is None else rule.personalisation.shared
    kept, followed = np.float32((1 - shared) * rule.learning_rate), np.float32(shared)
    own = {
        name: value
        + followed * (received[name] - before.received[name])
        + kept * before.velocity[name]
        for name, value in before.own.items()
    }
    averages = rule.average_from is not None and before.round >= rule.average_from
    total = {name: before.total[name] + own[name] for name in own} if averages else before.total
    counted = before.counted + averages
    return Personal(round_number, own, received, before.velocity, total, counted)


def ended(state: Personal, delta: Arrays, *, rule: Aggregation) -> Personal:
    """Note this round's own delta, as it leaves."""
    momentum = np.float32(rule.momentum)
    velocity = {name: momentum * state.velocity[name] + delta[name] for name in delta}
    return Personal(state.round, state.own, state.received, velocity, state.total, state.counted)


def model(state: Personal, *, rule: Aggregation) -> dict[str, NDArray[np.float32]]:
    """Return the site's model after an ended round: averaged as the plan averages candidates."""
    rate = np.float32(rule.learning_rate)
    last = {name: value + rate * state.velocity[name] for name, value in state.own.items()}
    if rule.average_from is None or state.round < rule.average_from:
        return last
    many = np.float32(state.counted + 1)
    return {name: (state.total[name] + value) / many for name, value in last.items()}


def state_before(folder: Path, round_number: int) -> Personal | None:
    """Read the last state of an earlier round; None when there is none.

    Raises:
        IntegrityLost: the file does not hold a state.
    """
    earlier = [number for number in _states(folder) if number < round_number]
    if not earlier:
        return None
    content = _path(folder, max(earlier)).read_bytes()
    fields: dict[str, dict[str, NDArray[np.float32]]] = {name: {} for name in _FIELDS}
    try:
        arrays = decoded(content, declared_layout(content))
        for key, value in arrays.items():
            field, _, name = key.partition(".")
            if name:
                fields[field][name] = value
        return Personal(round=max(earlier), counted=int(arrays["counted"][0]), **fields)
    except (ArraysRefused, LookupError):
        message = f"request refused: this site's own state of round {max(earlier)} is damaged"
        raise IntegrityLost(message, next_step="restore personal/ from a backup") from None


def keep(folder: Path, state: Personal, *, rule: Aggregation) -> None:
    """Write an ended round's state, and the model that the site may use."""
    arrays = {"counted": np.array([state.counted], dtype=np.float32)}
    for field in _FIELDS:
        part: Arrays = getattr(state, field)
        arrays |= {f"{field}.{name}": value for name, value in part.items()}
    write_durably(_path(folder, state.round), encoded(arrays, layout_of(arrays)))
    usable = model(state, rule=rule)
    write_durably(folder / MODEL, encoded(usable, layout_of(usable)))
    for number in sorted(_states(folder))[:-_KEPT_STATES]:
        _path(folder, number).unlink(missing_ok=True)


def _states(folder: Path) -> Iterator[int]:
    return (int(path.stem) for path in folder.glob("*.state"))


def _path(folder: Path, round_number: int) -> Path:
    return folder / f"{round_number:06d}.state"
