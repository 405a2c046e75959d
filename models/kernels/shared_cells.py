"""Cells that many calls attend to, as every step of a decoder does."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


class GradientSum:
    """One gradient, (U, S, D), to which the backward of every call adds its own, in place."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._task = -1

    def buffer(self, cells: Tensor) -> tuple[Tensor, bool]:
        """The buffer for the gradient of ``cells``, and whether it holds a sum to add to.

        float32 for half-precision cells, whose sum would lose small terms.
        """
        # A backward pass that never reached the cells must leave nothing to the next one.
        task = torch._C._current_graph_task_id()
        if self._sum is None or self._task != task:
            kind = torch.promote_types(cells.dtype, torch.float32)
            self._sum = torch.empty(cells.shape, dtype=kind, device=cells.device)
            self._task = task
            return self._sum, False
        return self._sum, True

    def take(self) -> Tensor | None:
        """The sum; the next backward pass starts anew."""
        taken, self._sum = self._sum, None
        return taken


class _Ticket(torch.autograd.Function):
    """Stands for the cells in the graph: its backward runs once that of every call has run."""

    @staticmethod
    def forward(ctx: FunctionCtx, cells: Tensor, gradient: GradientSum) -> Tensor:
        ctx.gradient = gradient  # type: ignore[attr-defined]
        ctx.dtype = cells.dtype  # type: ignore[attr-defined]
        return cells.new_zeros(())

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: FunctionCtx, grad_ticket: Tensor) -> tuple[Tensor | None, None]:
        total = ctx.gradient.take()  # type: ignore[attr-defined]
        return (None if total is None else total.to(ctx.dtype)), None  # type: ignore[attr-defined]


class SharedCells:
    """Cells (U, S, D) for repeated calls of ``additive_scores`` or ``attend``.

    Autograd would make a gradient of the cells for every call and add them up: for a decoder of 16
    steps, 16 arrays as large as the cells. Calls that get the same ``SharedCells`` add to one.
    """

    def __init__(self, cells: Tensor) -> None:
        self.cells = cells
        self.gradient = GradientSum()
        self.ticket: Tensor = _Ticket.apply(cells, self.gradient)  # type: ignore[no-untyped-call, unused-ignore]
