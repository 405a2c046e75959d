"""What heads are trained to minimise: cross-entropies with sparse targets.

On the CPU they make no float copy of the scores.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ...models.kernels.choice import fused
from ...models.kernels.compile import Array, array_of
from ...models.kernels.softmax import row_gradients, row_losses
from ...models.kernels.threads import run_rows

_FUSED_DTYPES = (torch.float32, torch.bfloat16)


def soft_cross_entropy(scores: Tensor, row: Tensor, answer: Tensor, weight: Tensor) -> Tensor:
    """``Σ_a weight_a · (−log p_a)``, averaged over the questions.

    The weights are the share of the ten people who gave the answer (Kazemi and Elqursh, 2017, eq.
    5). They come as a sparse list, so no ``[B, A]`` target is built: ``scores`` ``[B, A]``; ``row``
    and ``answer`` int64 ``[n]``; ``weight`` float32 ``[n]``. Returns a float32 scalar.
    """
    return sparse_cross_entropy(scores, row, answer, weight) / len(scores)


def commonest_cross_entropy(scores: Tensor, answer: Tensor) -> Tensor:
    """Cross-entropy on the commonest answer, int64 ``[B]``; −1, not in the list, does not count."""
    return class_cross_entropy(scores, answer) / len(scores)


def word_cross_entropy(scores: Tensor, word: Tensor) -> Tensor:
    """Cross-entropy of the next words, int64 ``[P]``, by their scores ``[P, V]``, averaged."""
    return class_cross_entropy(scores, word) / len(scores)


def few_classes_cross_entropy(scores: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """``sparse_cross_entropy`` of as many targets a row, int64 and float32 ``[P, K]``.

    Its shapes depend on no number, and nothing is sorted.
    """
    scores = _floats(scores)
    log_p = scores.gather(1, target) - torch.logsumexp(scores, 1, keepdim=True)
    return -(weight * log_p).sum()


def sparse_cross_entropy(scores: Tensor, row: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """``Σ_i weight_i · (log Σ_v exp(scores[row_i, v]) − scores[row_i, target_i])``.

    scores: ``[P, V]``, of any floating type; row, target: int64 ``[n]``, in any order, pairs may
    come twice; weight: float32 ``[n]``. Returns a scalar, float32 at least.

    On the CPU, a row at a time: forward it keeps only the rows' ``log Σ exp``, and backward it
    writes the gradient in the scores' own type. PyTorch's operations write a float32 copy of the
    scores, their exponentials and two gradients, each of them 43 MB for 1,150 words of 9,490. The
    scores of rows without a target are not read. Deterministic; can be differentiated once.

    Raises ``IndexError`` for a row or target that is not there.
    """
    if _fuses(scores):
        return _fused(scores, row, target, weight)
    scores = _floats(scores)
    log_sum = torch.logsumexp(scores, 1)
    return (weight * (log_sum[row] - scores[row, target])).sum()


def class_cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    """``sparse_cross_entropy`` for one target a row, int64 ``[P]``, of weight 1; −1: none."""
    if _fuses(scores):
        row = (target != -1).nonzero().squeeze(1)
        return _fused(scores, row, target[row], torch.ones(len(row), device=scores.device))
    return functional.cross_entropy(_floats(scores), target, ignore_index=-1, reduction="sum")


def _fuses(scores: Tensor) -> bool:
    stored = scores.device.type == "cpu" and scores.dtype in _FUSED_DTYPES
    return stored and fused(scores.numel())


def _floats(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def _fused(scores: Tensor, row: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    result: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call, unused-ignore]
        *(scores, row, target, weight)
    )
    return result


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, row: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        scores = scores.contiguous()
        ctx.save_for_backward(scores)
        ctx.targets = start, targets, weights = _by_row(scores.shape, row, target, weight)
        ctx.log_sum = log_sum = np.empty(len(scores))
        losses = np.empty(len(scores))
        stored = array_of(scores)

        def task(first: int, last: int) -> None:
            row_losses(stored, start, targets, weights, first, last, log_sum, losses)

        run_rows(task, len(scores), scores.numel())
        return scores.new_tensor(losses.sum(), dtype=torch.float32)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (scores,) = ctx.saved_tensors
        (start, targets, weights), log_sum = ctx.targets, ctx.log_sum
        out = torch.empty_like(scores)
        stored, result, factor = array_of(scores), array_of(out), float(grad)

        def task(first: int, last: int) -> None:
            row_gradients(stored, start, targets, weights, log_sum, factor, first, last, result)

        run_rows(task, len(scores), scores.numel())
        return out, None, None, None


def _by_row(
    shape: torch.Size, row: Tensor, target: Tensor, weight: Tensor
) -> tuple[Array, Array, Array]:
    """Where each row's targets begin and end, the targets and their weights, in the rows' order."""
    rows, targets, weights = row.numpy(), target.numpy(), weight.float().numpy()
    for name, numbers, n in (("row", rows, shape[0]), ("target", targets, shape[1])):
        wrong = np.flatnonzero((numbers < 0) | (numbers >= n))
        if len(wrong):
            raise IndexError(f"{name}[{wrong[0]}] is {numbers[wrong[0]]}: expected 0 to {n - 1}.")
    if len(targets) != len(rows) or len(weights) != len(rows):
        raise ValueError(f"{len(rows)} rows, {len(targets)} targets and {len(weights)} weights.")
    start = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=shape[0]), out=start[1:])
    order = np.argsort(rows, kind="stable")
    return start, targets[order], weights[order]
