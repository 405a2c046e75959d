"""A moving average of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of parameters (Polyak and Juditsky, 1992).

    After update u it becomes ``d · average + (1 − d) · weights``, where d is the smaller one of
    ``decay`` and ``(1 + u) / (10 + u)``, so that the first weights are soon forgotten. On a small
    set it validates better than the weights do, which go on moving from question to question.
    """

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.tensors = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, n_updates: int) -> None:
        """Take in the weights after ``n_updates`` updates, counted from 1."""
        decay = min(self.decay, (1 + n_updates) / (10 + n_updates))
        weights: list[Tensor] = list(self.parameters.values())
        torch._foreach_lerp_(list(self.tensors.values()), weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the parameters have the average's values."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.parameters.items():
            weights = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name] = weights

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from saved ``tensors``; raises ``KeyError`` or ``RuntimeError`` for others."""
        for name, average in self.tensors.items():
            average.copy_(tensors[name])
