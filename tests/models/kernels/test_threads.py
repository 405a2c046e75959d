import threading
from itertools import pairwise

import pytest
from frostgrid.models.kernels import threads
from frostgrid.models.kernels.threads import even_pieces, run_pieces
from reference.callers import call_at_once

PIECES = list(pairwise(range(30)))


@pytest.fixture(params=["main thread", "another thread"])
def call(request: pytest.FixtureRequest):
    """Calls a function on one thread or another."""
    if request.param != "another thread":
        return lambda function: function()

    def elsewhere(function) -> None:
        errors: list[BaseException] = []

        def guarded() -> None:
            try:
                function()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]

    return elsewhere


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_every_piece_is_done_once(call, n_threads) -> None:
    done: list[tuple[int, int]] = []
    call(lambda: run_pieces(lambda *piece: done.append(piece), PIECES, n_threads))
    assert sorted(done) == PIECES


def test_several_threads_take_part(call) -> None:
    together = threading.Barrier(2)
    call(lambda: run_pieces(lambda first, last: together.wait(20) and None, PIECES[:2], 2))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_is_raised_once_all_have_stopped(call, error) -> None:
    running: set[int] = set()

    def task(first: int, last: int) -> None:
        running.add(first)
        try:
            if first == 7:
                raise error
        finally:
            running.remove(first)

    with pytest.raises(type(error)):
        call(lambda: run_pieces(task, PIECES, 3))
    assert not running
    done: list[int] = []
    call(lambda: run_pieces(lambda first, last: done.append(first), PIECES, 3))
    assert len(done) == len(PIECES)


def test_no_pieces(call) -> None:
    call(lambda: run_pieces(lambda first, last: pytest.fail("a piece"), even_pieces(0, 2), 2))


def test_many_threads_at_once_start_with_ever_more_helpers() -> None:
    """A pool that grows must not be shut down under another thread."""
    failed: list[BaseException] = []
    wrong: list[int] = []

    def call(i: int) -> None:
        for n_threads in range(2, 10):
            done: list[tuple[int, int]] = []
            try:
                run_pieces(lambda *piece, done=done: done.append(piece), PIECES, n_threads + i % 3)
            except BaseException as error:
                failed.append(error)
            if sorted(done) != PIECES:
                wrong.append(i)

    for _ in range(150):
        threads._make_pool()
        call_at_once(call, 8)
    assert not failed
    assert not wrong
