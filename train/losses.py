"""What a VQA head is trained to minimise."""

import torch
from torch import Tensor
from torch.nn import functional


def soft_cross_entropy(scores: Tensor, row: Tensor, answer: Tensor, weight: Tensor) -> Tensor:
    """``Σ_a weight_a · (−log p_a)``, meant over the questions.

    The weights are the share of the ten people who gave the answer (Kazemi and Elqursh, 2017, eq.
    5). They come as a sparse list, so no ``[B, A]`` target is built: ``scores`` ``[B, A]``; ``row``
    and ``answer`` int64 ``[n]``; ``weight`` float32 ``[n]``. Returns a float32 scalar.
    """
    scores = scores.float()
    log_sum = torch.logsumexp(scores, 1)
    loss = weight * (log_sum[row] - scores[row, answer])
    return loss.sum() / len(scores)


def commonest_cross_entropy(scores: Tensor, answer: Tensor) -> Tensor:
    """Cross-entropy on the commonest answer, int64 ``[B]``; −1, not in the list, does not count."""
    return functional.cross_entropy(scores.float(), answer, ignore_index=-1, reduction="sum") / len(
        scores
    )
