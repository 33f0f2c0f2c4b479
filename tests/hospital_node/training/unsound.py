"""Small classifiers, each wrong, or unusual, in one way."""

import torch
from torch import Tensor, nn


class Unsound(nn.Module):
    """A small classifier, to be made wrong in one way."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled(self.convolution(images))).squeeze(1)
        return logits

    def pooled(self, values: Tensor) -> Tensor:
        return values.mean((2, 3))


class BatchCentred(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        return (values - values.mean(0)).mean((2, 3))


class BatchNormalised(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        return nn.functional.batch_norm(values, None, None, training=True).relu().mean((2, 3))


class LiveBatchNorm(Unsound):
    def __init__(self) -> None:
        super().__init__()
        self.normalised = nn.BatchNorm2d(4)

    def pooled(self, values: Tensor) -> Tensor:
        outputs: Tensor = self.normalised(values)
        return outputs.mean((2, 3))


class Drawing(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        return nn.functional.dropout(values).mean((2, 3))


class InPlaceResidual(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        values += 1.0
        return values.relu().mean((2, 3))


class UnusedLayer(Unsound):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


class RootParameter(Unsound):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def pooled(self, values: Tensor) -> Tensor:
        return values.mean((2, 3)) * self.scale


class Detached(Unsound):
    def pooled(self, values: Tensor) -> Tensor:
        return values.mean((2, 3)).detach()


class Constant(Unsound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * 0.0


class NotANumber(Unsound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * float("nan")


class TwoLogits(Unsound):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, None]
