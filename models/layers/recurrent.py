"""An LSTM step on summed gates, whose parts can be computed as soon as they are known."""

import torch
from torch import Tensor

from ..kernels.choice import fused, has_cuda_lstm

_FUSED_DTYPES = (torch.float32, torch.bfloat16)


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM from its summed gates.

    ``gates`` ``[B, 4H]`` (input, forget, candidate, output, before their non-linearities) and the
    cell ``[B, H]`` float32 to the next hidden state and cell, both ``[B, H]`` (Hochreiter and
    Schmidhuber, 1997, with the forget gate of Gers et al., 2000). The hidden state is of the gates'
    dtype; the cell, which adds up over the steps, stays in float32.

    On the CPU it is one sweep, forward and backward, within 1e-6 of the plain form, and on CUDA the
    library's. Raises ``ValueError`` for shapes that do not fit.
    """
    if cell.ndim != 2 or gates.shape != (len(cell), 4 * cell.shape[1]):
        raise ValueError(
            f"Shapes do not fit: gates {tuple(gates.shape)} and cell {tuple(cell.shape)}; expected "
            "(B, 4H) and (B, H)."
        )
    ours = gates.device.type == "cpu" and gates.dtype in _FUSED_DTYPES
    if ours and cell.dtype == torch.float32 and fused(gates.numel()):
        from ..kernels.lstm import lstm_step as fused_step

        return fused_step(gates, cell)
    if gates.device.type == "cuda" and fused(gates.numel()) and has_cuda_lstm():
        from ..kernels.lstm import cuda_lstm_step

        return cuda_lstm_step(gates, cell)
    entry, forget, candidate, out = gates.to(cell.dtype).chunk(4, 1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.tanh(candidate)
    return (torch.sigmoid(out) * torch.tanh(cell)).to(gates.dtype), cell
