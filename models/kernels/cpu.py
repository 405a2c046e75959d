"""The Numba kernels as differentiable functions of CPU tensors."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from ..shared_cells import GradientSum, SharedCells
from . import scores, sums
from .by_image import ByImage, group_by_image
from .compile import Array
from .threads import run_pieces

# Below so many elementary steps a second thread costs more than it saves.
_SERIAL_STEPS = 1 << 18


def additive_scores(
    projected: Tensor | SharedCells, query: Tensor, weight: Tensor, image_index: Tensor
) -> Tensor:
    """See ``models.additive_attention.additive_scores``; float32 for half-precision cells."""
    cells, ticket, gradient = _cells(projected)
    kind = _float(cells.dtype)
    result: Tensor = _Scores.apply(  # type: ignore[no-untyped-call, unused-ignore]
        cells, ticket, query.to(kind), weight.to(kind), image_index.to(torch.int64), gradient
    )
    return result


def attend(values: Tensor | SharedCells, alpha: Tensor, image_index: Tensor) -> Tensor:
    """See ``models.additive_attention.attend``; float32 for half-precision cells."""
    cells, ticket, gradient = _cells(values)
    # The kernels take four cells at a time.
    alpha = pad(alpha.to(_float(cells.dtype)), (0, -alpha.shape[1] % 4))
    result: Tensor = _Sums.apply(  # type: ignore[no-untyped-call, unused-ignore]
        cells, ticket, alpha, image_index.to(torch.int64), gradient
    )
    return result


def _cells(cells: Tensor | SharedCells) -> tuple[Tensor, Tensor | None, GradientSum | None]:
    """The cells, and for shared ones what stands for them in the graph and where gradients go."""
    if isinstance(cells, SharedCells):
        return cells.cells.detach(), cells.ticket, cells.gradient
    return cells, None, None


def _float(stored: torch.dtype) -> torch.dtype:
    return torch.promote_types(stored, torch.float32)


def _array(tensor: Tensor) -> Array:
    """A contiguous tensor's memory; half-precision numbers as their bits (see ``decode``)."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy()
    if tensor.dtype == torch.float16:
        return tensor.view(torch.int16).numpy()
    return tensor.numpy()


def _group(image_index: Tensor, n_images: int) -> ByImage:
    return group_by_image(_array(image_index.contiguous()), n_images)


def _run(kernel: Any, by_image: ByImage, n_steps: int) -> None:
    n_threads = torch.get_num_threads() if n_steps > _SERIAL_STEPS else 1
    run_pieces(kernel, by_image.pieces(n_threads), n_threads)


def _gradient_place(
    ctx: Any, cells: Tensor, wanted: bool, shared: bool
) -> tuple[Tensor | None, Array, bool]:
    """Where the cells' gradient goes: tensor, its memory, and whether to add to what is there."""
    if shared:
        total, accumulate = ctx.gradient.buffer(cells)
        return total, _array(total), accumulate
    if wanted:
        fresh = torch.empty_like(cells)
        return fresh, _array(fresh), False
    return None, _array(cells.new_empty((0, 0, 0))), False


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        ticket: Tensor | None,
        query: Tensor,
        weight: Tensor,
        image_index: Tensor,
        gradient: GradientSum | None,
    ) -> Tensor:
        projected, query, weight = projected.contiguous(), query.contiguous(), weight.contiguous()
        by_image = _group(image_index, len(projected))
        ctx.save_for_backward(projected, query, weight)
        ctx.by_image, ctx.gradient = by_image, gradient
        out = query.new_empty(len(query), projected.shape[1])
        cells, queries, weights, result = map(_array, (projected, query, weight, out))
        exact = query.dtype == torch.float64

        def score(first: int, last: int) -> None:
            scores.score_images(cells, queries, weights, *by_image, first, last, exact, result)

        _run(score, by_image, out.numel() * query.shape[1])
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        projected, query, weight = ctx.saved_tensors
        wants_cells, wants_ticket, wants_query, wants_weight = ctx.needs_input_grad[:4]
        total, cells_out, accumulate = _gradient_place(ctx, projected, wants_cells, wants_ticket)
        grad_query = torch.empty_like(query)
        shares = query.new_empty(len(projected), query.shape[1])
        cells, queries, weights, grad, query_out, weight_out = map(
            _array, (projected, query, weight, grad_scores.contiguous(), grad_query, shares)
        )
        order, start = ctx.by_image
        exact = query.dtype == torch.float64

        def differentiate(first: int, last: int) -> None:
            scores.score_gradients(
                *(cells, queries, weights, order, start, first, last, exact, grad),
                *(cells_out, accumulate, query_out, weight_out),
            )

        _run(differentiate, ctx.by_image, grad_scores.numel() * query.shape[1])
        return (
            total if wants_cells else None,
            grad_scores.new_zeros(()) if wants_ticket else None,
            grad_query if wants_query else None,
            shares.sum(0) if wants_weight else None,
            None,
            None,
        )


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        ticket: Tensor | None,
        alpha: Tensor,
        image_index: Tensor,
        gradient: GradientSum | None,
    ) -> Tensor:
        values, alpha = values.contiguous(), alpha.contiguous()
        by_image = _group(image_index, len(values))
        ctx.save_for_backward(values, alpha)
        ctx.by_image, ctx.gradient = by_image, gradient
        out = alpha.new_empty(len(alpha), values.shape[2])
        cells, weights, result = map(_array, (values, alpha, out))

        def add_up(first: int, last: int) -> None:
            sums.sum_images(cells, weights, *by_image, first, last, result)

        _run(add_up, by_image, alpha.numel() * values.shape[2])
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        values, alpha = ctx.saved_tensors
        wants_cells, wants_ticket, wants_alpha = ctx.needs_input_grad[:3]
        total, cells_out, accumulate = _gradient_place(ctx, values, wants_cells, wants_ticket)
        grad_alpha = torch.empty_like(alpha)
        cells, weights, grad, alpha_out = map(
            _array, (values, alpha, grad_out.contiguous(), grad_alpha)
        )
        order, start = ctx.by_image

        def differentiate(first: int, last: int) -> None:
            if wants_alpha:
                sums.alpha_gradients(cells, order, start, first, last, grad, alpha_out)
            if total is not None:
                sums.value_gradients(
                    weights, order, start, first, last, grad, cells_out, accumulate
                )

        _run(differentiate, ctx.by_image, alpha.numel() * values.shape[2])
        return (
            total if wants_cells else None,
            grad_out.new_zeros(()) if wants_ticket else None,
            grad_alpha if wants_alpha else None,
            None,
            None,
        )
