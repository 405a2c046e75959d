"""The top_k classes of every row of scores."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels.choice import fused

_FUSED_DTYPES = (torch.float32, torch.bfloat16)


def top_k(
    scores: Tensor, k: int, start: int = 0, forbid: Callable[[Tensor], None] | None = None
) -> tuple[Tensor, Tensor]:
    """The log-probabilities of the k top_k classes, float32 ``[R, k]``, and their numbers.

    ``scores``: ``[R, V]``, which may be overwritten; classes before ``start`` do not exist.
    ``forbid`` sets scores to -inf that are not to be found although they have a probability.
    Fewer than k where there are not as many. What comes with -inf has any number. On the CPU, of
    equal scores the first is found first. Without gradients.
    """
    k = min(k, scores.shape[1] - start)
    if scores.device.type == "cpu" and scores.dtype in _FUSED_DTYPES and fused(scores.numel()):
        return _fused(scores, k, start, forbid)
    scores = scores.float()
    scores[:, :start] = -torch.inf
    log_p = scores.log_softmax(1)
    if forbid is not None:
        forbid(log_p)
    best, place = log_p.topk(k, 1)
    return best, place


def _fused(
    scores: Tensor, k: int, start: int, forbid: Callable[[Tensor], None] | None
) -> tuple[Tensor, Tensor]:
    from ..kernels.cpu import array_of, run_rows
    from ..kernels.top_k import row_log_sums, row_tops

    scores = scores.contiguous()
    log_sum = torch.empty(len(scores))
    best, place = torch.empty(len(scores), k), torch.empty(len(scores), k, dtype=torch.long)
    stored, sums, values, places = map(array_of, (scores, log_sum, best, place))

    def add_up(first: int, last: int) -> None:
        row_log_sums(stored, start, first, last, sums)

    def find(first: int, last: int) -> None:
        row_tops(stored, start, sums, first, last, values, places)

    run_rows(add_up, len(scores), scores.numel())
    if forbid is not None:
        forbid(scores)
    run_rows(find, len(scores), scores.numel())
    return best, place
