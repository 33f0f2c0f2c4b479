"""A user's own weights as a plan's starting point: read, checked by name and shape, never run.

* safetensors only: a pickled file could run anything, and is never opened.
* Names and shapes are those of the plan's network, with or without the leading `body.`; the head
  may be missing or of another shape, and then starts from the plan's seed.
* Statistics of a batch normalisation are refused: no network here has one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from schemas.errors import InputRefused
from schemas.names import Digest, digest_of
from schemas.wire.arrays import Arrays

_BODY = "body."
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_SHOWN = 3
_FLOATS = {np.dtype(one) for one in ("float16", "float32", "float64")}


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights, and its digest."""

    name: str
    digest: Digest
    arrays: Arrays


@dataclass(frozen=True, slots=True)
class Start:
    """All arrays of a network, and which of them the file did not give."""

    arrays: Arrays
    from_seed: tuple[str, ...]


def read_weights(path: Path) -> Weights:
    """Read a safetensors file of floating-point arrays, as float32.

    Raises:
        InputRefused: it cannot be read, is no such file, or holds a batch normalisation's
        statistics or a value that is not finite.
    """
    try:
        content = path.read_bytes()
        found: dict[str, NDArray[Any]] = load(content)
    except OSError:
        raise _refused(f"{path.name} cannot be read", "check the name and permissions") from None
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError):
        next_step = "save the state_dict as float32 with safetensors.torch.save_file"
        message = f"{path.name} is no safetensors file of float16, float32 or float64 arrays"
        raise _refused(message, next_step) from None
    statistics = [name for name in found if name.endswith(_STATISTICS)]
    if statistics:
        next_step = "train the network with group normalisation, as the plan's network has"
        raise _refused(f"statistics of a batch normalisation ({_few(statistics)})", next_step)
    odd = [
        name
        for name, array in found.items()
        if array.dtype not in _FLOATS or not np.isfinite(array.astype(np.float32)).all()
    ]
    if odd:
        next_step = "save finite floating-point arrays only"
        raise _refused(f"arrays that are not floats, or not finite ({_few(odd)})", next_step)
    named = _named({name: array.astype(np.float32) for name, array in found.items()})
    return Weights(path.name, digest_of(content), named)


def started_from(weights: Weights, own: Arrays, *, head: str) -> Start:
    """Put a file's arrays in the place of a network's own; `head` names the layer that may differ.

    Raises:
        InputRefused: names or shapes differ elsewhere.
    """
    brought = weights.arrays
    loose = {name for name in own if name.startswith(f"{head}.")}
    fitting = {name for name in own if name in brought and brought[name].shape == own[name].shape}
    unknown = sorted(set(brought) - set(own))
    missing = sorted(set(own) - set(brought) - loose)
    misshapen = sorted(set(own) & set(brought) - fitting - loose)
    for what, names in (("unknown", unknown), ("missing", missing), ("misshapen", misshapen)):
        if names:
            message = f"arrays of {weights.name} that are {what} to the network ({_few(names)})"
            next_step = "bring weights of the very network that the plan names"
            raise _refused(message, next_step)
    whole = fitting if loose <= fitting else fitting - loose
    arrays = {name: brought[name] if name in whole else array for name, array in own.items()}
    return Start(arrays, tuple(sorted(set(own) - whole)))


def _named(arrays: dict[str, NDArray[np.float32]]) -> Arrays:
    """Name arrays as in the plan's network, which stands in a module called body."""
    if any(name.startswith(_BODY) for name in arrays):
        return arrays
    return {_BODY + name: array for name, array in arrays.items()}


def _few(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _refused(found: str, next_step: str) -> InputRefused:
    message = (
        f"weights refused: found {found}; only the plan's network as safetensors, without a batch "
        "normalisation, is allowed"
    )
    return InputRefused(message, next_step=next_step)
