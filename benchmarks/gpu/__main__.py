"""The product on a GPU, in under eight minutes, without a network.

    python -m benchmarks.gpu --out FOLDER

Parts run one after the other, each in a process of its own that may fail or be cut at its limit.
Results are in ``FOLDER/rows.jsonl`` as soon as they are known, in ``FOLDER/RESULTS.md`` after each
part. On a CPU (``--device cpu``) all of it runs small, as a test of itself.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import click
import torch
from frostgrid.devices import describe_device, pick_device
from frostgrid.process import set_environment

from ..interleaved import machine
from .record import Bench, write_table

# In the order of what is known least, with the most seconds each may take; those side by side run
# at once, as nothing is timed in them. The whole suite has a part of its own, to be asked for.
TOGETHER: list[dict[str, float]] = [
    {"data": 90, "tests": 90},
    {"parity": 100},
    {"epochs": 165},
    {"peers": 55},
    {"extraction": 60},
]
ALONE: dict[str, float] = {"suite": 400}
LIMITS = {part: limit for group in (*TOGETHER, ALONE) for part, limit in group.items()}
ALL_SECONDS = 470.0
ON_CPU = 0.0003  # of the full size
ROOM = 60e9  # bytes, for features of the full size and what extraction writes


@click.command()
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="Where results go.  [default: nowhere]"
)
@click.option("--device", default="auto", show_default=True)
@click.option("--fraction", type=float, help="Of VQA v2's size.  [default: 1; 0.0003 on a CPU]")
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(list(LIMITS)), help="These alone."
)
@click.option("--work", type=click.Path(path_type=Path), hidden=True, help="Of a part's process.")
def main(
    folder: Path | None,
    device: str,
    fraction: float | None,
    parts: tuple[str, ...],
    work: Path | None,
) -> None:
    """Measure the product on this machine's GPU, or test this program on a CPU."""
    where = pick_device(device)
    share = fraction or (1.0 if where.type == "cuda" else ON_CPU)
    if work is not None and folder is not None:
        run_here(Bench(parts[0], folder, work, where, share, time.time()))
        return
    about = f"{machine()}; {describe_device(where)}; {share:g} of VQA v2's and COCO's size"
    print(about, flush=True)
    end = time.monotonic() + ALL_SECONDS
    with tempfile.TemporaryDirectory(dir=memory_folder(), prefix="frostgrid-gpu-") as temporary:
        folder = folder or Path(temporary) / "results"
        folder.mkdir(parents=True, exist_ok=True)
        for group in groups_of(parts):
            benches = [
                Bench(part, folder, Path(temporary), where, share, time.time()) for part in group
            ]
            running = [start(bench) for bench in benches]
            for bench, process in zip(benches, running, strict=True):
                # A CPU may be slow and busy; there nothing is measured.
                left = end - time.monotonic() if bench.is_gpu else 3600.0
                wait_for(bench, process, min(LIMITS[bench.part], left) if bench.is_gpu else left)
            table = write_table(folder, about)
    print(f"\n{table}")


def groups_of(parts: tuple[str, ...]) -> list[list[str]]:
    """All parts, or those asked for, with the data that they need."""
    if not parts:
        return [list(group) for group in TOGETHER]
    needed = ["data"] if {"epochs", "peers"} & {*parts} else []
    return [[part] for part in dict.fromkeys((*needed, *parts))]


def memory_folder() -> str | None:
    """Where files live in memory, if there is room; a disk might be what is measured."""
    shared = Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).free > ROOM:
        return str(shared)
    return None


def start(bench: Bench) -> subprocess.Popen[bytes]:
    """A part in a process of its own."""
    options = ["--out", str(bench.folder), "--device", str(bench.device)]
    options += ["--fraction", str(bench.fraction), "--part", bench.part, "--work", str(bench.work)]
    return subprocess.Popen([sys.executable, "-m", "benchmarks.gpu", *options])


def wait_for(bench: Bench, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a part ends, or cut it."""
    try:
        if code := process.wait(max(1, seconds)):
            bench.say(f"the part {bench.part}", f"ended with code {code}")
    except subprocess.TimeoutExpired:
        process.kill()
        bench.say(f"the part {bench.part}", f"was cut after {seconds:.0f} s")


def run_here(bench: Bench) -> None:
    """Run one part."""
    set_environment()
    torch.manual_seed(0)
    import_module(f".{bench.part}", __package__).run(bench)
    # Loaders that were left in the middle would keep the process.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
