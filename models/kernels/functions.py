"""Additive attention as differentiable functions, over one backend: ``cpu`` or ``cuda``."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from .shared_cells import GradientSum, SharedCells


def additive_scores(
    backend: ModuleType,
    projected: Tensor | SharedCells,
    query: Tensor,
    weight: Tensor,
    image_index: Tensor,
) -> Tensor:
    """``models.layers.additive_attention.additive_scores`` by ``cpu``'s or ``cuda``'s kernels."""
    cells, ticket, gradient = _cells(projected)
    kind = torch.promote_types(cells.dtype, torch.float32)
    result: Tensor = _Scores.apply(  # type: ignore[no-untyped-call, unused-ignore]
        *(backend, cells, ticket, query.to(kind), weight.to(kind), image_index.long(), gradient)
    )
    return result


def attend(
    backend: ModuleType, values: Tensor | SharedCells, alpha: Tensor, image_index: Tensor
) -> Tensor:
    """``models.layers.additive_attention.attend`` by ``cpu``'s or ``cuda``'s kernels."""
    cells, ticket, gradient = _cells(values)
    alpha = alpha.to(torch.promote_types(cells.dtype, torch.float32))
    alpha = pad(alpha, (0, -alpha.shape[1] % backend.CELLS_AT_A_TIME))
    result: Tensor = _Sums.apply(  # type: ignore[no-untyped-call, unused-ignore]
        *(backend, cells, ticket, alpha, image_index.long(), gradient)
    )
    return result


def _cells(cells: Tensor | SharedCells) -> tuple[Tensor, Tensor | None, GradientSum | None]:
    """The cells, and for shared ones their ticket in the graph and the sum of their gradients."""
    if isinstance(cells, SharedCells):
        return cells.cells.detach(), cells.ticket, cells.gradient
    return cells, None, None


def _gradient_buffer(
    cells: Tensor, wanted: bool, shared: GradientSum | None
) -> tuple[Tensor | None, bool]:
    """The buffer for the cells' gradient, if wanted, and whether to add to what it holds."""
    if shared is not None:
        return shared.buffer(cells)
    # The kernels write bfloat16 but not float16, to which autograd converts float32.
    kind = torch.float32 if cells.dtype == torch.float16 else cells.dtype
    return (torch.empty_like(cells, dtype=kind), False) if wanted else (None, False)


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        backend: ModuleType,
        projected: Tensor,
        ticket: Tensor | None,
        query: Tensor,
        weight: Tensor,
        image_index: Tensor,
        gradient: GradientSum | None,
    ) -> Tensor:
        projected, query, weight = projected.contiguous(), query.contiguous(), weight.contiguous()
        by_image = backend.group(image_index, len(projected))
        ctx.save_for_backward(projected, query, weight)
        ctx.backend, ctx.by_image, ctx.gradient = backend, by_image, gradient
        out = query.new_empty(len(query), projected.shape[1])
        backend.score(projected, query, weight, by_image, out)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        projected, query, weight = ctx.saved_tensors
        _, wants_cells, wants_ticket, wants_query, wants_weight = ctx.needs_input_grad[:5]
        grad_cells, accumulate = _gradient_buffer(
            projected, wants_cells, ctx.gradient if wants_ticket else None
        )
        grad_query, grad_weight = ctx.backend.score_gradients(
            *(projected, query, weight, ctx.by_image, grad_scores.contiguous()),
            *(grad_cells, accumulate),
        )
        return (
            None,
            grad_cells if wants_cells else None,
            grad_scores.new_zeros(()) if wants_ticket else None,
            grad_query if wants_query else None,
            grad_weight if wants_weight else None,
            None,
            None,
        )


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        backend: ModuleType,
        values: Tensor,
        ticket: Tensor | None,
        alpha: Tensor,
        image_index: Tensor,
        gradient: GradientSum | None,
    ) -> Tensor:
        values, alpha = values.contiguous(), alpha.contiguous()
        by_image = backend.group(image_index, len(values))
        ctx.save_for_backward(values, alpha)
        ctx.backend, ctx.by_image, ctx.gradient = backend, by_image, gradient
        out = alpha.new_empty(len(alpha), values.shape[2])
        backend.add_up(values, alpha, by_image, out)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        values, alpha = ctx.saved_tensors
        _, wants_cells, wants_ticket, wants_alpha = ctx.needs_input_grad[:4]
        grad_cells, accumulate = _gradient_buffer(
            values, wants_cells, ctx.gradient if wants_ticket else None
        )
        grad_alpha = torch.empty_like(alpha) if wants_alpha else None
        ctx.backend.sum_gradients(
            *(values, alpha, ctx.by_image, grad_out.contiguous()),
            *(grad_alpha, grad_cells, accumulate),
        )
        return (
            None,
            grad_cells if wants_cells else None,
            grad_out.new_zeros(()) if wants_ticket else None,
            grad_alpha,
            None,
            None,
        )
