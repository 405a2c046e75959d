"""Pieces of one kernel's work on several threads.

Numba's own threading layers do not fit here: ``workqueue`` aborts when two Python threads enter it,
``omp`` kills a forked child, ``tbb`` is not bundled. Kernels release the GIL, so plain threads do.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise

Piece = tuple[int, int]

# A thread that is held up, or got the dearest pieces, is helped out by the others.
PIECES_A_THREAD = 4

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _forget_pool() -> None:
    """In a forked child: its parent's threads do not exist there."""
    global _lock, _pool, _pool_size
    _lock, _pool, _pool_size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _helpers(n_helpers: int) -> ThreadPoolExecutor:
    """A pool of at least so many threads, kept for the next call."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < n_helpers:
            if _pool is not None:
                _pool.shutdown(wait=False)
            _pool = ThreadPoolExecutor(n_helpers, thread_name_prefix="kernel")
            _pool_size = n_helpers
        return _pool


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

    pool = _helpers(n_helpers)
    futures = [pool.submit(work) for _ in range(n_helpers)]
    try:
        work()
    finally:
        # A helper that has not begun by now has nothing left to do.
        running = [future for future in futures if not future.cancel()]
        errors = [future.exception() for future in running]
    for error in errors:
        if error is not None:
            raise error
