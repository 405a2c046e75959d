"""What every format of others' features comes down to: images, each with the shape of its cells."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError

LARGEST_VALUES = 2**27  # of one image: a header that claims more is damaged, or made to harm
Array = NDArray[Any]


@dataclass(frozen=True)
class Item:
    """One image of a source.

    ``name``: as a message says it, and from which an id is found where ``image_id`` is None;
    ``cells``: (H, W) of a grid, or (S,) of cells without one, boxes for example; ``channels``: D.
    """

    name: str
    image_id: int | None
    cells: tuple[int, ...]
    channels: int


class Source(ABC):
    """Others' features, not yet read: ``kind`` is a word for the format, ``words`` say it all."""

    kind: str
    words: str
    items: list[Item]

    @abstractmethod
    def read(self, index: int) -> Array:
        """An item's values, float ``[H, W, D]`` or ``[S, D]``; raises ``InputError`` if damaged."""


def cells_last(shape: tuple[int, ...], channels: str, where: str) -> tuple[tuple[int, ...], int]:
    """The axes, as for ``numpy.transpose``, that put an array's channels last, and their axis.

    ``channels``: ``first``, ``last`` or ``auto``, by which they are the longer of the first and the
    last axis. Raises ``InputError`` for a shape of no features.
    """
    n = len(shape)
    if not 1 <= n <= 3 or not all(shape):
        raise InputError(
            f"{where}: has the shape {list(shape)}; expected channels, with a grid of two axes, "
            "with one of cells, or alone."
        )
    if np.prod(shape, dtype=object) > LARGEST_VALUES:
        raise InputError(f"{where}: claims {list(shape)} values for one image; fetch it again.")
    if channels == "auto" and n > 1 and shape[0] == shape[-1]:
        raise InputError(
            f"{where}: has the shape {list(shape)}, of which either end may be the channels; say "
            "which by --channels first or last."
        )
    is_first = channels == "first" or (channels == "auto" and shape[0] > shape[-1])
    axis = 0 if is_first else n - 1
    return (*(k for k in range(n) if k != axis), axis), axis


def item_of(
    name: str, image_id: int | None, shape: tuple[int, ...], channels: str, where: str
) -> Item:
    """The item of an array of this shape, without a leading axis of one image."""
    axes, axis = cells_last(shape, channels, where)
    cells = tuple(shape[k] for k in axes[:-1]) or (1,)
    return Item(name, image_id, cells, shape[axis])


def arrange(values: Array, item: Item, channels: str, where: str) -> Array:
    """An array with its channels last, as ``item_of`` said; raises ``InputError`` otherwise."""
    axes, _ = cells_last(values.shape, channels, where)
    arranged = values.transpose(axes).reshape(*item.cells, -1)
    if arranged.shape[-1] != item.channels:
        raise InputError(f"{where}: has changed while it was read; import again.")
    return arranged


def without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without a leading axis of one image."""
    return shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
