"""Fixed features: the same for everybody, of length one, and close to the kernel they stand for."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from hospital_node.models import fixed_features
from hospital_node.models.fixed_features import FixedFeatures
from schemas.network import GaborFourier

SPEC = GaborFourier(features=2048, seed=3)
FEATURES = FixedFeatures(SPEC, 32, 32)


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn((count, 1, 32, 32), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.0, 1e-3, 1.0, 1e3]))
def test_every_image_has_features_of_length_one_and_the_constant(seed: int, scale: float) -> None:
    found = FEATURES(images(2, seed) * scale)
    assert found.shape == (2, SPEC.features + 1)
    torch.testing.assert_close(found[:, :-1].norm(dim=1), torch.ones(2))
    assert (found[:, -1] == torch.tensor(SPEC.bias_scale)).all()


def test_features_depend_on_the_image_and_the_specification_alone() -> None:
    inputs = images(70)
    together = FEATURES(inputs)
    fixed_features._constants.cache_clear()  # noqa: SLF001 - as in a new process
    torch.manual_seed(5)
    again = FixedFeatures(GaborFourier(features=2048, seed=3), 32, 32)(inputs[66:67])
    torch.testing.assert_close(again, together[66:67])
    other = FixedFeatures(GaborFourier(features=2048, seed=4), 32, 32)(inputs[:1])
    assert not torch.allclose(other, together[:1])


def test_inner_products_approximate_the_gaussian_kernel() -> None:
    inputs = images(12)
    constants = fixed_features._constants(SPEC, 32, 32)  # noqa: SLF001 - the slow twin needs them
    channels = fixed_features._channels(inputs)  # noqa: SLF001
    unit = functional.normalize(((channels - constants.mean) / constants.deviation).flatten(1))
    kernel = torch.exp(-SPEC.bandwidth * torch.cdist(unit, unit) ** 2)
    waves = FEATURES(inputs)[:, :-1]
    assert (waves @ waves.T - kernel).abs().max() < 6 * SPEC.features**-0.5


def test_an_oriented_pattern_answers_in_its_own_channel() -> None:
    across = torch.arange(32.0)
    for place, wavelength in enumerate(fixed_features.WAVELENGTHS[:3]):
        stripes = torch.cos(2 * torch.pi * across / wavelength).expand(1, 1, 32, 32)
        answers = fixed_features._channels(stripes)[0, :, 2:6, 2:6].mean((1, 2))  # noqa: SLF001
        assert int(answers.argmax()) == place * fixed_features.ORIENTATIONS
