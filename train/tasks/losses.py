"""What heads are trained to minimise."""

from torch import Tensor

from .cross_entropy import class_cross_entropy, sparse_cross_entropy


def soft_cross_entropy(scores: Tensor, row: Tensor, answer: Tensor, weight: Tensor) -> Tensor:
    """``Σ_a weight_a · (−log p_a)``, meant over the questions.

    The weights are the share of the ten people who gave the answer (Kazemi and Elqursh, 2017, eq.
    5). They come as a sparse list, so no ``[B, A]`` target is built: ``scores`` ``[B, A]``; ``row``
    and ``answer`` int64 ``[n]``; ``weight`` float32 ``[n]``. Returns a float32 scalar.
    """
    return sparse_cross_entropy(scores, row, answer, weight) / len(scores)


def commonest_cross_entropy(scores: Tensor, answer: Tensor) -> Tensor:
    """Cross-entropy on the commonest answer, int64 ``[B]``; −1, not in the list, does not count."""
    return class_cross_entropy(scores, answer) / len(scores)


def word_cross_entropy(scores: Tensor, word: Tensor) -> Tensor:
    """Cross-entropy of the next words, int64 ``[P]``, by their scores ``[P, V]``, meant."""
    return class_cross_entropy(scores, word) / len(scores)
