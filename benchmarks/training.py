"""Training steps: ours beside those of the peers, in one run, and what a step's time goes into.

    python -m benchmarks.training [--head NAME ...] [--rounds N] [--tuned-peers]

The peers (benchmarks/peers) train the same head with the same optimiser on as many questions a
batch: (a) *report style* runs the ResNet on decoded images in every step; (b) *tutorial style*
reads a row of an HDF5 file for every sample; (c) has the whole file *in RAM* as float16. (b) and
(c) compute in float32, as tutorials do, and once more in bfloat16; (a) as is faster. Loader
processes are as many as are fastest.

Ours runs in a process set up as ``train-head`` sets it up, the peers in one as Python starts it or,
with ``--tuned-peers``, in one that is set up as ours is. Beside wall-clock seconds stand processor
seconds, of all threads and processes: they count no waiting, so that other programs on the machine
hardly move their ratio.
"""

import os
import statistics
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import click
from frostgrid.process import set_environment
from frostgrid.train.settings.recipes import RECIPES

from .contenders import PLAIN, Case, Ours, Peers
from .interleaved import machine
from .turns import PEAK_SIZE, Elsewhere
from .vqa2_data import Size
from .vqa2_scale import write_split_files

ROUND_SECONDS = 3.0  # that each contender is given a round, about
MAX_STEPS = 16


@dataclass
class Measured:
    """Seconds a text of one contender, a number a round."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def rate(self) -> str:
        """Texts a second: the median and the quartiles."""
        rates = [1 / seconds for seconds in self.wall]
        low, median, high = statistics.quantiles(rates, n=4, method="inclusive")
        return f"{median:,.0f} ({low:,.0f}–{high:,.0f})"


def measure(ours: Elsewhere, peers: Elsewhere, rounds: int) -> tuple[dict[str, Measured], Measured]:
    """All contenders in turns, and between them the machine's bfloat16 peak, a second a FLOP."""
    sides = {name: side for side in (ours, peers) for name in side.ask("names")}
    steps = {}
    for name, side in sides.items():
        seconds = side.ask("run", name, 1)[0]
        steps[name] = max(1, min(MAX_STEPS, round(ROUND_SECONDS / seconds)))
    found, peak = {name: Measured() for name in sides}, Measured()
    for _ in range(rounds):
        for name, side in sides.items():
            wall, processor, n = side.ask("run", name, steps[name])
            found[name].wall.append(wall / n)
            found[name].processor.append(processor / n)
            wall, processor = ours.ask("peak")
            peak.wall.append(wall)
            peak.processor.append(processor)
    return found, peak


def print_results(
    found: dict[str, Measured], peak: Measured, flops: float, what: str, rounds: int
) -> None:
    """A Markdown table; ratios are of medians."""
    our = found["ours"]
    print(f"\n| | {what}/s (quartiles) | processor ms each | ours faster by | by processor time |")
    print("|---|---|---|---|---|")
    for name, m in found.items():
        wall = statistics.median(m.wall) / statistics.median(our.wall)
        processor = statistics.median(m.processor) / statistics.median(our.processor)
        each = 1e3 * statistics.median(m.processor)
        print(f"| {name} | {m.rate()} | {each:.2f} | {wall:.1f} | {processor:.1f} |")
    floor = flops * statistics.median(peak.wall)
    floor_processor = flops * statistics.median(peak.processor)
    print(
        f"| roofline: {flops / 1e6:.1f} MFLOP at {1e-9 / statistics.median(peak.wall):.0f} GFLOP/s "
        f"| {1 / floor:,.0f} | {1e3 * floor_processor:.2f} "
        f"| {floor / statistics.median(our.wall):.2f} "
        f"| {floor_processor / statistics.median(our.processor):.2f} |"
    )
    print(f"\nn = {rounds} rounds, in turns; the peak is bfloat16's, of {PEAK_SIZE}² matrices.")


def compare(case: Case, rounds: int, tuned_peers: bool) -> None:
    """Measure one head and print what was found."""
    set_up = dict(os.environ)
    if not tuned_peers:
        os.environ.pop("GOMP_SPINCOUNT", None)
        os.environ.pop("ONEDNN_PRIMITIVE_CACHE_CAPACITY", None)
    with closing(Elsewhere(Peers, case, tuned_peers)) as peers:
        os.environ.update(set_up)
        with closing(Elsewhere(Ours, case)) as ours:
            same = ours.ask("check_same_loss")
            print(f"\n## {case.head}: batches of {case.batch_size}\n\n{same}")
            found, peak = measure(ours, peers, rounds)
            what = "questions" if case.is_vqa else "captions"
            print_results(found, peak, ours.ask("flops"), what, rounds)
            print(f"\n{ours.ask('profile')}", flush=True)


@click.command()
@click.option("--head", "heads", multiple=True, type=click.Choice(list(PLAIN)), default=list(PLAIN))
@click.option("--rounds", type=click.IntRange(min=2), default=3, show_default=True)
@click.option("--fraction", default=0.01, show_default=True, help="Of VQA v2's size.")
@click.option("--images/--no-images", "with_images", default=True, help="Time (a) too.")
@click.option("--batch-size", type=int, help="Texts.  [default: the recipe's]")
@click.option("--tuned-peers", is_flag=True, help="Set the peers' process up as ours.")
def main(
    heads: tuple[str, ...],
    rounds: int,
    fraction: float,
    with_images: bool,
    batch_size: int | None,
    tuned_peers: bool,
) -> None:
    """Questions and captions a second: ours beside three peers."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    set_environment()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder, size = Path(temporary), Size.of(fraction)
        write_split_files(folder, size, 512, with_grid=True)
        for head in heads:
            batch = batch_size or RECIPES["default"][head].optimisation.batch_size
            compare(Case(head, folder, size, batch, with_images), rounds, tuned_peers)


if __name__ == "__main__":
    main()
