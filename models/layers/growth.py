"""A learned factor on a branch of a head, which starts small."""

import torch
from torch import Tensor, nn


class Growth(nn.Module):
    """A learned scalar that starts at ``start``: LayerScale (Touvron et al., 2021) as one number.

    A head that reads the image at full strength from the first update on learns a few hundred
    photos by heart. An image branch that starts small grows as far as it helps.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((), start))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply a tensor of any shape."""
        return x * self.factor.to(x.dtype)


def growth(start: float) -> nn.Module:
    """A factor that starts at ``start``; for 1, none at all."""
    return nn.Identity() if start == 1 else Growth(start)
