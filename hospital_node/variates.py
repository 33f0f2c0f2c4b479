"""A site's control variates: what SCAFFOLD remembers of its local gradients.

* Karimireddy et al. 2020, arXiv:1910.06378, algorithm 1: the site trains with c - c_i added to
  every gradient, and c_i moves by option II, equation 5: c_i+ = c_i - c - delta / (K eta).
* A variate is made of the site's own deltas as they left, and of what came. Under privacy those are
  noised, so it costs nothing more (Dwork and Roth 2014, proposition 2.1). It never leaves.
* The aggregator says which of a site's rounds counted, so both sides mean the same variate also
  after a quarantine, a crash or a roll back. Round 0 is zero.
* A variate is written before its reply is stored; those that no request can name again go.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputRefused
from schemas.files import write_durably
from schemas.update import VariateRounds
from schemas.wire.arrays import Arrays, decoded, encoded, layout_of


@dataclass(frozen=True, slots=True)
class Variates:
    """What one round trains with: c, c_i, and where the next c_i goes."""

    folder: Path
    rounds: VariateRounds
    common: Arrays
    own: Arrays

    @property
    def offset(self) -> dict[str, NDArray[np.float32]]:
        """Return c - c_i."""
        return {name: value - self.own[name] for name, value in self.common.items()}


def opened(folder: Path, rounds: VariateRounds, *, common: Arrays | None, like: Arrays) -> Variates:
    """Read the variate that counted; no common one is zero, as in a first round.

    Raises:
        InputRefused: it is not here any more.
        ArraysRefused: its file does not hold arrays of this network.
    """
    still = {name: np.zeros_like(value) for name, value in like.items()}
    path = _path(folder, rounds.counted)
    if rounds.counted == 0:
        own: Arrays = still
    elif path.exists():
        own = decoded(path.read_bytes(), layout_of(like))
    else:
        message = f"training refused: the variate of round {rounds.counted} is not here any more"
        raise InputRefused(message, next_step="restore this home whole, or start a new run")
    return Variates(folder, rounds, still if common is None else common, own)


def keep(variates: Variates, delta: Arrays, *, round_number: int, distance: float) -> None:
    """Write the variate after this round's delta; `distance` is K eta, steps times rate."""
    factor = np.float32(1 / distance)
    renewed = {
        name: variates.own[name] - variates.common[name] - factor * value
        for name, value in delta.items()
    }
    content = encoded(renewed, layout_of(renewed))
    write_durably(_path(variates.folder, round_number), content)
    rounds = variates.rounds
    _drop_all_but(variates.folder, {rounds.counted, rounds.accepted, round_number})


def _drop_all_but(folder: Path, rounds: AbstractSet[int]) -> None:
    kept = {_path(folder, one) for one in rounds}
    for path in folder.glob("*.variate"):
        if path not in kept:
            path.unlink(missing_ok=True)


def _path(folder: Path, round_number: int) -> Path:
    return folder / f"{round_number:06d}.variate"
