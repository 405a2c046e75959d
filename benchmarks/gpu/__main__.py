"""The product on a GPU, in under eight minutes, without a network.

    python -m benchmarks.gpu --out FOLDER

Parts run one after the other, each in a process of its own that may fail or be cut at its limit.
Results are in ``FOLDER/rows.jsonl`` as soon as they are known, in ``FOLDER/RESULTS.md`` after each
part. On a CPU (``--device cpu``) all of it runs small, as a test of itself.
"""

import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import click
import torch
from frostgrid.devices import describe_device, pick_device
from frostgrid.process import set_environment

from ..interleaved import machine
from .record import Bench, write_table

# In the order of what is known least, with the most seconds each may take.
PARTS = {"data": 60, "parity": 90, "epochs": 150, "peers": 70, "extraction": 90, "tests": 150}
ALL_SECONDS = 465.0
ON_CPU = 0.0003  # of the full size


@click.command()
@click.option("--out", "folder", type=click.Path(path_type=Path), required=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--fraction", type=float, help="Of VQA v2's size.  [default: 1; 0.0003 on a CPU]")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="These alone.")
@click.option("--here", is_flag=True, hidden=True, help="Run the part in this process.")
def main(
    folder: Path, device: str, fraction: float | None, parts: tuple[str, ...], here: bool
) -> None:
    """Measure the product on this machine's GPU, or test this program on a CPU."""
    where = pick_device(device)
    share = fraction or (1.0 if where.type == "cuda" else ON_CPU)
    if here:
        run_here(Bench(parts[0], folder, where, share, time.time()))
        return
    (folder / "work").mkdir(parents=True, exist_ok=True)
    about = f"{machine()}; {describe_device(where)}; {share:g} of VQA v2's and COCO's size"
    print(about, flush=True)
    end = time.monotonic() + ALL_SECONDS
    for part in parts or PARTS:
        # A CPU may be slow and busy; there nothing is measured.
        limit = min(PARTS[part], end - time.monotonic()) if where.type == "cuda" else 3600.0
        options = ["--out", str(folder), "--device", device, "--fraction", str(share)]
        command = [sys.executable, "-m", "benchmarks.gpu", "--part", part, "--here", *options]
        bench = Bench(part, folder, where, share, time.time())
        try:
            code = subprocess.run(command, check=False, timeout=max(1, limit)).returncode
            if code:
                bench.say(f"the part {part}", f"ended with code {code}")
        except subprocess.TimeoutExpired:
            bench.say(f"the part {part}", f"was cut after {limit:.0f} s")
        write_table(folder, about)
    shutil.rmtree(folder / "work")
    print(f"\n{write_table(folder, about)}")


def run_here(bench: Bench) -> None:
    """Run one part."""
    set_environment()
    torch.manual_seed(0)
    import_module(f".{bench.part}", __package__).run(bench)


if __name__ == "__main__":
    main()
