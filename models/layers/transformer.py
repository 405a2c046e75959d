"""Blocks of a transformer (Vaswani et al., 2017) whose words attend to each other and to cells.

Each is a residual branch behind a layer norm of its own (pre-norm: Xiong et al., 2020), and takes
the words of all texts as rows (see :mod:`.packing`).
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .dropout import Dropout
from .growth import growth
from .packing import Packing

WORD_PERIOD, CELL_PERIOD = 10_000.0, 100.0  # the longest periods, in 2 pi positions


class Memory(NamedTuple):
    """Cells as words attend to them: keys and values ``[U, heads, S, width / heads]``."""

    keys: Tensor
    values: Tensor

    def of(self, image: Tensor | None) -> "Memory":
        """A copy for each of these images; for None, the memory itself."""
        return self if image is None else Memory(self.keys[image], self.values[image])


class CellMemory(nn.Module):
    """Cells ``[U, S, D]`` to the memory that all layers share: computed once an image.

    A layer's own keys and values would cost more than all its words do, for there are 196 cells.
    Each cell's position on the grid is added as sinusoids of its row and column, projected.
    """

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        if width % heads or width % 4:
            raise ValueError(f"hidden {width} is no multiple of 4 and of heads, {heads}")
        self.width, self.heads = width, heads
        self.cells = nn.Linear(channels, 2 * width)
        self.place = nn.Linear(width, 2 * width, bias=False)

    def forward(self, cells: Tensor) -> Memory:
        """The memory of ``[U, S, D]``."""
        n_images, n_cells, _ = cells.shape
        both = self.cells(cells) + self.place(cell_places(n_cells, self.width, cells.device))
        keys, values = both.view(n_images, n_cells, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return Memory(keys, values)


def cell_places(n_cells: int, width: int, device: torch.device) -> Tensor:
    """Sinusoids of the row and of the column of each cell of a square grid, ``[S, width]``."""
    across = math.isqrt(n_cells - 1) + 1
    cell = torch.arange(n_cells, device=device)
    half = [sinusoids(axis, width // 2, CELL_PERIOD) for axis in (cell // across, cell % across)]
    return torch.cat(half, 1)


def sinusoids(position: Tensor, width: int, period: float = WORD_PERIOD) -> Tensor:
    """Sines and cosines of ``[n]`` positions, ``[n, width]`` (Vaswani et al., 2017, 3.5)."""
    steps = torch.arange(width // 2, device=position.device) / (width // 2)
    angle = position[:, None] * period**-steps
    return torch.cat([angle.sin(), angle.cos()], 1)


def by_head(x: Tensor, heads: int) -> Tensor:
    """``[G, R, d]`` to ``[G, heads, R, d / heads]``."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    """``[G, heads, R, d / heads]`` to ``[G, R, d]``."""
    return x.transpose(1, 2).flatten(2)


def attend(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention, heads joined: ``[G, heads, R, d / heads]`` to ``[G, R, d]``.

    ``mask``: bool, True where a key may be attended to, broadcast to ``[G, heads, R, keys]``.
    """
    if query.device.type == "cpu" and query.requires_grad and query.dtype == torch.bfloat16:
        return joined(_in_three_operations(query, keys, values, mask, causal))
    return joined(scaled_dot_product_attention(query, keys, values, mask, is_causal=causal))


def _in_three_operations(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool
) -> Tensor:
    """As ``scaled_dot_product_attention``, with the softmax in float32.

    Over cells, forward and backward on the CPU, PyTorch's own (2.14) takes 2.2 to 2.4 times as long
    in bfloat16, and 1.9 to 2.0 cast to float32 (``benchmarks/dot_attention.py``).
    """
    scores = (query * query.shape[3] ** -0.5) @ keys.transpose(2, 3)
    if causal:
        mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    found: Tensor = scores.softmax(3, dtype=torch.float32).to(values.dtype) @ values
    return found


class SelfAttention(nn.Module):
    """The words of a text attend to each other; ``start``: see :func:`.growth.growth`."""

    def __init__(self, width: int, heads: int, dropout: float, start: float = 1.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)
        self.growth = growth(start)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, by_text: Packing, mask: Tensor | None) -> Tensor:
        """Rows ``[P, d]``; with a ``mask`` ``[B, T]`` to its words, without to those before."""
        padded = by_text.pad(self.enter(self.norm(x)))
        query, keys, values = (by_head(part, self.heads) for part in padded.chunk(3, 2))
        allowed = None if mask is None else mask[:, None, None]
        found = attend(query, keys, values, allowed, causal=mask is None)
        change: Tensor = self.dropout(self.growth(self.leave(by_text.pack(found))))
        return x + change

    def step(self, x: Tensor, cache: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more word a text, ``[B, d]``, by the keys and values ``[B, t, d]`` of those before.

        Returns the next rows, and keys and values ``[B, t + 1, d]``.
        """
        query, key, value = self.enter(self.norm(x))[:, None].chunk(3, 2)
        keys, values = torch.cat([cache[0], key], 1), torch.cat([cache[1], value], 1)
        found = attend(
            by_head(query, self.heads), by_head(keys, self.heads), by_head(values, self.heads)
        )
        return x + self.dropout(self.growth(self.leave(found[:, 0]))), (keys, values)


class CellAttention(nn.Module):
    """Words attend to the cells of their text's image; ``start``: see :func:`.growth.growth`."""

    def __init__(
        self, width: int, heads: int, dropout: float, start: float = 1.0, image_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width)
        self.image_dropout = Dropout(image_dropout)
        self.leave = nn.Linear(width, width)
        self.growth = growth(start)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, by_image: Packing, memory: Memory) -> Tensor:
        """Rows ``[P, d]``, grouped as the ``memory`` is."""
        return x + self.found(x, by_image, memory)

    def found(self, x: Tensor, by_image: Packing, memory: Memory) -> Tensor:
        """What is added to the rows ``[P, d]``: of the image alone."""
        found = attend(self._query(x, by_image), memory.keys, memory.values)
        seen = self.leave(self.image_dropout(by_image.pack(found)))
        change: Tensor = self.dropout(self.growth(seen))
        return change

    def weights(self, x: Tensor, by_image: Packing, memory: Memory) -> Tensor:
        """The attention of each row, averaged over the heads, ``[P, S]``."""
        scores = self._query(x, by_image) @ memory.keys.transpose(2, 3)
        weights = (scores.float() / memory.keys.shape[3] ** 0.5).softmax(3).mean(1)
        return by_image.pack(weights)

    def _query(self, x: Tensor, by_image: Packing) -> Tensor:
        return by_head(by_image.pad(self.enter(self.norm(x))), self.heads)


def spread_scores(memory: CellMemory, looks: Iterable[CellAttention]) -> None:
    """Draw the weights of keys and queries anew, so that scores start with a variance of one.

    By PyTorch's own initialisation it is a ninth: attention then starts nearly uniform, and a head
    learns where to look several epochs later.
    """
    keys = [layer.weight[: memory.width] for layer in (memory.cells, memory.place)]
    for weight in (*keys, *(look.enter.weight for look in looks)):
        nn.init.kaiming_uniform_(weight, nonlinearity="linear")


class FeedForward(nn.Module):
    """Two layers on each row alone; ``start``: see :func:`.growth.growth`."""

    def __init__(self, width: int, inner: int, dropout: float, start: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width), Dropout(dropout)
        )
        self.growth = growth(start)

    def forward(self, x: Tensor) -> Tensor:
        """Rows ``[P, d]``."""
        change: Tensor = self.growth(self.layers(self.norm(x)))
        return x + change
