"""The colour and the shape of each easy-VQA picture: what its captions are made of.

The questions and answers give both for eight pictures in nine. For the others (578 of 5,000) what
is missing is measured in the picture; where the questions give it, the measurement always agrees.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .images.image_list import ImageList

SHAPES = ("circle", "rectangle", "triangle")
# What the package draws with: HTML's names and values, but for green, which is HTML's lime.
COLORS = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}
# A convex shape's share of its smallest enclosing rectangle: 1/2 for a triangle, π/4 for a circle,
# 1 for a rectangle. On the package's 4,737 pictures whose questions give the shape, in pixels, the
# ranges are 0.50-0.70, 0.76-0.91 and 0.97-1.
LARGEST_TRIANGLE_SHARE = 0.735
LARGEST_CIRCLE_SHARE = 0.94
# The noisy background differs from its own corner by less than this (sum over RGB).
BACKGROUND_DISTANCE = 150

Entry = tuple[str, str, int]  # question, answer, image id


@dataclass(frozen=True)
class Attributes:
    """What one picture shows."""

    color: str
    shape: str


def find_attributes(entries: list[Entry], images: ImageList) -> dict[int, Attributes]:
    """Image id -> colour and shape of all images: from their questions where given, else measured.

    Raises ``InputError`` when the questions of an image contradict each other.
    """
    stated: dict[tuple[int, str], str] = {}
    for question, answer, image_id in entries:
        for kind, value in stated_by(question, answer):
            if stated.setdefault((image_id, kind), value) != value:
                raise InputError(
                    f"{images.root.parent}: the questions on the image {image_id} contradict each "
                    f"other: {stated[image_id, kind]} and {value}; reinstall the package easy-vqa."
                )
    result: dict[int, Attributes] = {}
    for i, image_id in enumerate(images.image_ids.tolist()):
        color, shape = stated.get((image_id, "color")), stated.get((image_id, "shape"))
        if color is None or shape is None:
            pixels = read_pixels(images.path(i))
            color = color or measure_color(pixels)
            shape = shape or measure_shape(pixels)
        result[image_id] = Attributes(color, shape)
    return result


def stated_by(question: str, answer: str) -> list[tuple[str, str]]:
    """The ("color" | "shape", value) pairs that a question and its answer state for certain."""
    words = re.findall(r"[a-z]+", question)
    holds = (answer == "yes") != bool({"no", "not"} & set(words))
    stated: list[tuple[str, str]] = []
    for kind, values in (("color", tuple(COLORS)), ("shape", SHAPES)):
        if answer in values:
            stated.append((kind, answer))
        elif answer not in ("yes", "no") or holds:
            # "what is the red shape?" states the colour in passing.
            stated += [(kind, word) for word in words if word in values]
    return stated


def read_pixels(path: Path) -> NDArray[np.int64]:
    """The picture's RGB values, [height, width, 3]."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.int64)


def foreground(pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where the shape is, [height, width]; the corner is always background."""
    mask: NDArray[np.bool_] = np.abs(pixels - pixels[0, 0]).sum(axis=-1) > BACKGROUND_DISTANCE
    return mask


def measure_color(pixels: NDArray[np.int64]) -> str:
    """The name of the commonest colour of the shape."""
    shape_pixels = pixels[foreground(pixels)]
    values, counts = np.unique(shape_pixels, axis=0, return_counts=True)
    commonest = values[counts.argmax()]
    return min(COLORS, key=lambda name: int(np.abs(commonest - COLORS[name]).sum()))


def measure_shape(pixels: NDArray[np.int64]) -> str:
    """The shape by its share of its smallest enclosing rectangle; see the limits above."""
    y, x = np.nonzero(foreground(pixels))
    angles = np.deg2rad(np.arange(0, 90, 3))
    along = np.outer(x, np.cos(angles)) + np.outer(y, np.sin(angles))
    across = np.outer(y, np.cos(angles)) - np.outer(x, np.sin(angles))
    smallest = ((np.ptp(along, axis=0) + 1) * (np.ptp(across, axis=0) + 1)).min()
    share = len(x) / smallest
    if share < LARGEST_TRIANGLE_SHARE:
        return "triangle"
    return "circle" if share < LARGEST_CIRCLE_SHARE else "rectangle"
