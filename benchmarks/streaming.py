"""Features larger than memory: orders and read-ahead, under a memory limit set for the test.

    python -m benchmarks.streaming [--limit-gb G] [--fraction F] [--head NAME]

Every variant trains an epoch in a process of its own, in a control group whose memory, page cache
included, is limited; the file begins outside the page cache. Needs root on Linux.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
import psutil
import torch
from frostgrid.devices import amp_dtype
from frostgrid.train.memory import available_bytes
from frostgrid.train.tasks.task import Precision

from .interleaved import machine
from .vqa2_data import Size
from .vqa2_scale import make_task, new_config, train_epochs, write_split_files

VARIANTS = {
    "within memory: no limit, warm, shuffled as a whole": ("full", False),
    "shuffled as a whole, no read-ahead": ("full", False),
    "shuffled as a whole, read ahead": ("full", True),
    "shuffled in blocks, read ahead (chosen automatically)": ("local", True),
}


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """A control group with a memory limit, version 1 or 2."""
    root = Path("/sys/fs/cgroup")
    old = (root / "memory").is_dir()
    group = root / ("memory" if old else "") / f"frostgrid-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(limit))
    except OSError as error:
        raise click.ClickException(f"no memory limit can be set here: {error}") from error
    try:
        yield group
    finally:
        group.rmdir()


def forget_file(path: Path) -> None:
    """Put a file out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def epoch(folder: Path, head: str, fraction: float, order: str, streamed: bool) -> dict[str, float]:
    """Train an epoch, in this process."""
    config = replace(new_config(head, 1), order=order)
    precision = Precision(torch.device("cpu"), amp_dtype(torch.device("cpu")))
    task = make_task(config, folder, Size.of(fraction), precision)
    for part in (task.train, task.val):
        assert part.features is not None
        part.features.streamed = streamed
    with tempfile.TemporaryDirectory() as run:
        metrics = train_epochs(task, config, Path(run))[-1]
    anonymous = psutil.Process().memory_full_info().uss
    return {**metrics, "available": available_bytes(), "uss": anonymous}


def run_limited(arguments: list[str], group: Path | None) -> dict[str, float]:
    """Run this file as a child, in the group if one is given."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.streaming", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if group is not None:
        (group / "cgroup.procs").write_text(str(child.pid))
    out, _ = child.communicate("go\n")
    if child.returncode:
        raise click.ClickException(f"the child failed with {child.returncode}")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


@click.command()
@click.option("--limit-gb", default=2.5, show_default=True, help="Memory, page cache included.")
@click.option("--fraction", default=0.25, show_default=True, help="Of VQA v2's size.")
@click.option("--head", default="lstm", show_default=True, help="That reads grids.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the features are written.")
@click.option("--child", nargs=3, hidden=True)
def main(
    limit_gb: float, fraction: float, head: str, folder: Path | None, child: tuple[str, ...] | None
) -> None:
    """Time an epoch that memory cannot keep."""
    if child is not None:
        sys.stdin.readline()  # nothing is touched before the parent has set the limit
        where, order, streamed = child
        print(json.dumps(epoch(Path(where), head, fraction, order, streamed == "True")))
        return
    print(machine())
    size = Size.of(fraction)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary)
        write_split_files(path, size, 512, with_grid=True)
        n_bytes = sum((path / f"{split}.h5").stat().st_size for split in ("train", "val"))
        print(f"\n{head}, {n_bytes / 1e9:.1f} GB of features, limit {limit_gb} GB\n")
        print("| | questions/s | waiting for data | epoch s | peak resident GB |\n|" + "---|" * 5)
        with memory_group(int(limit_gb * 1e9)) as group:
            for number, (name, (order, streamed)) in enumerate(VARIANTS.items()):
                arguments = ["--head", head, "--fraction", str(fraction), "--child", str(path)]
                if number:
                    for split in ("train", "val"):
                        forget_file(path / f"{split}.h5")
                m = run_limited([*arguments, order, str(streamed)], group if number else None)
                wait = 100 * m["wait_seconds"] / m["train_seconds"]
                total = m["train_seconds"] + m["val_seconds"]
                print(
                    f"| {name} | {m['items_per_second']:,.0f} | {wait:.1f} % | {total:.0f} "
                    f"| {m['peak_memory_bytes'] / 1e9:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
