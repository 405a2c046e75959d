"""What a head does with a frozen network's cells before anything is learned."""

import torch
from torch import Tensor, nn

from .standardize import standardize


class Standardize(nn.Module):
    """Bring every channel to mean 0 and deviation 1.

    A ResNet's last features are non-negative and share a large mean, which hides what tells one
    cell from another. The statistics are those of training images, set once by :meth:`fit`, and
    travel with the checkpoint. ``unit`` also brings every vector to length ``sqrt(D)``, as "Show,
    Ask, Attend, and Answer" does (Kazemi and Elqursh, 2017); on a grid that lifts empty cells to
    the height of those that hold something.

    ``[..., D]`` to ``[..., D]`` float32 (bfloat16 or float16 under autocast).
    """

    mean: Tensor
    inverse_deviation: Tensor

    def __init__(self, channels: int, enabled: bool = True, unit: bool = False) -> None:
        super().__init__()
        self.enabled, self.unit = enabled, unit
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("inverse_deviation", torch.ones(channels))

    def fit(self, sample: Tensor) -> None:
        """Take the statistics of a sample of vectors, ``[..., D]``."""
        flat = sample.reshape(-1, sample.shape[-1]).float()
        self.mean.copy_(flat.mean(0))
        # A channel that never moves carries nothing: leave it at zero instead of dividing by zero.
        deviation = flat.std(0, correction=0)
        alive = deviation > 1e-6
        self.inverse_deviation.copy_(torch.where(alive, 1 / deviation.clamp_min(1e-6), 0.0))

    def forward(self, cells: Tensor) -> Tensor:
        """Standardise ``[..., D]`` of any floating dtype."""
        device = cells.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else torch.float32
        if self.enabled:
            return standardize(cells, self.mean, self.inverse_deviation, dtype, unit=self.unit)
        return cells.to(dtype)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of ``[U, C]``; a single row, without a spread, uses the running statistics."""

    def forward(self, rows: Tensor) -> Tensor:
        """Norm ``[U, C]`` float32."""
        if self.training and len(rows) == 1:
            return self.by_running(rows)
        normed: Tensor = super().forward(rows)
        return normed

    def by_running(self, rows: Tensor) -> Tensor:
        """Norm by the running statistics, whether training or not, and leave them as they are."""
        return nn.functional.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class SpatialGate(nn.Module):
    """A sigmoid gate a cell, from a 1x1 convolution, and the mean of the gated cells.

    The gate acts on the grid, before the pooling: ``[U, S, D]`` to ``[U, D]``. (After it, as once
    reported, there is a single cell and nothing to choose from.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Linear(channels, 1)

    def forward(self, cells: Tensor) -> Tensor:
        """Gate and pool ``[U, S, D]``."""
        gate = torch.sigmoid(self.gate(cells))  # [U, S, 1]
        pooled = torch.bmm(gate.transpose(1, 2).to(cells.dtype), cells)  # [U, 1, D]
        return pooled.squeeze(1) / cells.shape[1]
