"""Dropout whose mask costs little on the CPU."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """``torch.nn.Dropout``, with masks from random bits on the CPU.

    PyTorch draws a double for every number there, in one thread: 13 ms a million, more than many a
    layer takes; 16 bits for each take a tenth. The probability is that of ``nn.Dropout`` to within
    1 / 65,536, and what is kept is scaled to the true expectation.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout probability {p}: expected 0 to less than 1.")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop numbers of a tensor of any shape, while training."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        n_dropped = round(self.p * 2**16)
        if not n_dropped:
            return x
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= n_dropped - 2**15
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - n_dropped))

    def extra_repr(self) -> str:
        """What ``print`` shows of the module."""
        return f"p={self.p}"


class CellDropout(nn.Module):
    """Keep an attention from some cells: their scores ``[B, S]`` become the lowest, in training.

    The weights of the others add up to 1, so nothing need be scaled; and so do those of a row that
    lost all of its cells.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, scores: Tensor) -> Tensor:
        """Drop some of ``[B, S]``."""
        if not self.training or not self.p:
            return scores
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(torch.rand_like(scores) < self.p, lowest)

    def extra_repr(self) -> str:
        """What ``print`` shows of the module."""
        return f"p={self.p}"
