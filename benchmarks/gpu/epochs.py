"""An epoch of every head at full size, and what a step's time goes into."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from frostgrid.models.registry import HEADS
from frostgrid.process import keep_freed_memory
from frostgrid.train.data.order import shuffled
from frostgrid.train.memory import peak_memory_bytes
from frostgrid.train.steps.choice import Step, choose_step

from ..vqa2_data import Size
from .data import make_task, plain_step, precision_of
from .record import Bench

STEPS, PROFILED = 30, 5


def run(bench: Bench) -> None:
    """All heads, those of small features first."""
    keep_freed_memory()
    names = sorted(HEADS, key=lambda name: HEADS[name].features == "grid")
    for name in names:
        with bench.attempt(name):
            one_head(bench, name)


def one_head(bench: Bench, name: str) -> None:
    """Seconds of an epoch and of its validation; milliseconds of a step, captured and plain."""
    if bench.is_gpu:
        torch.cuda.reset_peak_memory_stats(bench.device)
    task, config = make_task(name, bench.work, Size.of(bench.fraction), precision_of(bench), {})
    plain, said = plain_step(task, config), [""]
    plainly = time_steps(bench, plain, plain.o.batch_size)
    step = choose_step("captured", plain, said.append)
    placed = time.perf_counter()
    n = train_epoch(step, plain.o.lr)
    bench.wait()
    seconds = time.perf_counter() - placed
    start = time.perf_counter()
    task.head.eval()
    task.evaluate()
    bench.wait()
    validation = time.perf_counter() - start
    captured = time_steps(bench, step, plain.o.batch_size)
    peak = peak_memory_bytes(bench.device) / 1e9
    shapes = len(getattr(step, "seen", ()))
    bench.say(
        f"{name}: an epoch",
        f"{seconds:.2f} + {validation:.2f} s, {n / seconds:,.0f} {task.item_name}/s, peak "
        f"{peak:.1f} GB, {shapes} shapes; {said[-1]}",
    )
    bench.say(f"{name}: a step of {plain.o.batch_size}", f"{captured}; plain: {plainly}")


def train_epoch(step: Step, rate: float) -> int:
    """One pass over the training samples; how many they were."""
    train = step.task.train
    step.task.head.train()
    total = torch.zeros((), dtype=torch.float64, device=step.task.precision.device)
    n = 0
    for batch in step.batches(shuffled(train.n_groups, 0, 1), 0):
        loss = step.backward(batch, 1, last=True)
        step.update(rate)
        total += loss
        n += len(batch)
    float(total)
    return n


def endless(step: Step) -> Iterator[Any]:
    """Batches of one epoch after the other."""
    epoch = 2
    while True:
        yield from step.batches(shuffled(step.task.train.n_groups, 0, epoch), 0)
        epoch += 1


def time_steps(bench: Bench, step: Step, batch_size: int) -> str:
    """Milliseconds of a step, how long the GPU works in it, and its largest kernels."""
    step.task.head.train()
    batches = endless(step)

    def one() -> None:
        step.backward(next(batches), 1, last=True)
        step.update(1e-4)

    n = STEPS if bench.is_gpu else 2
    for _ in range(n):
        one()
    seconds = []
    for _ in range(3):
        bench.wait()
        start = time.perf_counter()
        for _ in range(n):
            one()
        bench.wait()
        seconds.append((time.perf_counter() - start) / n)
    milliseconds = 1e3 * statistics.median(seconds)
    busy = profile(bench, one, milliseconds) if bench.is_gpu else ""
    batches.close()  # type: ignore[attr-defined]
    return f"{milliseconds:.2f} ms{busy}"


def profile(bench: Bench, one: Any, milliseconds: float) -> str:
    """What the GPU does in a step."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        for _ in range(PROFILED):
            one()
        bench.wait()
    events = [e for e in found.key_averages() if str(e.device_type).endswith("CUDA")]
    events = [e for e in events if "#" not in e.key]  # marks of the optimiser, which are no kernels
    busy = sum(e.self_device_time_total for e in events) / PROFILED / 1e3
    count = sum(e.count for e in events) / PROFILED
    top = sorted(events, key=lambda e: -e.self_device_time_total)[:4]
    names = ", ".join(
        f"{e.key[:40]} {e.self_device_time_total / PROFILED / 1e3:.3f} x{e.count / PROFILED:.0f}"
        for e in top
    )
    share = 100 * busy / milliseconds
    return f", GPU busy {busy:.2f} ms ({share:.0f} %) in {count:.0f} kernels ({names})"
