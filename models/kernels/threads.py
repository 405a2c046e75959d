"""Pieces of one kernel's work on several threads.

Where PyTorch computes with OpenMP, its own team does the work. The team's idle threads spin for
some milliseconds after each of PyTorch's operations, ready for the next, and any other thread would
have to share their cores with them: on two cores, that halves a kernel's speed.

Elsewhere plain threads do it, for kernels release the GIL. Numba's own threading layers do not fit:
``workqueue`` aborts when two Python threads enter it, ``omp`` kills a forked child, ``tbb`` is not
bundled.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count, pairwise
from typing import Any

import torch

Piece = tuple[int, int]

# A thread that is held up, or got the dearest pieces, is helped out by the others.
PIECES_A_THREAD = 4

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_forked = False


def _forget_threads() -> None:
    """In a forked child its parent's threads do not exist, but OpenMP would wait for them."""
    global _lock, _pool, _pool_size, _forked
    _lock, _pool, _pool_size, _forked = threading.Lock(), None, 0, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


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
    if min(n_threads, len(pieces)) < 2:
        for first, last in pieces:
            task(first, last)
        return
    numbers = count()

    def work() -> None:
        while (number := next(numbers)) < len(pieces):
            task(*pieces[number])

    # Every thread that asks OpenMP for a team gets one of its own, whose idle threads spin as well:
    # a second team would only be in the way of the first.
    if _team() and not _forked and threading.current_thread() is threading.main_thread():
        _run_on_team(work, n_threads)
    else:
        _run_on_threads(work, min(n_threads, len(pieces)) - 1)


@cache
def _team() -> Any:
    """OpenMP's entry ``GOMP_parallel(function, data, n_threads, flags)``, if PyTorch uses it.

    The compilers' contract for GNU's library, which LLVM's and Intel's keep too.
    """
    if "parallel backend: OpenMP" not in torch.__config__.parallel_info():
        return None
    try:
        # PyTorch makes its OpenMP library's names visible to all.
        return ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None


_Function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _run_on_team(work: Callable[[], None], n_threads: int) -> None:
    errors: list[BaseException] = []

    def guarded(_: int | None) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    _team()(_Function(guarded), None, ctypes.c_uint(n_threads), ctypes.c_uint(0))
    if errors:
        raise errors[0]


def _run_on_threads(work: Callable[[], None], n_helpers: int) -> None:
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
