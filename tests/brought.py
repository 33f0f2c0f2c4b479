"""Weights that a study lead brings."""

from pathlib import Path

from safetensors.numpy import save_file

from hospital_node.models.registry import build, trainable_arrays
from schemas.network import ConvolutionalNetwork


def weights(folder: Path, *, seed: int = 99) -> Path:
    """Write weights of the study's network that a study lead might bring."""
    spec = ConvolutionalNetwork(channels=(4, 8), groups=2)
    module = build(spec, height=16, width=16, seed=seed).module
    path = folder / f"pretrained-{seed}.safetensors"
    save_file(trainable_arrays(module), path)
    return path
