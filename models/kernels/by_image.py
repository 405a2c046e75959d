"""Queries grouped by their image, so that a kernel reads every image once."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .compile import Array, kernel
from .threads import PIECES_A_THREAD, Piece


class ByImage(NamedTuple):
    """Queries in image order: those of image ``u`` are ``order[start[u] : start[u + 1]]``."""

    order: Array  # (B,) int64
    start: Array  # (U + 1,) int64

    def pieces(self, n_threads: int) -> list[Piece]:
        """Runs of images with about equal numbers of queries, a few for each thread.

        What an image adds to a result never depends on the run it is in, nor does the result on the
        number of threads.
        """
        n_images = len(self.start) - 1
        n_pieces = min(n_images, PIECES_A_THREAD * n_threads if n_threads > 1 else 1)
        bounds = np.empty(n_pieces + 1, np.int64)
        n_bounds = _divide(self.start, bounds)
        return list(pairwise(bounds[:n_bounds].tolist()))


def group_by_image(image_index: Array, n_images: int) -> ByImage:
    """Group (B,) int64 image numbers, each query keeping its place among those of its image.

    Raises ``IndexError`` on a number outside ``0 .. n_images - 1``.
    """
    order = np.empty(len(image_index), np.int64)
    start = np.zeros(n_images + 1, np.int64)
    wrong = _group(image_index, order, start)
    if wrong >= 0:
        raise IndexError(
            f"image_index[{wrong}] is {image_index[wrong]}: expected 0 to {n_images - 1}."
        )
    return ByImage(order, start)


@kernel
def _divide(start: Array, bounds: Array) -> int:
    """Write the bounds of up to ``bounds.size - 1`` runs of images; returns how many."""
    n_images, n_pieces = start.size - 1, bounds.size - 1
    bounds[0], n_bounds, reached = 0, 1, 0
    # An image costs something even when nobody asks about it.
    whole = start[n_images] + n_images
    for u in range(n_images):
        done = (start[u + 1] + u + 1) * n_pieces // whole
        if done > reached:
            bounds[n_bounds], reached = u + 1, done
            n_bounds += 1
    return n_bounds


@kernel
def _group(image_index: Array, order: Array, start: Array) -> int:
    """Counting sort; returns the place of the first number out of range, or -1."""
    n_images = start.size - 1
    for b in range(image_index.size):
        if image_index[b] < 0 or image_index[b] >= n_images:
            return b
        start[image_index[b] + 1] += 1
    for u in range(n_images):
        start[u + 1] += start[u]
    free = start[:-1].copy()
    for b in range(image_index.size):
        u = image_index[b]
        order[free[u]] = b
        free[u] += 1
    return -1
