import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from frostgrid.errors import InputError
from frostgrid.train.features import gather
from frostgrid.train.features.gather import gather_rows, page_runs, prefetch_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.callers import call_at_once


def memory_map(path: Path, shape: tuple[int, ...], dtype: str, offset: int = 24) -> np.ndarray:
    """A read-only map of numbers that differ, some way into a file, as a feature file has them."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    content = np.random.default_rng(0).integers(256, size=offset + n_bytes, dtype=np.uint8)
    path.write_bytes(content.tobytes())
    return np.memmap(path, dtype, "r", offset, shape)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads, however few the bytes."""
    monkeypatch.setattr(gather, "_SERIAL_BYTES", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
@pytest.mark.parametrize("shape", [(40, 14, 6), (40, 7), (40,), (40, 0), (1, 3)])
@pytest.mark.parametrize("n_rows", [0, 1, 3, 64])
def test_rows_equal_plain_indexing(tmp_path, threads, dtype, shape, n_rows) -> None:
    n_bytes = int(np.prod(shape))
    source = memory_map(tmp_path / "map", shape, dtype) if n_bytes else np.zeros(shape, dtype)
    rows = np.random.default_rng(1).integers(len(source), size=n_rows)
    out = np.ones((n_rows, *shape[1:]), dtype)
    gather_rows(source, rows, out)
    assert out.tobytes() == source[rows].tobytes()
    tensor = torch.from_numpy(np.ones_like(out))
    gather_rows(source, rows, tensor)
    assert tensor.numpy().tobytes() == out.tobytes()


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.integers(0, 9), max_size=50), width=st.integers(0, 9))
def test_any_rows_in_any_order(rows, width) -> None:
    source = np.random.default_rng(0).standard_normal((10, width)).astype(np.float16)
    out = np.empty((len(rows), width), np.float16)
    gather_rows(source, np.array(rows, np.int64), out)
    assert out.tobytes() == source[rows].tobytes()


def test_a_source_that_is_not_contiguous() -> None:
    source = np.arange(60, dtype=np.float32).reshape(6, 10)[:, ::2]
    out = np.empty((2, 5), np.float32)
    gather_rows(source, np.array([4, 1]), out)
    assert (out == source[[4, 1]]).all()


def test_of_an_unaligned_source_no_more_is_copied_than_the_rows(tmp_path) -> None:
    source = memory_map(tmp_path / "map", (1000, 500), "float32", offset=25)
    assert not source.flags.aligned
    rows, out = np.array([700, 3]), np.empty((2, 500), np.float32)
    tracemalloc.start()
    gather_rows(source, rows, out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out.tobytes() == source[rows].tobytes()
    assert peak < source.nbytes / 10


def test_a_few_rows_of_a_map_of_more_than_4_gb(tmp_path, threads) -> None:
    path = tmp_path / "sparse"
    shape = (5_000, 196, 2500)
    with path.open("wb") as file:
        file.truncate(int(np.prod(shape)) * 2)
    source = np.memmap(path, np.float16, "r+", shape=shape)
    source[4_999, 195] = 3.0
    out = torch.ones(2, 196, 2500, dtype=torch.float16)
    gather_rows(source, np.array([0, 4_999]), out)
    assert out[0].count_nonzero() == 0
    assert (out[1, 195] == 3).all()
    assert out[1, :195].count_nonzero() == 0


@pytest.mark.parametrize("wrong", [-1, 40, 2**40])
@pytest.mark.parametrize("function", [gather_rows, prefetch_rows])
def test_a_row_that_is_not_there(tmp_path, wrong, function) -> None:
    source = memory_map(tmp_path / "map", (40, 7), "float16")
    out = (np.empty((2, 7), np.float16),) if function is gather_rows else ()
    with pytest.raises(InputError, match=f"Row {wrong} is not .* 40 rows; expected 0 to 39"):
        function(source, np.array([3, wrong]), *out)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((3, 7), np.float16),
        np.empty((2, 7), np.float32),
        np.empty((2, 14), np.float16)[:, ::2],
    ],
)
def test_a_buffer_that_does_not_fit(out) -> None:
    with pytest.raises(ValueError, match=r"expected contiguous float16 \(2, 7\)"):
        gather_rows(np.zeros((9, 7), np.float16), np.array([0, 1]), out)


def test_several_python_threads_at_once(tmp_path, threads) -> None:
    source = memory_map(tmp_path / "map", (200, 500), "float16")
    wrong: list[int] = []

    def repeat(seed: int) -> None:
        rng = np.random.default_rng(seed)
        out = np.empty((64, 500), np.float16)
        for _ in range(50):
            rows = rng.integers(200, size=64)
            gather_rows(source, rows, out)
            if out.tobytes() != source[rows].tobytes():
                wrong.append(seed)

    call_at_once(repeat)
    assert not wrong


def test_reading_ahead_of_a_part_of_a_map(tmp_path) -> None:
    source = memory_map(tmp_path / "map", (100, 1000), "float32", offset=4096 + 40)
    prefetch_rows(source[10:], np.array([7, 3, 4, 5, 89]))
    prefetch_rows(source[10:], np.zeros(0, np.int64))


def test_adjacent_rows_are_asked_for_at_once_from_the_start_of_a_page() -> None:
    rows = np.array([7, 3, 4, 5, 4])
    assert page_runs(rows, 4000, 40, 4096) == [
        (8192, 24040 - 8192),  # rows 3 to 5: bytes 12040 to 24040
        (24576, 32040 - 24576),  # row 7
    ]
    assert page_runs(np.zeros(0, np.int64), 4000, 40) == []


def test_reading_ahead_of_plain_memory_does_nothing() -> None:
    prefetch_rows(np.zeros((9, 7), np.float16), np.array([0, 1]))
    prefetch_rows(np.zeros((0, 7), np.float16), np.zeros(0, np.int64))
