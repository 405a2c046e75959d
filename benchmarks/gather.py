"""Gathering feature rows: ours beside what can be had, on rows that are in the page cache.

``python -m benchmarks.gather [--rounds N] [--channels D]``: 128 random rows of (196, D) float16
from an HDF5 file of 0.8 GB, into a buffer used again and again.
"""

import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import click
import h5py
import numpy as np
import torch
from frostgrid.train.features.gather import gather_rows
from torch import Tensor

from .interleaved import machine, print_table, time_in_turns

N_ROWS, N_BYTES = 128, 800_000_000


def write_file(path: Path, channels: int) -> np.memmap:
    n_images = N_BYTES // (196 * channels * 2)
    cells = np.random.default_rng(0).standard_normal((64, 196, channels)).astype(np.float16)
    with h5py.File(path, "w") as file:
        grid = file.create_dataset("grid", (n_images, 196, channels), np.float16)
        for first in range(0, n_images, 64):
            grid[first : first + 64] = cells[: n_images - first]
    with h5py.File(path, "r") as file:
        offset, shape = file["grid"].id.get_offset(), file["grid"].shape
    return np.memmap(path, np.float16, "r", offset, shape)


def gather_cases(
    path: Path, source: np.memmap, file: h5py.File
) -> tuple[dict[str, Callable[[], object]], int]:
    rng = np.random.default_rng(0)
    out = torch.empty(N_ROWS, *source.shape[1:], dtype=torch.float16)
    copied = torch.zeros_like(out)
    writable = np.memmap(path, np.float16, "r+", source.offset, source.shape)
    tensor = torch.from_numpy(writable)
    grid = file["grid"]
    n_starts = len(source) - N_ROWS

    chosen = cycle([rng.permutation(len(source))[:N_ROWS] for _ in range(64)])

    def rows() -> np.ndarray:
        return next(chosen)

    def adjacent() -> Tensor:
        first = int(rng.integers(n_starts))
        return tensor[first : first + N_ROWS]

    def one_by_one() -> Tensor:
        return torch.stack([torch.from_numpy(grid[row].astype(np.float32)) for row in rows()])

    return {
        "ours": lambda: gather_rows(source, rows(), out),
        "plain copy of adjacent rows, PyTorch": lambda: out.copy_(adjacent()),
        "plain copy of adjacent rows, numpy (1 thread)": lambda: np.copyto(
            out.numpy(), adjacent().numpy()
        ),
        "plain copy within the processor's cache, PyTorch": lambda: copied.copy_(out),
        "torch.index_select": lambda: torch.index_select(
            tensor, 0, torch.from_numpy(rows()), out=out
        ),
        "numpy indexing (1 thread)": lambda: source[rows()],
        "numpy take (1 thread)": lambda: np.take(source, rows(), 0, out.numpy(), mode="clip"),
        "h5py row by row, float32": one_by_one,
    }, out.nbytes


@click.command()
@click.option("--rounds", default=21, show_default=True, help="How often each is timed.")
@click.option("--channels", default=512, show_default=True, help="D: 512 is ResNet-18's.")
@click.option("--folder", type=click.Path(file_okay=False), help="Where to put the file.")
def main(rounds: int, channels: int, folder: str | None) -> None:
    """Gathering feature rows: ours beside what can be had."""
    print(machine())
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / "features.h5"
        source = write_file(path, channels)
        with h5py.File(path, "r") as file:
            cases, n_bytes = gather_cases(path, source, file)
            title = f"{N_ROWS} rows of (196, {channels}) float16, {n_bytes / 1e6:.0f} MB"
            print_table(title, time_in_turns(cases, rounds), "ours", n_bytes)


if __name__ == "__main__":
    main()
