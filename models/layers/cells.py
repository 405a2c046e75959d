"""The first layers on a network's cells: standardisation, batch norm, a gate."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..kernels.choice import fused
from .padding import real_images

_STORED = (torch.float16, torch.float32, torch.bfloat16)
_COMPUTED = (torch.float32, torch.bfloat16)

DEAD = 1e-6  # the largest deviation of a channel that counts as constant
MOMENTUM = 0.1  # the share of a batch in running statistics, as in batch norm
STILL = 1e-3  # the share of the running variance in what a batch is standardised by


def of_one_process(part: Tensor) -> Tensor:
    """The sum of a tensor over the processes: here there is one."""
    return part


class Standardize(nn.Module):
    """Bring every channel to mean 0 and deviation 1.

    A ResNet's last features are non-negative and share a large mean, which hides the differences
    between cells. The statistics are those of training images, set once by :meth:`fit`, and
    travel with the checkpoint. ``unit`` also brings every vector to length ``sqrt(D)``, as "Show,
    Ask, Attend, and Answer" does (Kazemi and Elqursh, 2017); on a grid that scales empty cells up
    to those with objects.

    Behind an encoder that learns it ``follows``: it uses the batch's statistics while training and
    their running means in evaluation, as batch norm does. An encoder's step moves all images in
    common much further than apart (random ResNet-18, pooled: 1.8 deviations in 8 updates at 1e-4),
    so that with the first statistics all of them would soon be one vector. Where processes share a
    batch, ``total`` sums a tensor over them, and ``n_rows`` is how many images they have together.

    ``[..., D]`` to ``[..., D]`` float32 (bfloat16 or float16 under autocast).
    """

    mean: Tensor
    inverse_deviation: Tensor

    def __init__(self, channels: int, enabled: bool = True, unit: bool = False) -> None:
        super().__init__()
        self.enabled, self.unit = enabled, unit
        self.follows = False
        self.total: Callable[[Tensor], Tensor] = of_one_process
        self.n_rows: int | None = None
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("inverse_deviation", torch.ones(channels))

    def fit(self, sample: Tensor) -> None:
        """Take the statistics of a sample of vectors, ``[..., D]``."""
        flat = sample.reshape(-1, sample.shape[-1]).float()
        self.mean.copy_(flat.mean(0))
        self.inverse_deviation.copy_(inverse_root(flat.var(0, correction=0)))

    def forward(self, cells: Tensor) -> Tensor:
        """Standardise ``[..., D]`` of any floating dtype."""
        dtype = layer_dtype(cells.device)
        if not self.enabled:
            return cells.to(dtype)
        statistics = self.mean, self.inverse_deviation
        if self.follows and self.training:
            statistics = self._of_batch(cells)
        return standardize(cells, *statistics, dtype, unit=self.unit)

    def _of_batch(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """The batch's mean and inverse deviation ``[D]``; the running ones for a single image."""
        # A copy, since the running mean changes before the gradients are computed.
        before = self.mean.clone()
        if (self.n_rows or len(cells)) == 1:
            return before, self.inverse_deviation
        # Differences from the running mean, which is near, keep the squares' digits.
        centred = cells.float().flatten(0, -2) - before
        sums = [centred.sum(0), centred.square().sum(0), centred.new_full((1,), len(centred))]
        found = self.total(torch.cat(sums))
        mean, square = (found[:-1] / found[-1]).view(2, -1)
        running = torch.where(self.inverse_deviation > 0, self.inverse_deviation**-2, 0.0)
        variance = (square - mean**2).clamp_min(0)
        with torch.no_grad():
            self.mean.lerp_(before + mean, MOMENTUM)
            self.inverse_deviation.copy_(inverse_root(running.lerp(variance, MOMENTUM)))
        # A channel that happens to be constant in this batch is not blown up.
        return before + mean, inverse_root(variance.lerp(running, STILL))


def standardize(
    cells: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    dtype: torch.dtype = torch.float32,
    unit: bool = True,
    epsilon: float = 1e-6,
) -> Tensor:
    """Bring every channel to mean 0 and deviation 1; if ``unit``, every vector to ``sqrt(D)``.

    cells: (…, D) of any floating type; mean, inverse_deviation: (D,) float32. Returns (…, D) of
    ``dtype``, computed in float32: ``x = (cells - mean) · inverse_deviation``, and for ``unit``
    ``x / sqrt(mean(x²) + epsilon)``.

    On the CPU features that need no gradient take one sweep, that reads half-precision numbers and
    writes the result, instead of six passes over float32.
    """
    frozen = not (torch.is_grad_enabled() and cells.requires_grad)
    stored = cells.device.type == "cpu" and cells.dtype in _STORED
    if frozen and stored and dtype in _COMPUTED and fused(cells.numel()):
        from ..kernels.standardize import standardize as fused_standardize

        return fused_standardize(cells, mean, inverse_deviation, dtype, unit, epsilon)
    numbers = (cells.float() - mean) * inverse_deviation
    if unit:
        numbers = numbers * torch.rsqrt(numbers.square().mean(-1, keepdim=True) + epsilon)
    return numbers.to(dtype)


def layer_dtype(device: torch.device) -> torch.dtype:
    """The dtype that layers compute in: autocast's where it is on, otherwise float32."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32


def inverse_root(variance: Tensor) -> Tensor:
    """One over the deviation, of ``[D]``.

    A constant channel carries nothing: it becomes zero instead of being divided by zero.
    """
    alive = variance > DEAD**2
    return torch.where(alive, variance.clamp_min(DEAD**2).rsqrt(), 0.0)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of ``[U, C]``, a row an image.

    A single row, without a spread, uses the running statistics.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise ``[U, C]`` float32."""
        is_image = real_images()
        if self.training and is_image is not None:
            return self._by_real(rows, is_image)
        if self.training and len(rows) == 1:
            return self.by_running(rows)
        normed: Tensor = super().forward(rows)
        return normed

    def by_running(self, rows: Tensor) -> Tensor:
        """Normalise by the running statistics, and leave them as they are."""
        return nn.functional.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    def _by_real(self, rows: Tensor, is_image: Tensor) -> Tensor:
        """Normalise by the statistics of the rows that are no padding."""
        assert self.running_mean is not None
        assert self.running_var is not None
        n = is_image.sum()
        share = (is_image / n)[:, None]
        mean = (rows * share).sum(0)
        centred = rows - mean
        variance = (centred.square() * share).sum(0)
        several = n > 1
        follow_statistics(self, mean, variance * n / (n - 1).clamp_min(1), several)
        centred = torch.where(several, centred, rows - self.running_mean)
        variance = torch.where(several, variance, self.running_var)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias


@torch.no_grad()
def follow_statistics(
    norm: BatchNorm, mean: Tensor, variance: Tensor, take: Tensor | bool = True
) -> None:
    """Move the running statistics towards a batch's, ``[C]`` each, if it is one to ``take``."""
    assert norm.momentum is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.running_mean.lerp_(mean.detach(), take * norm.momentum)
    norm.running_var.lerp_(variance.detach(), take * norm.momentum)
    norm.num_batches_tracked += take


class SpatialGate(nn.Module):
    """A sigmoid gate for each cell, from a 1x1 convolution, and the mean of the gated cells.

    The gate acts on the grid, before the pooling: ``[U, S, D]`` to ``[U, D]``. (After the pooling
    there would be a single cell and nothing to choose from.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Linear(channels, 1)

    def forward(self, cells: Tensor) -> Tensor:
        """Gate and pool ``[U, S, D]``."""
        gate = torch.sigmoid(self.gate(cells))  # [U, S, 1]
        pooled = torch.bmm(gate.transpose(1, 2).to(cells.dtype), cells)  # [U, 1, D]
        return pooled.squeeze(1) / cells.shape[1]
