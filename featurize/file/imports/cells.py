"""From the cells of each image, of whatever number, to the one shape that a feature file has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ....errors import InputError
from .source import Array, Item, Source


@dataclass(frozen=True)
class Shape:
    """Rows and columns of the stored cells, and how an image's own become these.

    ``has_grid``: whether cells have a place in the picture; without it there is one row of them.
    ``words``: what is done, to be recorded; "" for nothing.
    """

    height: int
    width: int
    channels: int
    has_grid: bool
    words: str
    convert: Callable[[Array], Array]  # [H, W, D] or [S, D] -> [height * width, D]


def choose_shape(
    source: Source, index: Sequence[int], grid: tuple[int, int] | None, n_cells: int | None
) -> Shape:
    """The shape for these items, as they are or as the user says.

    Raises ``InputError`` for items that differ, unless the user says what to make of them.
    """
    items = [source.items[k] for k in index]
    channels = sorted({item.channels for item in items})
    if len(channels) > 1:
        odd = next(item for item in items if item.channels != items[0].channels)
        raise InputError(
            f"{say_item(items[0])} has {items[0].channels} channels and {say_item(odd)} "
            f"{odd.channels}; all must be of one network."
        )
    axes = {len(item.cells) for item in items}
    if len(axes) > 1:
        raise InputError("Some images have a grid of cells and others none; import them apart.")
    own = sorted({item.cells for item in items})
    return (grid_shape if axes == {2} else list_shape)(own, channels[0], grid, n_cells)


def say_item(item: Item) -> str:
    """An item for a message."""
    return item.name or f"image {item.image_id}"


def grid_shape(
    own: list[tuple[int, ...]], channels: int, grid: tuple[int, int] | None, n_cells: int | None
) -> Shape:
    """Grids, stored as they are or each averaged to one shape."""
    if n_cells is not None:
        raise InputError("These cells have a grid; say its shape by --grid, not --cells.")
    if grid is None and len(own) > 1:
        raise InputError(
            f"{len(own)} shapes of grids, {say_range(own)}; a feature file has one, so add --grid "
            "14x14, for example, to average each grid to it."
        )
    height, width = grid or own[0]
    if own == [(height, width)]:
        return Shape(height, width, channels, True, "", lambda a: a.reshape(-1, channels))
    words = f"grids of {say_range(own)}, adaptively averaged to {height}x{width}"

    def convert(values: Array) -> Array:
        from torch import from_numpy
        from torch.nn.functional import adaptive_avg_pool2d

        planes = from_numpy(values.astype(np.float32)).permute(2, 0, 1)
        pooled = adaptive_avg_pool2d(planes, (height, width)).permute(1, 2, 0)
        return pooled.reshape(-1, channels).numpy()

    return Shape(height, width, channels, True, words, convert)


def list_shape(
    own: list[tuple[int, ...]], channels: int, grid: tuple[int, int] | None, n_cells: int | None
) -> Shape:
    """Cells without a grid, as they are, read as a grid, or each cut or padded to one number."""
    if grid is not None:
        if own != [(prod(grid),)]:
            raise InputError(
                f"The images have {say_range(own)} cells without a grid, which are no grid of "
                f"{grid[0]}x{grid[1]}; drop --grid."
            )
        words = "cells read as a grid, row by row"
        return Shape(*grid, channels, True, words, lambda values: values)
    if n_cells is None and len(own) > 1:
        raise InputError(
            f"The images have {say_range(own)} cells each; a feature file has one number of them, "
            "and no mask, so add --cells 36, for example: of more the first are kept, and fewer "
            "are filled up with zeros."
        )
    (n,) = own[0] if n_cells is None else (n_cells,)
    if own == [(n,)]:
        return Shape(1, n, channels, False, "", lambda values: values)
    words = f"{say_range(own)} cells, of which the first {n} are kept, and fewer filled with zeros"

    def convert(values: Array) -> Array:
        filled = np.zeros((n, channels), values.dtype)
        filled[: len(values)] = values[:n]
        return filled

    return Shape(1, n, channels, False, words, convert)


def say_range(own: list[tuple[int, ...]]) -> str:
    """The smallest and the largest of several shapes."""
    first, last = ("x".join(map(str, shape)) for shape in (own[0], own[-1]))
    return first if first == last else f"{first} to {last}"
