"""A kernel's work in pieces on several threads.

Numba's own threading layers do not fit here: ``workqueue`` aborts when two Python threads enter it,
``omp`` kills a forked child, ``tbb`` is not bundled. Kernels release the GIL, so plain threads do.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise

import torch

Piece = tuple[int, int]

# More pieces than threads: a thread that is slow, or got costly pieces, takes fewer.
PIECES_A_THREAD = 4

# Below so many elementary steps a second thread costs more than it saves.
SERIAL_STEPS = 1 << 19

# One pool for the whole process, never replaced by a larger one: other threads may be submitting to
# it. It starts a thread only when none is idle.
_MOST_HELPERS = max(64, 2 * (os.cpu_count() or 1))
_helpers: ThreadPoolExecutor


def _make_pool() -> None:
    global _helpers
    _helpers = ThreadPoolExecutor(_MOST_HELPERS, thread_name_prefix="kernel")


_make_pool()
if hasattr(os, "register_at_fork"):
    # The parent's threads do not exist in a forked child.
    os.register_at_fork(after_in_child=_make_pool)


def even_pieces(n: int, n_threads: int) -> list[Piece]:
    """0 to ``n`` in runs of about the same length, a few for each thread."""
    n_pieces = min(n, PIECES_A_THREAD * n_threads if n_threads > 1 else 1)
    bounds = [n * i // n_pieces for i in range(n_pieces + 1)] if n else []
    return list(pairwise(bounds))


def run_pieces(task: Callable[[int, int], None], pieces: Sequence[Piece], n_threads: int) -> None:
    """Call ``task(first, last)`` for every piece, on the calling thread and ``n_threads - 1`` more.

    Each thread takes the next piece when it is free, so pieces must not depend on one another. The
    first exception is raised once all threads have stopped.
    """
    n_helpers = min(n_threads, len(pieces)) - 1
    if n_helpers < 1:
        for first, last in pieces:
            task(first, last)
        return
    numbers = count()

    def work() -> None:
        while (number := next(numbers)) < len(pieces):
            task(*pieces[number])

    futures = [_helpers.submit(work) for _ in range(n_helpers)]
    try:
        work()
    finally:
        # A helper that has not started by now has nothing left to do.
        running = [future for future in futures if not future.cancel()]
        errors = [future.exception() for future in running]
    for error in errors:
        if error is not None:
            raise error


def threads_for(n_steps: int) -> int:
    """PyTorch's number of threads, or 1 for too few elementary steps."""
    return torch.get_num_threads() if n_steps > SERIAL_STEPS else 1


def run_rows(task: Callable[[int, int], None], n_rows: int, n_steps: int) -> None:
    """``task(first, last)`` for all rows, on several threads if so many elementary steps pay."""
    n_threads = threads_for(n_steps)
    run_pieces(task, even_pieces(n_rows, n_threads), n_threads)
