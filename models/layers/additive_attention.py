"""Additive attention over grid cells, grouped by image: many queries, few images."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..kernels.choice import attention_backend, kernels, set_kernels
from ..kernels.shared_cells import SharedCells
from .padding import shapes_are_fixed

__all__ = ["SharedCells", "additive_scores", "attend", "kernels", "mean_cell", "set_kernels"]

# The plain form takes this many tanh at a time: 0.5 GB in float32, recomputed in the backward pass.
_PLAIN_CHUNK = 1 << 27


def additive_scores(
    projected: Tensor | SharedCells, query: Tensor, weight: Tensor, image_index: Tensor
) -> Tensor:
    """Score every cell of a query's image: ``Σ_k weight_k · tanh(projected_k + query_k)``.

    Eq. 15-16 of Yang et al. 2016 (SAN) without their bias, which a softmax over the cells cancels;
    ``f_att`` of Xu et al. 2015; Bahdanau et al. 2015.

    projected: (U, S, K) cells of each image, float32, float64 or half precision; query: (B, K);
    weight: (K,); image_index: (B,) integers, the image of each query, in any order (sorted is
    fastest). Returns (B, S), computed in float32 at least, whatever autocast says. The fused
    kernels never hold (B, S, K), forward or backward; their tanh is within 2e-7 in float32. They
    are deterministic, and can be differentiated once.

    Raises ``ValueError`` for shapes that do not fit, ``IndexError`` for an image out of range.
    """
    cells = projected.cells if isinstance(projected, SharedCells) else projected
    _check(cells, len(query), (query.shape[1:], weight.shape), (cells.shape[2:],) * 2, image_index)
    if backend := attention_backend(cells, len(query) * cells.shape[1] * cells.shape[2]):
        from ..kernels import functions

        return functions.additive_scores(backend, projected, query, weight, image_index)
    with torch.autocast(cells.device.type, enabled=False):
        return _plain_scores(cells, query, weight, image_index)


def attend(values: Tensor | SharedCells, alpha: Tensor, image_index: Tensor) -> Tensor:
    """Sum an image's cells by each query's weights: ``out_b = Σ_s alpha_bs · values[image_b, s]``.

    values: (U, S, D) float32, float64 or half precision; alpha: (B, S); image_index: (B,) integers,
    in any order. Returns (B, D), summed in float32 at least. Works image by image, so that
    (B, S, D) is never in memory.

    Raises ``ValueError`` for shapes that do not fit, ``IndexError`` for an image out of range.
    """
    cells = values.cells if isinstance(values, SharedCells) else values
    _check(cells, len(alpha), (alpha.shape[1:],), (cells.shape[1:2],), image_index)
    if backend := attention_backend(cells, alpha.numel() * cells.shape[2]):
        from ..kernels import functions

        return functions.attend(backend, values, alpha, image_index)
    with torch.autocast(cells.device.type, enabled=False):
        return _plain_sums(cells, alpha, image_index)


def mean_cell(values: Tensor | SharedCells) -> Tensor:
    """The mean of every image's cells: (U, S, D) as in :func:`attend` to (U, D), float32 at least.

    ``Tensor.mean`` of half-precision cells writes a float32 copy of them all under autocast.
    """
    cells = values.cells if isinstance(values, SharedCells) else values
    alpha = torch.full(cells.shape[:2], 1 / cells.shape[1], device=cells.device)
    return attend(values, alpha, torch.arange(len(cells), device=cells.device))


def _check(
    cells: Tensor,
    n_queries: int,
    found: tuple[torch.Size, ...],
    expected: tuple[torch.Size, ...],
    image_index: Tensor,
) -> None:
    """Raise for shapes that do not fit: kernels do not check their bounds."""
    if cells.ndim != 3 or found != expected or image_index.shape != (n_queries,):
        raise ValueError(
            f"Shapes do not fit: cells {tuple(cells.shape)}, beside them "
            f"{[tuple(shape) for shape in found]} and image_index {tuple(image_index.shape)} of "
            f"{n_queries} queries; expected (U, S, K) with (B, K) and (K,), or with (B, S)."
        )


def _plain_scores(projected: Tensor, query: Tensor, weight: Tensor, image_index: Tensor) -> Tensor:
    kind = torch.promote_types(projected.dtype, torch.float32)
    query, weight = query.to(kind), weight.to(kind)
    rows = max(1, _PLAIN_CHUNK // max(1, projected[:1].numel()))
    if len(query) <= rows:
        return _plain_chunk(projected, query, weight, image_index)
    chunks = zip(torch.split(query, rows), torch.split(image_index, rows), strict=True)
    return torch.cat(
        [
            # Nothing in it is random.
            checkpoint(
                *(_plain_chunk, projected, some, weight, index),
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for some, index in chunks
        ]
    )


def _plain_chunk(projected: Tensor, query: Tensor, weight: Tensor, image_index: Tensor) -> Tensor:
    return torch.tanh(projected[image_index].to(query.dtype) + query[:, None]) @ weight


def _plain_sums(values: Tensor, alpha: Tensor, image_index: Tensor) -> Tensor:
    """Queries padded to as many slots an image as the image with the most needs, then one bmm."""
    n_images, n_cells, _ = values.shape
    kind = torch.promote_types(values.dtype, torch.float32)
    alpha, image_index = alpha.to(kind), image_index.long()
    if shapes_are_fixed():
        return torch.bmm(alpha[:, None], values.to(kind)[image_index]).squeeze(1)
    if not len(image_index):
        return (alpha @ values.new_zeros(values.shape[1:], dtype=kind)) + values.sum() * 0
    slot = slots(image_index, n_images)
    per_image = int(slot.max()) + 1
    row = image_index * per_image + slot
    padded = alpha.new_zeros(n_images * per_image, n_cells).index_copy(0, row, alpha)
    summed = torch.bmm(padded.view(n_images, per_image, n_cells), values.to(kind))
    return summed.flatten(0, 1).index_select(0, row)


def slots(image_index: Tensor, n_images: int) -> Tensor:
    """The position of each query (B,) among those of its image."""
    order = torch.argsort(image_index, stable=True)
    counts = torch.bincount(image_index, minlength=n_images)
    first = torch.cumsum(counts, 0) - counts
    slot = torch.empty_like(image_index)
    slot[order] = torch.arange(len(order), device=order.device) - first[image_index[order]]
    return slot
