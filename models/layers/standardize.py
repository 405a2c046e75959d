"""Standardising a frozen network's features, from how they are stored to how they are used."""

import torch
from torch import Tensor

from ..kernels.choice import fused

_STORED = (torch.float16, torch.float32, torch.bfloat16, torch.uint8)


def standardize(
    cells: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    dtype: torch.dtype = torch.float32,
    scale: Tensor | None = None,
    unit: bool = True,
    epsilon: float = 1e-6,
) -> Tensor:
    """Bring every channel to mean 0 and deviation 1; if ``unit``, every vector to ``sqrt(D)``.

    cells: (…, D) of any floating type, or uint8; scale: (…), what a vector is multiplied by before
    all else; mean, inverse_deviation: (D,) float32. Returns (…, D) of ``dtype``, computed in
    float32: ``x = (cells - mean) · inverse_deviation``, and for ``unit``
    ``x / sqrt(mean(x²) + epsilon)``.

    On the CPU features that need no gradient take one sweep, that reads half-precision numbers or
    bytes and writes the result, instead of six passes over float32.
    """
    frozen = not (torch.is_grad_enabled() and cells.requires_grad)
    stored = cells.device.type == "cpu" and cells.dtype in _STORED
    if frozen and stored and dtype in (torch.float32, torch.bfloat16) and fused(cells.numel()):
        from ..kernels import cpu

        return cpu.standardize(cells, mean, inverse_deviation, dtype, scale, unit, epsilon)
    numbers = cells.float()
    if scale is not None:
        numbers = numbers * scale[..., None].float()
    numbers = (numbers - mean) * inverse_deviation
    if unit:
        numbers = numbers * torch.rsqrt(numbers.square().mean(-1, keepdim=True) + epsilon)
    return numbers.to(dtype)
