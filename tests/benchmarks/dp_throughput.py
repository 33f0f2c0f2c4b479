"""Time of a private step over a plain one: gradients of every patient, clipping and step.

   python -m tests.benchmarks.dp_throughput [--repeats N] [--json]

* One thread. A plain step is forward, backward and SGD on the same batch with the same network; a
  private one is the clipped sum and the same SGD, without the noise, which `noise_s_per_7m` tells.
* One image a patient; the engine is the one that training would choose, after its self-test.
* `versus_hooks` is the private step over Opacus' own module and optimizer, without its noise.
* Steps take turns in one process; ratios are of medians of processor time, which other work on a
  shared machine moves least.
* `head_only`: the body of the DenseNet is frozen; the plain step trains the whole network.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks import nets
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from hospital_node.models.registry import Network
from hospital_node.privacy.randomness import secure_normal
from hospital_node.training import self_test
from hospital_node.training.engines import ENGINES
from hospital_node.training.examples import Examples
from hospital_node.training.objective import Objective, image_losses, losses_of, pixel_losses
from hospital_node.training.patient_level import Release, clipped_sum, release

BOUND = 1.0
RATE = 1e-4
NOISE_VALUES = 7_000_000
GROUPS = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A network, its loss and its batch."""

    make: Callable[[], nn.Module]
    objective: Objective
    side: int
    batch: int
    frozen: Callable[[str], bool] = lambda _: False
    """Which parameters, by name, the private step leaves alone."""


class Block(nn.Module):
    """Two convolutions beside a way around them (He et al. 2016), with group normalisation."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.GroupNorm(GROUPS, after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.GroupNorm(GROUPS, after),
        )
        self.around: nn.Module = nn.Identity()
        if stride != 1:
            narrow = nn.Conv2d(before, after, 1, stride, bias=False)
            self.around = nn.Sequential(narrow, nn.GroupNorm(GROUPS, after))

    def forward(self, images: Tensor) -> Tensor:
        """Return [batch, after, height / stride, width / stride]."""
        return functional.relu(self.body(images) + self.around(images))


def resnet() -> nn.Module:
    """Make a ResNet of 0.25 million parameters, one logit per image."""
    plan = (
        (16, 16, 1),
        (16, 16, 1),
        (16, 32, 2),
        (32, 32, 1),
        (32, 64, 2),
        (64, 64, 1),
        (64, 64, 1),
    )
    stem = (nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.GroupNorm(GROUPS, 16), nn.ReLU())
    tail = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
    return nn.Sequential(*stem, *(Block(*one) for one in plan), *tail)


def densenet() -> nn.Module:
    """Make a DenseNet121 with group normalisation, 6.9 million parameters."""
    body = nets.DenseNet121(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        act=("relu", {"inplace": False}),
        norm=("group", {"num_groups": GROUPS}),
    )
    return nn.Sequential(body, nn.Flatten(0))


def unet() -> nn.Module:
    """Make a UNet of 0.23 million parameters."""
    return nets.UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        channels=(12, 24, 48, 96),
        strides=(2, 2, 2),
        num_res_units=2,
    )


CASES = {
    "unet2d": Case(unet, pixel_losses, side=96, batch=16),
    "densenet121": Case(densenet, image_losses, side=64, batch=16),
    "resnet_gn": Case(resnet, image_losses, side=64, batch=32),
    "head_only": Case(
        densenet, image_losses, side=64, batch=16, frozen=lambda name: "class_layers" not in name
    ),
}


def steps(name: str, case: Case) -> tuple[dict[str, Callable[[], None]], str]:
    """Return a plain, a private and a hooked step, and the engine's name."""
    torch.manual_seed(0)
    plain, private, hooked = (case.make().train() for _ in range(3))
    shape = (1, case.side, case.side)
    inputs = torch.randn((case.batch, *shape))
    with torch.no_grad():
        labels = (torch.rand_like(plain(inputs)) > 0.5).float()
    for module in (private, hooked):
        for path, value in module.named_parameters():
            value.requires_grad_(not case.frozen(path))
    network = Network(name, private, lambda images: images, shape)
    engine = self_test.check(network, case.objective).engine
    examples = Examples(inputs, labels, torch.arange(case.batch))
    found = {
        "plain": _plain(plain, examples, case.objective),
        "private": _private(private, examples, case.objective, engine),
        "hooks": _hooked(hooked, examples, case.objective),
    }
    return found, engine


def _plain(module: nn.Module, examples: Examples, objective: Objective) -> Callable[[], None]:
    optimizer = SGD(module.parameters(), RATE)

    def step() -> None:
        optimizer.zero_grad()
        losses = losses_of(objective, module(examples.inputs), examples.labels)
        torch.autograd.backward(losses.mean())
        optimizer.step()

    return step


def _private(
    module: nn.Module, examples: Examples, objective: Objective, engine: str
) -> Callable[[], None]:
    optimizer = SGD([value for value in module.parameters() if value.requires_grad], RATE)
    constants = Release(BOUND, 0.0, len(examples))
    zeros = {
        tuple(value.shape): torch.zeros_like(value, dtype=torch.float64).numpy()
        for value in module.parameters()
        if value.requires_grad
    }

    def step() -> None:
        sums = clipped_sum(
            module, examples, bound=BOUND, engine=ENGINES[engine], objective=objective
        )
        # Zeros stand for the noise: they are overwritten, so they are fresh for every array.
        noise = lambda shape, _: zeros[shape].copy()  # noqa: E731
        release(sums, module, optimizer, constants=constants, noise=noise)

    return step


def _hooked(module: nn.Module, examples: Examples, objective: Objective) -> Callable[[], None]:
    wrapped = GradSampleModule(module, loss_reduction="mean")
    optimizer = DPOptimizer(
        SGD([value for value in module.parameters() if value.requires_grad], RATE),
        noise_multiplier=0.0,
        max_grad_norm=BOUND,
        expected_batch_size=len(examples),
    )

    def step() -> None:
        optimizer.zero_grad()
        outputs = wrapped(examples.inputs.requires_grad_())
        torch.autograd.backward(losses_of(objective, outputs, examples.labels).mean())
        optimizer.step()
        examples.inputs.requires_grad_(False)  # noqa: FBT003 - torch takes it so

    return step


def medians(turns: dict[str, Callable[[], None]], *, repeats: int) -> dict[str, float]:
    """Return each step's median processor time in seconds, steps taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for repeat in range(repeats + 1):
        for name, step in turns.items():
            before = time.process_time()
            step()
            if repeat:
                taken[name].append(time.process_time() - before)
    return {name: statistics.median(times) for name, times in taken.items()}


def noise_s() -> float:
    """Return the time of noise for 7 million values: the median of 5."""
    taken = []
    for _ in range(5):
        before = time.process_time()
        secure_normal((NOISE_VALUES,), 1.0)
        taken.append(time.process_time() - before)
    return statistics.median(taken)


def measured(*, repeats: int) -> dict[str, object]:
    """Run every case."""
    ratio: dict[str, float] = {}
    versus_hooks: dict[str, float] = {}
    engines: dict[str, str] = {}
    for name, case in CASES.items():
        turns, engines[name] = steps(name, case)
        taken = medians(turns, repeats=repeats)
        ratio[name] = round(taken["private"] / taken["plain"], 3)
        versus_hooks[name] = round(taken["private"] / taken["hooks"], 3)
        sys.stderr.write(f"{name}: {engines[name]}, {ratio[name]} x plain\n")
    return {
        "ratio": ratio,
        "versus_hooks": versus_hooks,
        "noise_s_per_7m": round(noise_s(), 4),
        "engine": engines,
        "threads": 1,
        "repeats": repeats,
    }


def told(found: dict[str, object], *, as_json: bool) -> str:
    """Write the result for a program or for people."""
    if as_json:
        return json.dumps(found)
    return "\n".join(f"{name:16}{value}" for name, value in found.items())


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(told(measured(repeats=arguments.repeats), as_json=arguments.json) + "\n")


if __name__ == "__main__":
    main()
