"""The Numba kernels on CPU tensors, an image at a time, on as many threads as PyTorch uses."""

from collections.abc import Callable

import torch
from torch import Tensor

from . import scores, standardize as rows, sums
from .by_image import ByImage, group_by_image
from .compile import Array
from .threads import even_pieces, run_pieces

CELLS_AT_A_TIME = 4

# Below so many elementary steps a second thread costs more than it saves.
_SERIAL_STEPS = 1 << 19


def group(image_index: Tensor, n_images: int) -> ByImage:
    """Queries by image; raises ``IndexError`` for an image that is not there."""
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


def standardize(
    cells: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    dtype: torch.dtype,
    scale: Tensor | None,
    unit: bool,
    epsilon: float,
) -> Tensor:
    """See ``models.standardize``."""
    out = torch.empty(cells.shape, dtype=dtype)
    width = cells.shape[-1]
    stored, result = (array_of(x.contiguous().view(-1, width)) for x in (cells, out))
    factor = mean.new_empty(0) if scale is None else scale
    factors, means, deviations = (
        array_of(x.contiguous().flatten())
        for x in (factor, mean.float(), inverse_deviation.float())
    )

    def task(first: int, last: int) -> None:
        rows.standardize_rows(
            stored, factors, means, deviations, unit, epsilon, first, last, result
        )

    run_rows(task, len(stored), out.numel())
    return out


def array_of(tensor: Tensor) -> Array:
    """A contiguous tensor's memory; half-precision numbers as their bits (see ``decode``)."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy()
    if tensor.dtype == torch.float16:
        return tensor.view(torch.int16).numpy()
    return tensor.numpy()


def run_rows(task: Callable[[int, int], None], n_rows: int, n_steps: int) -> None:
    """``task(first, last)`` for all rows, on several threads if so many elementary steps pay."""
    n_threads = torch.get_num_threads() if n_steps > _SERIAL_STEPS else 1
    run_pieces(task, even_pieces(n_rows, n_threads), n_threads)


def _run(task: Callable[[int, int], None], by_image: ByImage, n_steps: int) -> None:
    n_threads = torch.get_num_threads() if n_steps > _SERIAL_STEPS else 1
    run_pieces(task, by_image.pieces(n_threads), n_threads)
