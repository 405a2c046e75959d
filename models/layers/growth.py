"""A branch that starts small and may grow."""

import torch
from torch import Tensor, nn


class Growth(nn.Module):
    """A learned factor that begins at ``start``: LayerScale (Touvron et al., 2021) as one number.

    A few hundred photos are soon learned by heart: an image that is as loud as the question from
    the first update on is what a head leans on. Begun small, it grows as far as it helps.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((), start))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply a tensor of any shape."""
        return x * self.factor.to(x.dtype)


def growth(start: float) -> nn.Module:
    """A factor that begins at ``start``; of 1 there is none."""
    return nn.Identity() if start == 1 else Growth(start)
