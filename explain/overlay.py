"""Attention over a grid of cells, laid over the picture that the cells come from."""

import base64
import io
import math

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..predict.inference import AttentionMap

Plane = NDArray[np.float32]

# Uniform attention is no finding: full brightness is for cells of at least so many times the mean.
FULL = 4.0
FULL_MEANS = f"a map's strongest cell, or {FULL:.0f} times its mean if that is more"
FAINTEST, BRIGHTEST = 0.12, 0.95  # of the colour scale, whose ends are black and white
LEAST_OPACITY, MOST_OPACITY = 0.18, 0.8  # of the overlay, without and with full attention
GREY = 0.8  # brightness of the picture below
JPEG_QUALITY = 80


def upsample(attention: AttentionMap, size: tuple[int, int], crop: str) -> Plane:
    """Attention [S] smoothly enlarged to a picture of (width, height): float32 [height, width].

    ``crop`` is how the picture became the square that the cells cover: ``squash``, ``center``
    (0 outside of the square) or ``pad``.
    """
    across = math.isqrt(len(attention))
    grid = Image.fromarray(np.asarray(attention, np.float32).reshape(across, across))
    width, height = size
    if crop == "center":
        side = min(size)
        left, top = (width - side) // 2, (height - side) // 2
        plane = np.zeros((height, width), np.float32)
        square = grid.resize((side, side), Image.Resampling.BICUBIC)
        plane[top : top + side, left : left + side] = np.asarray(square)
    elif crop == "pad":
        x = across * (1 - width / max(size)) / 2  # the padding on either side, in cells
        y = across * (1 - height / max(size)) / 2
        box = (x, y, across - x, across - y)
        plane = np.asarray(grid.resize(size, Image.Resampling.BICUBIC, box=box))
    else:
        plane = np.asarray(grid.resize(size, Image.Resampling.BICUBIC))
    return np.maximum(plane, 0)  # bicubic interpolation overshoots


def brightness(attention: AttentionMap, size: tuple[int, int], crop: str) -> Plane:
    """Attention as 0 to 1, [height, width]: 1 is the strongest cell, or ``FULL`` times the mean."""
    full = max(float(np.max(attention)), FULL * float(np.mean(attention)), 1e-12)
    return np.asarray(np.minimum(upsample(attention, size, crop) / full, 1), np.float32)


def overlay(picture: Image.Image, attention: AttentionMap, crop: str) -> Image.Image:
    """The picture in grey, with the attention in colour over it.

    The colours are matplotlib's "inferno", whose brightness rises evenly: it reads on dark and on
    pale pictures, in print, and without telling colours apart.
    """
    light = brightness(attention, picture.size, crop)
    return Image.fromarray(blend(np.asarray(picture.convert("L"), np.float32), light))


def blend(grey: Plane, light: Plane) -> NDArray[np.uint8]:
    """The colours of 0 to 1 over grey of 0 to 255, both [height, width]: [height, width, 3]."""
    scale = matplotlib.colormaps["inferno"](FAINTEST + (BRIGHTEST - FAINTEST) * light)
    opacity = (LEAST_OPACITY + (MOST_OPACITY - LEAST_OPACITY) * light)[:, :, None]
    mixed = GREY * grey[:, :, None] * (1 - opacity) + 255 * scale[:, :, :3] * opacity
    return np.asarray(np.rint(mixed), np.uint8)


def heat_scale(n_steps: int = 64) -> Image.Image:
    """The colours from no attention to full attention, over middle grey, left to right."""
    light = np.linspace(0, 1, n_steps, dtype=np.float32)[None]
    return Image.fromarray(blend(np.full_like(light, 128), light))


def overlay_uri(picture: Image.Image, attention: AttentionMap, crop: str, side: int) -> str:
    """The overlay as a data URI, its longer side so many pixels.

    A small picture is enlarged first: attention is smooth, whatever is below.
    """
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return data_uri(overlay(picture.resize(size, Image.Resampling.LANCZOS), attention, crop))


def data_uri(picture: Image.Image) -> str:
    """An RGB picture as a JPEG in a data URI, for a page that fetches nothing."""
    out = io.BytesIO()
    # Full colour resolution: the edges of an overlay differ in colour alone.
    picture.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
