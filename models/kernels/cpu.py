"""Additive attention on CPU tensors: Numba kernels over images, on as many threads as PyTorch."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import scores, sums
from .compile import Array, array_of, kernel
from .threads import PIECES_A_THREAD, Piece, run_pieces, threads_for

CELLS_AT_A_TIME = 4


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


def group(image_index: Tensor, n_images: int) -> ByImage:
    """Queries by image; raises ``IndexError`` for an image number out of range."""
    return group_by_image(array_of(image_index.contiguous()), n_images)


def score(projected: Tensor, query: Tensor, weight: Tensor, by_image: ByImage, out: Tensor) -> None:
    """Write the scores to ``out`` (B, S)."""
    cells, queries, weights, result = map(array_of, (projected, query, weight, out))
    exact = query.dtype == torch.float64

    def task(first: int, last: int) -> None:
        scores.score_images(cells, queries, weights, *by_image, first, last, exact, result)

    _run(task, by_image, out.numel() * query.shape[1])


def score_gradients(
    projected: Tensor,
    query: Tensor,
    weight: Tensor,
    by_image: ByImage,
    grad_scores: Tensor,
    grad_projected: Tensor | None,
    accumulate: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of query and weight; that of the cells is written, or added, if wanted."""
    grad_query = torch.empty_like(query)
    shares = query.new_empty(len(projected), query.shape[1])
    cells_out = query.new_empty((0, 0, 0)) if grad_projected is None else grad_projected
    cells, queries, weights, grad, to_cells, to_query, to_weight = map(
        array_of, (projected, query, weight, grad_scores, cells_out, grad_query, shares)
    )
    order, start = by_image
    exact = query.dtype == torch.float64

    def task(first: int, last: int) -> None:
        scores.score_gradients(
            *(cells, queries, weights, order, start, first, last, exact, grad),
            *(to_cells, accumulate, to_query, to_weight),
        )

    _run(task, by_image, grad_scores.numel() * query.shape[1])
    return grad_query, shares.sum(0)


def add_up(values: Tensor, alpha: Tensor, by_image: ByImage, out: Tensor) -> None:
    """Write the weighted sums to ``out`` (B, D)."""
    cells, weights, result = map(array_of, (values, alpha, out))

    def task(first: int, last: int) -> None:
        sums.sum_images(cells, weights, *by_image, first, last, result)

    _run(task, by_image, alpha.numel() * values.shape[2])


def sum_gradients(
    values: Tensor,
    alpha: Tensor,
    by_image: ByImage,
    grad_out: Tensor,
    grad_alpha: Tensor | None,
    grad_values: Tensor | None,
    accumulate: bool,
) -> None:
    """Write the gradients that are wanted; that of the cells is added where ``accumulate``."""
    cells, weights, grad = map(array_of, (values, alpha, grad_out))
    to_alpha = None if grad_alpha is None else array_of(grad_alpha)
    to_cells = None if grad_values is None else array_of(grad_values)
    order, start = by_image

    def task(first: int, last: int) -> None:
        if to_alpha is not None:
            sums.alpha_gradients(cells, order, start, first, last, grad, to_alpha)
        if to_cells is not None:
            sums.value_gradients(weights, order, start, first, last, grad, to_cells, accumulate)

    _run(task, by_image, alpha.numel() * values.shape[2])


def _run(task: Callable[[int, int], None], by_image: ByImage, n_steps: int) -> None:
    n_threads = threads_for(n_steps)
    run_pieces(task, by_image.pieces(n_threads), n_threads)


def group_by_image(image_index: Array, n_images: int) -> ByImage:
    """Group (B,) int64 image numbers, keeping the order of the queries of each image.

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
    # An image without queries costs something too.
    whole = start[n_images] + n_images
    for u in range(n_images):
        done = (start[u + 1] + u + 1) * n_pieces // whole
        if done > reached:
            bounds[n_bounds], reached = u + 1, done
            n_bounds += 1
    return n_bounds


@kernel
def _group(image_index: Array, order: Array, start: Array) -> int:
    """Counting sort; returns the index of the first number out of range, or -1."""
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
