"""The k most probable classes of every row of scores."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels.choice import fused

_FUSED_DTYPES = (torch.float32, torch.bfloat16)


def top_k(
    scores: Tensor, k: int, start: int = 0, forbid: Callable[[Tensor], None] | None = None
) -> tuple[Tensor, Tensor]:
    """The log-probabilities of the k most probable classes, float32 ``[R, k]``, and the classes.

    ``scores``: ``[R, V]``, which may be overwritten; classes before ``start`` are left out of the
    softmax. ``forbid`` sets scores to -inf of classes that count in the softmax but must not be
    returned. ``k`` is cut to the number of classes. A class with -inf may be any. On the CPU, of
    equal scores the first comes first. Without gradients.
    """
    k = min(k, scores.shape[1] - start)
    if scores.device.type == "cpu" and scores.dtype in _FUSED_DTYPES and fused(scores.numel()):
        return _fused(scores, k, start, forbid)
    scores = scores.float()
    scores[:, :start] = -torch.inf
    log_p = scores.log_softmax(1)
    if forbid is not None:
        forbid(log_p)
    best, classes = log_p.topk(k, 1)
    return best, classes


def _fused(
    scores: Tensor, k: int, start: int, forbid: Callable[[Tensor], None] | None
) -> tuple[Tensor, Tensor]:
    from ..kernels.compile import array_of
    from ..kernels.softmax import row_log_sums, row_tops
    from ..kernels.threads import run_rows

    scores = scores.contiguous()
    log_sum = torch.empty(len(scores), device=scores.device)
    best = torch.empty(len(scores), k, device=scores.device)
    classes = torch.empty_like(best, dtype=torch.long)
    stored, sums, values, found = map(array_of, (scores, log_sum, best, classes))

    def add_up(first: int, last: int) -> None:
        row_log_sums(stored, start, first, last, sums)

    def find(first: int, last: int) -> None:
        row_tops(stored, start, sums, first, last, values, found)

    run_rows(add_up, len(scores), scores.numel())
    if forbid is not None:
        forbid(scores)
    run_rows(find, len(scores), scores.numel())
    return best, classes
