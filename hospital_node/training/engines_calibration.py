"""How long each engine takes for a network, on this machine, with invented images.

* Times choose among engines and nothing else; a guarantee never rests on them.
* Each invented patient has one image: no count of a cohort bears on the choice.
* An engine that cannot run this network is told with its reason.
"""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from torch import nn

from hospital_node.training.engines import ENGINES, device
from hospital_node.training.engines_clipping import Chunk, Engine
from hospital_node.training.examples import Examples
from hospital_node.training.objective import Objective

REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""So torch and Opacus say that a network does not suit them."""
_CHUNK_PATIENTS = 8
_HOPELESS = 3.0
"""An engine this many times slower than the quickest is not timed again."""
_REPEATS = 2


def timed(
    module: nn.Module, shape: tuple[int, ...], objective: Objective
) -> tuple[dict[str, float], dict[str, str]]:
    """Return milliseconds per patient, quickest first, and why other engines did not run."""
    module = deepcopy(module).train().to(device())
    examples = invented(module, shape, (1,) * _CHUNK_PATIENTS)
    order = torch.argsort(examples.patients, stable=True)
    kind = next(module.parameters())
    inputs, labels = (one[order].to(kind) for one in (examples.inputs, examples.labels))
    chunk = Chunk(inputs, labels, _CHUNK_PATIENTS)
    first: dict[str, float] = {}
    refused: dict[str, str] = {}
    for name, engine in ENGINES.items():
        try:
            if not first:
                _milliseconds(engine, module, chunk, objective)  # pays for what is loaded once
            first[name] = _milliseconds(engine, module, chunk, objective)
        except REFUSALS as error:
            refused[name] = type(error).__name__
    return _again(first, module, chunk, objective), refused


def invented(module: nn.Module, shape: tuple[int, ...], images: tuple[int, ...]) -> Examples:
    """Make patients of given numbers of images, in mixed order; labels are as what comes out."""
    generator = torch.Generator().manual_seed(0)
    patients = torch.repeat_interleave(torch.tensor(images))
    order = torch.randperm(len(patients), generator=generator)
    inputs = torch.randn((len(patients), *shape), generator=generator).double()
    with torch.no_grad():
        outputs = module(inputs[:1].to(next(module.parameters())))
    size = (len(patients), *outputs.shape[1:])
    labels = torch.randint(2, size, generator=generator).double()
    return Examples(inputs, labels, patients[order])


def _again(
    first: Mapping[str, float], module: nn.Module, chunk: Chunk, objective: Objective
) -> dict[str, float]:
    """Time again, and sort by the least."""
    found = dict(first)
    for _ in range(_REPEATS):
        limit = _HOPELESS * min(found.values(), default=0.0)
        for name, best in found.items():
            if best <= limit:
                found[name] = min(best, _milliseconds(ENGINES[name], module, chunk, objective))
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _clock() -> Callable[[], float]:
    """Take this thread's own time where it does all the work: others on the machine count less."""
    alone = device().type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time.perf_counter


def _milliseconds(engine: Engine, module: nn.Module, chunk: Chunk, objective: Objective) -> float:
    clock = _clock()
    before = clock()
    for value in engine(module, chunk, 1.0, objective):
        value.sum().item()  # waits for an accelerator
    return (clock() - before) * 1e3 / chunk.patients
