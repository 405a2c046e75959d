"""Training steps: ours beside those of the peers, in one run, and what a step's time goes into.

    python -m benchmarks.training [--head NAME ...] [--rounds N]

The peers (benchmarks/peers) train the same head with the same optimiser on as many questions a
batch: (a) *report style* runs the ResNet on decoded images in every step; (b) *tutorial style*
reads a row of an HDF5 file for every sample; (c) has the whole file *in RAM* as float16. Each
takes bfloat16 or float32, and as many loader processes, as are fastest for it here.

Beside wall-clock seconds stand processor seconds, of all threads and processes: they count no
waiting, so that other programs on the machine hardly move their ratio.
"""

import copy
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import torch
from frostgrid.devices import amp_dtype
from frostgrid.models.registry import HEADS
from frostgrid.train.batches import Batch
from frostgrid.train.caption_task import CaptionTask
from frostgrid.train.loop import Trainer
from frostgrid.train.order import shuffled
from frostgrid.train.prepare import build_head, fit_features
from frostgrid.train.recipes import RECIPES
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.task import Precision, Task
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .interleaved import machine
from .peers.heads import PlainMeanEmbed, PlainSAN, PlainShowAttendTell
from .peers.loading import FromHdf5, FromImages, FrozenResNet18, InRam, Texts, loader, make_jpegs
from .peers.training import Contender, from_ram, peer, peer_loss
from .vqa2_data import N_ANSWERS, N_CAPTION_WORDS, Size, make_captions, make_questions, open_split
from .vqa2_scale import TRAIN_SEED, make_task, new_config, write_split_files

PLAIN: dict[str, Any] = {
    "mean-embed": PlainMeanEmbed,
    "san": PlainSAN,
    "show-attend-tell": PlainShowAttendTell,
}
CAPTION_SEED = 5
DTYPE_NAME = {False: "float32", True: "bfloat16"}
PEAK_SIZE = 2048
REPORT_BATCH = 16  # of (a): a batch of 512 pictures takes minutes, and no less a picture
ROUND_SECONDS = 2.0  # that each contender is given a round, about
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


def processor_seconds() -> float:
    """Of this process and of those that it has started."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def run_steps(contender: Contender, steps: int) -> tuple[float, float, int]:
    """Wall and processor seconds, and texts, of some steps after a first one."""
    batches = contender.batches()
    contender.step(next(batches))
    start, used, n = time.perf_counter(), processor_seconds(), 0
    for _ in range(steps):
        batch = next(batches)
        contender.step(batch)
        n += contender.n_items(batch)
    return time.perf_counter() - start, processor_seconds() - used, n


def fastest(candidates: list[Contender]) -> Contender:
    """The one whose step takes the least time."""
    return min(candidates, key=lambda candidate: run_steps(candidate, 1)[0])


def measure(contenders: list[Contender], rounds: int) -> tuple[dict[str, Measured], Measured]:
    """All contenders in turns, and between them the machine's bfloat16 peak, a second a FLOP."""
    steps = {}
    for contender in contenders:
        seconds = run_steps(contender, 1)[0]
        steps[contender.name] = max(1, min(MAX_STEPS, round(ROUND_SECONDS / seconds)))
    found, peak = {contender.name: Measured() for contender in contenders}, Measured()
    for _ in range(rounds):
        for contender in contenders:
            wall, processor, n = run_steps(contender, steps[contender.name])
            found[contender.name].wall.append(wall / n)
            found[contender.name].processor.append(processor / n)
            wall, processor = time_products()
            peak.wall.append(wall)
            peak.processor.append(processor)
    return found, peak


def time_products(repeats: int = 3) -> tuple[float, float]:
    """Wall and processor seconds a FLOP of a large product of bfloat16 matrices."""
    a = torch.ones(PEAK_SIZE, PEAK_SIZE, dtype=torch.bfloat16)
    start, used = time.perf_counter(), processor_seconds()
    for _ in range(repeats):
        a @ a
    n = repeats * 2 * PEAK_SIZE**3
    return (time.perf_counter() - start) / n, (processor_seconds() - used) / n


def ours(task: Task, trainer: Trainer, batch_size: int) -> Contender:
    """The real batches, and the body of the real loop."""
    task.head.train()

    def batches() -> Iterator[Batch]:
        epoch = 1
        while True:
            order = shuffled(task.train.n_images, 0, epoch)
            yield from task.train.batches(order, batch_size, task.precision.device)
            epoch += 1

    def step(batch: Batch) -> None:
        trainer._backward(batch, 1)
        trainer._update()

    return Contender("ours", batches, step, len)


def caption_task(
    folder: Path, size: Size, precision: Precision, batch_size: int
) -> tuple[CaptionTask, Trainer]:
    """A captioning run on the made-up data."""
    config = new_config("show-attend-tell", 1, batch_size)
    parts = [
        (make_captions(n, seed), open_split(folder / f"{split}.h5", "grid"))
        for split, n, seed in (
            ("train", size.train_images, CAPTION_SEED),
            ("val", size.val_images, 6),
        )
    ]
    words = [str(i) for i in range(N_CAPTION_WORDS)]
    head: Any = build_head(config, words, [], parts[0][1].channels, precision)
    penalty = config.optimisation.attention_penalty
    task = CaptionTask(head, precision, words, parts[0], parts[1], penalty)
    fit_features(task)
    return task, Trainer(task, config, RunFolder(folder / "unused"))


def peers_of(
    head: str, task: Task, trainer: Trainer, texts: tuple[Any, ...], path: Path, with_images: bool
) -> list[Contender]:
    """The peers at their best settings."""
    o, kind = trainer.o, HEADS[head].features

    def both(name: str, batches: Callable[[], Iterator[Any]], network: Any = None) -> Contender:
        new = [PLAIN[head](copy.deepcopy(task.head)) for _ in range(2)]
        return fastest(
            [
                peer(
                    f"{name}, {'bfloat16' if half else 'float32'}",
                    new[half],
                    batches,
                    o,
                    half,
                    network,
                )
                for half in (False, True)
            ]
        )

    array = InRam(torch.from_numpy(np.array(task.train.features.sources[0])), Texts(*texts))  # type: ignore[union-attr]
    in_ram = both("(c) in RAM", lambda: from_ram(array, o.batch_size))
    best = in_ram.name.endswith("bfloat16")

    def tutorial(stored: str, workers: int, half: bool = best) -> Contender:
        name = f"(b) tutorial style, {stored} rows, {workers} workers, {DTYPE_NAME[half]}"
        rows, new = FromHdf5(path, stored, *texts), PLAIN[head](copy.deepcopy(task.head))
        pool = Pool() if stored != kind else None
        batches = partial(loader, rows, o.batch_size, workers)
        return peer(name, new, lambda: iter(batches()), o, half, pool)

    # Most files elsewhere hold grids alone, which heads of pooled features then pool every time.
    found = [
        fastest([tutorial(stored, workers) for workers in (0, 1, 2)])
        for stored in dict.fromkeys(("grid", kind))
    ]
    found.append(in_ram)
    if best:  # and as the tutorials have it
        found.append(tutorial("grid", 0, half=False))
    if with_images:
        images = FromImages(make_jpegs(32), 448, *texts)
        batches = lambda: iter(loader(images, REPORT_BATCH, 0))  # noqa: E731
        network: nn.Module = FrozenResNet18()
        if kind == "pooled":
            network = nn.Sequential(network, Pool())
        found.insert(0, both("(a) report style", batches, network))
    return found


class Pool(nn.Module):
    """The mean of the cells."""

    def forward(self, cells: Tensor) -> Tensor:
        return cells.mean(1)


def check_same_loss(head: str, task: Task, trainer: Trainer) -> str:
    """Our loss and the peers' on one batch, in float32 and without dropout, from equal weights."""
    order = shuffled(task.train.n_images, 0, 1)
    batch = next(task.train.batches(order, 64, torch.device("cpu")))
    plain = PLAIN[head](copy.deepcopy(task.head)).eval()
    task.head.eval()
    target = torch.zeros(len(batch), N_ANSWERS)
    if len(batch.target) == 3:
        target[batch.target[0], batch.target[1]] = batch.target[2]
    assert batch.features is not None
    features = batch.features.floats()[batch.image_index]
    with torch.inference_mode():
        our = float(task.loss(batch))
        sample = (features, batch.tokens, batch.length, target)
        their = float(peer_loss(plain, sample, trainer.o.attention_penalty))
    if abs(our - their) > 1e-3 * abs(their):
        raise click.ClickException(f"{head}: our loss is {our}, the peers' {their}; not one head.")
    return f"one batch, equal weights, float32: our loss {our:.5f}, the peers' {their:.5f}"


def count_flops(task: Task, trainer: Trainer, batch_size: int) -> float:
    """FLOPs of the matrix products of a step, a text, forward and backward."""
    contender = ours(task, trainer, batch_size)
    batch = next(contender.batches())
    # Fused LSTMs are one operation to the counter; without oneDNN they are products.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about TF32 on other makers' GPUs
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            trainer._backward(batch, 1)
    trainer.optimizer.zero_grad(set_to_none=True)
    return counter.get_total_flops() / len(batch)


def print_profile(contender: Contender, steps: int = 4, top: int = 10) -> None:
    """Where the processor time of a step goes, by operation."""
    batches = contender.batches()
    contender.step(next(batches))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(steps):
            contender.step(next(batches))
    events = sorted(profile.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(e.self_cpu_time_total for e in events)
    shares = [f"{e.key} {100 * e.self_cpu_time_total / total:.0f} %" for e in events[:top]]
    print(f"\nOur step, by operation: {', '.join(shares)}.")


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


def compare(
    head: str, folder: Path, fraction: float, rounds: int, with_images: bool, batch_size: int | None
) -> None:
    """Measure one head and print what was found."""
    batch_size = batch_size or RECIPES["default"][head].optimisation.batch_size
    size = Size.of(fraction)
    precision = Precision(torch.device("cpu"), amp_dtype(torch.device("cpu")))
    is_vqa = HEADS[head].task == "vqa"
    if is_vqa:
        config = new_config(head, 1, batch_size)
        task: Task = make_task(config, folder, size, precision)
        trainer = Trainer(task, config, RunFolder(folder / "unused"))
        data: Any = make_questions(size.train_images, size.train_questions, TRAIN_SEED)
    else:
        task, trainer = caption_task(folder, size, precision, batch_size)
        data = make_captions(size.train_images, CAPTION_SEED)
    targets = data.targets if is_vqa else None
    texts = (data.image_id, data.tokens, data.length, targets, N_ANSWERS if is_vqa else 1)
    print(f"\n## {head}: batches of {batch_size}\n\n{check_same_loss(head, task, trainer)}")
    contenders = [ours(task, trainer, batch_size)]
    flops = count_flops(task, trainer, batch_size)
    contenders += peers_of(head, task, trainer, texts, folder / "train.h5", with_images and is_vqa)
    found, peak = measure(contenders, rounds)
    print_results(found, peak, flops, task.item_name, rounds)
    print_profile(contenders[0])


@click.command()
@click.option("--head", "heads", multiple=True, type=click.Choice(list(PLAIN)), default=list(PLAIN))
@click.option("--rounds", default=3, show_default=True)
@click.option("--fraction", default=0.01, show_default=True, help="Of VQA v2's size.")
@click.option("--images/--no-images", "with_images", default=True, help="Time (a) too.")
@click.option("--batch-size", type=int, help="Texts.  [default: the recipe's]")
def main(
    heads: tuple[str, ...], rounds: int, fraction: float, with_images: bool, batch_size: int | None
) -> None:
    """Questions and captions a second: ours beside three peers."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_split_files(folder, Size.of(fraction), 512, with_grid=True)
        for head in heads:
            compare(head, folder, fraction, rounds, with_images, batch_size)


if __name__ == "__main__":
    main()
