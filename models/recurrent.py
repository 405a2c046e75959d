"""An LSTM step whose input is a sum of parts, so that parts known before can be computed before."""

import torch
from torch import Tensor


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM from its summed gates.

    ``gates`` ``[B, 4H]`` (input, forget, candidate, output, before their non-linearities) and the
    cell ``[B, H]`` to the next hidden state and cell, both ``[B, H]`` (Hochreiter and Schmidhuber,
    1997, with the forget gate of Gers et al., 2000). The cell is kept in float32.
    """
    entry, forget, candidate, out = gates.float().chunk(4, 1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.tanh(candidate)
    return torch.sigmoid(out) * torch.tanh(cell), cell
