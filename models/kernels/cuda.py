"""The Triton kernels on CUDA tensors. No call waits for the device, and no sum is atomic."""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn.functional import pad

from . import triton_kernels
from .choice import queries_are_sorted

CELLS_AT_A_TIME = 1

# The size of a tile of (cells, channels).
_CELLS, _CHANNELS = 16, 128

# Whether a program takes an image with all its queries, or one query; see ``timing``.
BY_IMAGE = False


class ByImage:
    """Queries in image order: those of image ``u`` are ``order[start[u] : start[u + 1]]``.

    ``order``, int64 ``[B]``, and ``start``, int64 ``[U + 1]``, are on the device. Queries of an
    image out of range are the first or the last image's.
    """

    def __init__(self, image_index: Tensor, n_images: int, is_sorted: bool) -> None:
        # Another object on the same memory, so that the tensor and this never keep each other.
        self.image_index = image_index.detach().contiguous()  # (B,) int64
        self.n_images = n_images
        ordered, n = self.image_index, len(image_index)
        self.order = torch.arange(n, device=image_index.device)
        if not is_sorted:
            ordered, self.order = torch.sort(self.image_index, stable=True)
        bounds = torch.arange(1, max(1, n_images), device=image_index.device)
        inner = torch.searchsorted(ordered, bounds)
        self.start = pad(pad(inner, (1, 0)), (0, 1), value=n)

    def __len__(self) -> int:
        return self.n_images if BY_IMAGE else len(self.image_index)

    @property
    def arrays(self) -> tuple[Tensor, Tensor, Tensor]:
        """What kernels read."""
        return self.image_index, self.order, self.start


def group(image_index: Tensor, n_images: int) -> ByImage:
    """Queries by image; an image number out of range gives NaN, as raising would have to wait."""
    if image_index.is_inference():  # which does not tell whether it was changed
        return ByImage(image_index, n_images, queries_are_sorted())
    # All hops, or steps of a decoder, have the same queries.
    key = n_images, image_index._version
    known, found = getattr(image_index, "_grouped", (None, None))
    if found is None or known != key:
        found = ByImage(image_index, n_images, queries_are_sorted())
        image_index._grouped = key, found  # type: ignore[attr-defined]
    grouped: ByImage = found
    return grouped


def score(projected: Tensor, query: Tensor, weight: Tensor, by_image: ByImage, out: Tensor) -> None:
    """Write the scores to ``out`` (B, S)."""
    n_images, n_cells, width = projected.shape
    _launch(
        triton_kernels.score,
        (len(by_image), triton.cdiv(n_cells, _CELLS)),
        *(projected, query, weight, *by_image.arrays, out, n_images, n_cells, width),
        BY_IMAGE=BY_IMAGE,
    )


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
    n_images, n_cells, width = projected.shape
    grad_query, shares = torch.empty_like(query), torch.empty_like(query)
    blocks = triton.cdiv(width, _CHANNELS)
    _launch(
        triton_kernels.query_gradients,
        (len(by_image), blocks),
        *(projected, query, weight, *by_image.arrays, grad_scores, grad_query, shares),
        *(n_images, n_cells, width),
        BY_IMAGE=BY_IMAGE,
    )
    if grad_projected is not None:
        _launch(
            triton_kernels.projected_gradients,
            (n_images, triton.cdiv(n_cells, _CELLS), blocks),
            *(projected, query, weight, *by_image.arrays),
            *(grad_scores, grad_projected, n_cells, width),
            ACCUMULATE=accumulate,
        )
    return grad_query, shares.sum(0)


def add_up(values: Tensor, alpha: Tensor, by_image: ByImage, out: Tensor) -> None:
    """Write the weighted sums to ``out`` (B, D)."""
    n_images, n_cells, n_channels = values.shape
    _launch(
        triton_kernels.add_up,
        (len(by_image), triton.cdiv(n_channels, _CHANNELS)),
        *(values, alpha, *by_image.arrays, out, n_images, n_cells, n_channels),
        BY_IMAGE=BY_IMAGE,
    )


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
    n_images, n_cells, n_channels = values.shape
    cell_blocks = triton.cdiv(n_cells, _CELLS)
    if grad_alpha is not None:
        _launch(
            triton_kernels.alpha_gradients,
            (len(by_image), cell_blocks),
            *(values, *by_image.arrays, grad_out, grad_alpha, n_images, n_cells, n_channels),
            BY_IMAGE=BY_IMAGE,
        )
    if grad_values is not None:
        _launch(
            triton_kernels.value_gradients,
            (n_images, cell_blocks, triton.cdiv(n_channels, _CHANNELS)),
            *(alpha, *by_image.arrays, grad_out, grad_values, n_cells, n_channels),
            ACCUMULATE=accumulate,
        )


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    if 0 in grid:
        return
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call, unused-ignore]
        kernel[grid](
            *arguments, CELLS=_CELLS, CHANNELS=_CHANNELS, enable_fp_fusion=True, **constants
        )
