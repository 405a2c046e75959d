"""The likeliest classes of every row of scores."""

from collections.abc import Callable

import torch
from torch import Tensor

from .kernels.choice import fused

_FUSED_DTYPES = (torch.float32, torch.bfloat16)


def log_sums(scores: Tensor, start: int = 0) -> Tensor:
    """``log Σ_{v ≥ start} exp(scores[:, v])``, ``[R, V]`` to float32 ``[R]``, without gradients."""
    if not _fuses(scores):
        return scores[:, start:].float().logsumexp(1)
    from .kernels import cpu, likeliest

    out = torch.empty(len(scores))
    stored, found = cpu._array(scores.contiguous()), cpu._array(out)

    def task(first: int, last: int) -> None:
        likeliest.row_log_sums(stored, start, first, last, found)

    _run(task, scores)
    return out


def top(scores: Tensor, k: int, start: int = 0) -> tuple[Tensor, Tensor]:
    """The k largest of ``scores[:, start:]``, float32 ``[R, k]``, and their columns in ``scores``.

    Fewer where there are not as many columns. On the CPU the first of equal ones comes first, and
    what is -inf may have column 0.
    """
    k = min(k, scores.shape[1] - start)
    if not _fuses(scores):
        best, place = scores[:, start:].topk(k, 1)
        return best.float(), place + start
    from .kernels import cpu, likeliest

    best, place = torch.empty(len(scores), k), torch.empty(len(scores), k, dtype=torch.long)
    stored, values, places = (cpu._array(x) for x in (scores.contiguous(), best, place))

    def task(first: int, last: int) -> None:
        likeliest.row_tops(stored, start, first, last, values, places)

    _run(task, scores)
    return best, place


def _fuses(scores: Tensor) -> bool:
    stored = scores.device.type == "cpu" and scores.dtype in _FUSED_DTYPES
    return stored and fused(scores.numel())


def _run(task: Callable[[int, int], None], scores: Tensor) -> None:
    from .kernels import cpu
    from .kernels.threads import even_pieces, run_pieces

    n_threads = torch.get_num_threads() if scores.numel() > cpu._SERIAL_STEPS else 1
    run_pieces(task, even_pieces(len(scores), n_threads), n_threads)
