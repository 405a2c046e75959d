"""Attention over a grid of cells, laid over the picture that the cells come from."""

import math

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..predict.inference import CellMap

Plane = NDArray[np.float32]

# An even map is no finding: full brightness is for cells with at least so many times the mean.
FULL = 4.0
FAINTEST, BRIGHTEST = 0.12, 0.95  # of the colour scale, whose ends are black and white
VEIL, COVER = 0.18, 0.8  # how much of the glow covers the picture, without and with full attention
GREY = 0.8  # brightness of the picture below


def spread(cells: CellMap, size: tuple[int, int], crop: str) -> Plane:
    """A map [S] smoothly enlarged to a picture of (width, height): float32 [height, width].

    ``crop`` is how the picture became the square that the cells cover: ``squash``, ``center``
    (0 outside of the square) or ``pad``.
    """
    across = math.isqrt(len(cells))
    grid = Image.fromarray(np.asarray(cells, np.float32).reshape(across, across))
    width, height = size
    if crop == "center":
        side = min(size)
        left, top = (width - side) // 2, (height - side) // 2
        plane = np.zeros((height, width), np.float32)
        square = grid.resize((side, side), Image.Resampling.BICUBIC)
        plane[top : top + side, left : left + side] = np.asarray(square)
    elif crop == "pad":
        x = across * (1 - width / max(size)) / 2  # what padding takes on either side, in cells
        y = across * (1 - height / max(size)) / 2
        box = (x, y, across - x, across - y)
        plane = np.asarray(grid.resize(size, Image.Resampling.BICUBIC, box=box))
    else:
        plane = np.asarray(grid.resize(size, Image.Resampling.BICUBIC))
    return np.maximum(plane, 0)  # bicubic curves overshoot


def brightness(cells: CellMap, size: tuple[int, int], crop: str) -> Plane:
    """The map as 0 to 1, [height, width]: 1 is the strongest cell, or ``FULL`` times the mean."""
    full = max(float(np.max(cells)), FULL * float(np.mean(cells)), 1e-12)
    return np.asarray(np.minimum(spread(cells, size, crop) / full, 1), np.float32)


def overlay(picture: Image.Image, cells: CellMap, crop: str) -> Image.Image:
    """The picture in grey, glowing where a head looked.

    The glow is matplotlib's "inferno", whose brightness rises evenly: it reads on dark and on pale
    pictures, in print, and without telling colours apart.
    """
    light = brightness(cells, picture.size, crop)
    colours = matplotlib.colormaps["inferno"](FAINTEST + (BRIGHTEST - FAINTEST) * light)
    glow = 255 * colours[:, :, :3]
    share = (VEIL + (COVER - VEIL) * light)[:, :, None]
    grey = GREY * np.asarray(picture.convert("L"), np.float32)[:, :, None]
    return Image.fromarray(np.rint(grey * (1 - share) + glow * share).astype(np.uint8))
