"""The backbone as it runs: uint8 images in, grid and pooled features out, batch by batch."""

import copy
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..devices import multiplies_bfloat16
from .backbones import Backbone
from .decode.batches import DecodedBatch
from .file.background_writer import Computed
from .file.layout import GRID
from .file.quantize import LEVELS
from .images import MEAN, STD


class GridNetwork(nn.Module):
    """uint8 images [B, H, W, 3] → grid [B, S, D] and pooled [B, D] in ``output`` precision.

    ``grid`` is row-major: the network's own cells when they are of the ``shape`` asked for, else
    their adaptive average to it. ``pooled`` is the network's own where it returns one, else the
    mean of its own cells, summed in float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        precision: torch.dtype,
        output: torch.dtype,
        shape: tuple[int, int] = GRID,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
    ) -> None:
        super().__init__()
        self.network = network.to(precision)
        self.precision = precision
        self.output = output
        self.shape = shape
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def describe(self) -> str:
        """The arithmetic and the kind of device, as in ``bfloat16 on cpu``."""
        return f"{str(self.precision).removeprefix('torch.')} on {self.mean.device.type}"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        # [B, H, W, 3] seen as [B, 3, H, W] is already channels-last.
        pixels = images.permute(0, 3, 1, 2).float()
        found = self.network(((pixels - self.mean) / self.std).to(self.precision))
        cells, own = found if isinstance(found, tuple) else (found, None)
        cells = cells.float()
        pooled = cells.mean(dim=(2, 3)) if own is None else own.float()
        if cells.shape[2:] != self.shape:
            cells = nn.functional.adaptive_avg_pool2d(cells, self.shape)
        grid = cells.permute(0, 2, 3, 1).flatten(1, 2).to(self.output).contiguous()
        return grid, pooled.to(self.output)


def build_network(
    backbone: Backbone,
    device: torch.device,
    precision: torch.dtype,
    output: torch.dtype = torch.float32,
    shape: tuple[int, int] = GRID,
) -> GridNetwork:
    """The backbone folded, channels-last, in ``precision`` and on ``device``, ready to run."""
    network = copy.deepcopy(backbone.network)
    if backbone.is_resnet:
        fold_batch_norm(network)
    grid_network = GridNetwork(network, precision, output, shape, backbone.mean, backbone.std)
    grid_network = grid_network.eval().requires_grad_(False)
    return grid_network.to(device).to(memory_format=torch.channels_last)


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every batch norm of a truncated ResNet into the convolution before it, in place.

    In torchvision's ResNets each batch norm is registered right behind its convolution.
    """
    for module in list(network.modules()):
        names = [name for name, _ in module.named_children()]
        for before, after in itertools.pairwise(names):
            _fold_pair(module, before, after)


def _fold_pair(module: nn.Module, before: str, after: str) -> None:
    conv, norm = getattr(module, before), getattr(module, after)
    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(module, before, fuse_conv_bn_eval(conv, norm))
        setattr(module, after, nn.Identity())


def choose_precision(device: torch.device, amp: str) -> torch.dtype:
    """The fastest precision that keeps features within half-precision rounding of float32.

    float16 on a GPU (3 more bits than bfloat16, and a ResNet's activations stay far below 65504),
    bfloat16 on a CPU that multiplies it natively, else float32.
    """
    if amp == "off":
        return torch.float32
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if multiplies_bfloat16() else torch.float32


def run_network(
    network: GridNetwork, batches: Iterator[DecodedBatch], dtype: str
) -> Iterator[Computed]:
    """Run the network over the batches, in order; ``dtype`` is the grid's in the file.

    A GPU gets the next batch before the CPU waits for the previous results, so that it never idles.
    """
    launched: Launched | None = None
    for batch in batches:
        current = Launched(network, batch, dtype)
        if network.mean.device.type == "cpu":
            yield current.wait()
            continue
        if launched is not None:
            yield launched.wait()
        launched = current
    if launched is not None:
        yield launched.wait()


class Launched:
    """A batch that the network is computing."""

    def __init__(self, network: GridNetwork, batch: DecodedBatch, dtype: str) -> None:
        device = network.mean.device
        on_gpu = device.type == "cuda"
        with torch.inference_mode():
            columns = {"finite": torch.zeros(len(batch.rows), dtype=torch.bool)}
            if batch.groups:
                columns = as_stored(*run_groups(network, batch), dtype)
                columns["finite"] = all_finite(columns)
            self._columns = {n: start_copy(c) if on_gpu else c for n, c in columns.items()}
        self._event = torch.Event(device) if on_gpu else None
        if self._event is not None:
            self._event.record()
        self._batch = batch

    def wait(self) -> Computed:
        """The features, once they are on the CPU."""
        if self._event is not None:
            self._event.synchronize()
        columns = {name: column.numpy() for name, column in self._columns.items()}
        return Computed(self._batch, finite=columns.pop("finite"), columns=columns)


def run_groups(network: GridNetwork, batch: DecodedBatch) -> tuple[Tensor, Tensor]:
    """Grid [B, S, D] and pooled [B, D] of a batch; zeros where an image failed."""
    device, n_images = network.mean.device, len(batch.rows)
    parts: list[tuple[Tensor, Tensor]] = []
    for group in batch.groups:
        if device.type == "cuda":  # the stream that made them must not reuse their memory yet
            group.pixels.record_stream(torch.cuda.current_stream(device))
        parts.append(network(group.pixels))
    if len(parts) == 1 and len(parts[0][0]) == n_images:
        return parts[0]
    index = torch.from_numpy(np.concatenate([g.index for g in batch.groups])).to(device)
    grid, pooled = (torch.cat(part) for part in zip(*parts, strict=True))
    spread = [c.new_zeros(n_images, *c.shape[1:]).index_copy_(0, index, c) for c in (grid, pooled)]
    return spread[0], spread[1]


def as_stored(grid: Tensor, pooled: Tensor, dtype: str) -> dict[str, Tensor]:
    """The columns of a feature file whose grid has this dtype."""
    if dtype == "uint8":
        cells, scale = quantize_on_device(grid)
        return {"grid": cells, "scale": scale, "pooled": pooled.half()}
    kind = torch.float32 if dtype == "float32" else torch.float16
    return {"grid": grid.to(kind), "pooled": pooled.to(kind)}


def quantize_on_device(grid: Tensor) -> tuple[Tensor, Tensor]:
    """As ``quantize`` of ``file.quantize``, where the features are: bytes [B, S, D], scale [B, S].

    A negative value, which it refuses, becomes a scale of NaN here.
    """
    exact = grid.amax(2).float() / LEVELS
    scale = exact.half()
    low = scale.float() < exact
    # The next number of float16, of which none here is negative, is the next of its bits.
    scale = torch.where(low, (scale.view(torch.int16) + 1).view(torch.float16), scale)
    step = torch.where(scale == 0, 1, scale).float()
    cells = (grid / step[:, :, None]).round().byte()
    return cells, torch.where(grid.amin(2) < 0, torch.nan, scale)


def all_finite(columns: dict[str, Tensor]) -> Tensor:
    """bool [B]: whether all of an image's features are finite numbers.

    Their least and greatest say so, faster than a look at each: both are NaN if one is.
    """
    floats = [column.flatten(1) for column in columns.values() if column.is_floating_point()]
    extremes = [extreme for rows in floats for extreme in (rows.amin(1), rows.amax(1))]
    return torch.stack([extreme.isfinite() for extreme in extremes]).all(0)


def start_copy(values: torch.Tensor) -> torch.Tensor:
    """Start a copy from the GPU to page-locked memory, without waiting for it."""
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(
        values, non_blocking=True
    )
