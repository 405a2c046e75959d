"""The backbone as it runs: uint8 images in, grid and pooled features out, batch by batch."""

import copy
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..devices import multiplies_bfloat16
from .backbones import Backbone
from .file.background_writer import Computed
from .file.layout import GRID
from .images import MEAN, STD, DecodedBatch


class GridNetwork(nn.Module):
    """uint8 images [B, H, W, 3] → grid [B, S, D] and pooled [B, D] in ``output`` precision.

    ``grid`` is row-major: the network's own cells when they are of the ``shape`` asked for, else
    their adaptive average to it. ``pooled`` is the mean of the network's own cells, summed in
    float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Sequential,
        precision: torch.dtype,
        output: torch.dtype,
        shape: tuple[int, int] = GRID,
    ) -> None:
        super().__init__()
        self.network = network.to(precision)
        self.precision = precision
        self.output = output
        self.shape = shape
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255)

    def describe(self) -> str:
        """The arithmetic and the kind of device, as in ``bfloat16 on cpu``."""
        return f"{str(self.precision).removeprefix('torch.')} on {self.mean.device.type}"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        # [B, H, W, 3] seen as [B, 3, H, W] is already channels-last.
        pixels = images.permute(0, 3, 1, 2).float()
        cells = self.network(((pixels - self.mean) / self.std).to(self.precision)).float()
        pooled = cells.mean(dim=(2, 3))
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
    network = fold_batch_norm(backbone.network)
    grid_network = GridNetwork(network, precision, output, shape)
    grid_network = grid_network.eval().requires_grad_(False)
    return grid_network.to(device).to(memory_format=torch.channels_last)


def fold_batch_norm(network: nn.Sequential) -> nn.Sequential:
    """A copy of a truncated ResNet with every batch norm folded into the convolution before it.

    In torchvision's ResNets each batch norm is registered right behind its convolution.
    """
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        names = [name for name, _ in module.named_children()]
        for before, after in itertools.pairwise(names):
            _fold_pair(module, before, after)
    return network


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


def run_network(network: GridNetwork, batches: Iterator[DecodedBatch]) -> Iterator[Computed]:
    """Run the network over the batches, in order.

    A GPU gets the next batch before the CPU waits for the previous results, so that it never idles.
    """
    launched: Launched | None = None
    for batch in batches:
        current = Launched(network, batch)
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

    def __init__(self, network: GridNetwork, batch: DecodedBatch) -> None:
        device = network.mean.device
        on_gpu = device.type == "cuda"
        pixels = torch.from_numpy(batch.pixels)
        with torch.inference_mode():
            if on_gpu:
                pixels = pixels.pin_memory().to(device, non_blocking=True)
            outputs = network(pixels)
            self._outputs = [start_copy(o) for o in outputs] if on_gpu else outputs
        self._event = torch.Event(device) if on_gpu else None
        if self._event is not None:
            self._event.record()
        self._batch = batch

    def wait(self) -> Computed:
        """The features, once they are on the CPU."""
        if self._event is not None:
            self._event.synchronize()
        grid, pooled = self._outputs
        return self._batch, grid.numpy(), pooled.numpy()


def start_copy(values: torch.Tensor) -> torch.Tensor:
    """Start a copy from the GPU to page-locked memory, without waiting for it."""
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(
        values, non_blocking=True
    )
