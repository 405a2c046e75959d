"""The last block of a ResNet, which learns with the head behind it."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .base import Head
from .layers.cells import layer_dtype

_ENCODER, _HEAD = "encoder.", "head."  # how names in a checkpoint begin


class GridShapes(NamedTuple):
    """Rows and columns of the stored cells, and of those that the head gets."""

    stored: tuple[int, int]
    seen: tuple[int, int]


class Encoder(nn.Module):
    """Stored cells of the stage before, ``[U, S', D']``, to what a head reads, float.

    The output is the block's cells, averaged to the grid ``shapes.seen`` if theirs differs,
    ``[U, S, D]``; or with ``pooled`` their mean, ``[U, D]``: what a feature file holds.

    With ``flip`` each image is mirrored left to right with probability 1/2 while training.

    The batch norms are frozen, statistics, scale and offset, as in He et al. (2016, appendix A): a
    batch has few images, and their statistics would be noise.
    """

    def __init__(
        self, block: nn.Module, shapes: GridShapes, pooled: bool, flip: bool = False
    ) -> None:
        super().__init__()
        self.flip = flip
        self.block = block.requires_grad_(True)
        self.shapes, self.pooled = shapes, pooled
        for norm in self.norms():
            norm.requires_grad_(False)
        self.train()

    def norms(self) -> list[nn.Module]:
        """The batch norms."""
        return [module for module in self.block.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "Encoder":
        """Switch to training; the batch norms keep using their running statistics."""
        super().train(mode)
        for norm in self.norms():
            norm.train(False)
        return self

    def forward(self, cells: Tensor) -> Tensor:
        """Encode ``[U, S', D']``."""
        # [U, h·w, D'] seen as [U, D', h, w] is already channels-last.
        rows = cells.to(layer_dtype(cells.device)).view(len(cells), *self.shapes.stored, -1)
        if self.flip and self.training:
            chosen = torch.rand(len(rows), device=rows.device) < 0.5
            rows = torch.where(chosen[:, None, None, None], rows.flip(2), rows)
        grid: Tensor = self.block(rows.permute(0, 3, 1, 2))  # [U, D, h, w]
        if self.pooled:
            return grid.float().mean((2, 3))
        if grid.shape[2:] != self.shapes.seen:
            grid = nn.functional.adaptive_avg_pool2d(grid, self.shapes.seen)
        return grid.permute(0, 2, 3, 1).flatten(1, 2)


def put_behind(encoder: Encoder, head: Head, moves: bool = True) -> Head:
    """Let the head read stored cells through the encoder, which learns with it.

    If the encoder ``moves``, the head's statistics follow it. In a checkpoint the weights are named
    ``encoder.…`` and ``head.…``.
    """
    head.cells.follows = moves
    head.encoder, head.features = encoder, "grid"
    head.register_state_dict_post_hook(_add_prefix)  # type: ignore[no-untyped-call, unused-ignore]
    head.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call, unused-ignore]
        _remove_prefix
    )
    return head


def _add_prefix(head: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        own = name[len(prefix) :]
        if not own.startswith(_ENCODER):
            state[prefix + _HEAD + own] = state.pop(name)


def _remove_prefix(head: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        own = name[len(prefix) :]
        if not own.startswith(_ENCODER):
            state[prefix + own.removeprefix(_HEAD)] = state.pop(name)
