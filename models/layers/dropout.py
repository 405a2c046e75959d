"""Dropout whose mask costs little on the CPU."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """``torch.nn.Dropout``, with masks from random bits on the CPU.

    PyTorch draws a double for each number there, in one thread: 13 ms a million, more than many
    layers take; 16 bits each take a tenth of that. The probability is within 1 / 65,536 of that of
    ``nn.Dropout``, and kept numbers are scaled by the exact one.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout probability {p}: expected 0 to less than 1.")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Zero some numbers of a tensor of any shape, while training."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        n_dropped = round(self.p * 2**16)
        if not n_dropped:
            return x
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
        bits.random_(-(2**63), None)
        kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= n_dropped - 2**15
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - n_dropped))

    def extra_repr(self) -> str:
        """The module's settings, for ``print``."""
        return f"p={self.p}"
