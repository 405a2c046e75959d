"""Peers on the same GPU and the same file: rows through h5py, and everything on the device."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from frostgrid.models.registry import HEADS
from frostgrid.train.steps.choice import choose_step
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from ..contenders import PLAIN
from ..peers.loading import FromHdf5
from ..peers.training import peer_loss, plain_optimizer
from ..vqa2_data import N_ANSWERS, Size
from .data import make_task, plain_step, precision_of
from .epochs import endless
from .record import Bench

STEPS, WORKERS = 30, 14


def run(bench: Bench) -> None:
    """Both VQA peers of each head, beside ours."""
    for name in ("mean-embed", "san"):
        with bench.attempt(f"peers of {name}"):
            compare_head(bench, name)


def compare_head(bench: Bench, name: str) -> None:
    """Questions a second of ours and of each peer."""
    task, config = make_task(name, bench.work, Size.of(bench.fraction), precision_of(bench), {})
    plain = plain_step(task, config)
    first = copy.deepcopy(task.head)
    step = choose_step("captured", plain, lambda text: None)
    batches = endless(step)

    def ours() -> int:
        batch = next(batches)
        step.backward(batch, 1, last=True)
        step.update(1e-4)
        return len(batch)

    rate = time_texts(bench, ours, STEPS)
    bench.say(f"{name}: ours", f"{rate:,.0f} questions/s")

    def against(what: str, take: Callable[[], int], steps: int) -> None:
        with bench.attempt(f"{name}: {what}"):
            theirs = time_texts(bench, take, steps)
            bench.say(f"{name}: {what}", f"{theirs:,.0f} questions/s; ours {rate / theirs:.1f}x")

    for compiled in (False, True):
        head: Any = PLAIN[name](copy.deepcopy(first)).to(bench.device).train()
        if compiled and bench.is_gpu:
            head = torch.compile(head)
        way = "compiled" if compiled else "eager"
        take = peer_step(bench, head, task, plain.o, resident_samples(task, plain.o.batch_size))
        against(f"all on the device, question-major, {way}", take, STEPS)
    for stored in dict.fromkeys(("grid", HEADS[name].features)):
        head = PLAIN[name](copy.deepcopy(first)).to(bench.device).train()
        loader = rows_by_h5py(bench, task, stored, HEADS[name].features, plain.o.batch_size)
        take = peer_step(bench, head, task, plain.o, loader)
        against(f"{stored} rows by h5py, {WORKERS} workers", take, 12)


def peer_step(bench: Bench, head: Any, task: Any, o: Any, samples: Iterator[Any]) -> Any:
    """A peer's step on its next batch; how many questions it has."""
    optimizer = plain_optimizer(head, o)
    amp = task.precision.amp

    def take() -> int:
        sample = next(samples)
        with torch.autocast(bench.device.type, amp) if amp else nullcontext():
            loss = peer_loss(head, sample, o.attention_penalty)
        loss.backward()
        if o.clip:
            nn.utils.clip_grad_norm_(head.parameters(), o.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return len(sample[1])

    return take


def resident_samples(task: Any, batch_size: int) -> Iterator[tuple[Tensor, ...]]:
    """Batches in an order of the questions, from tensors that are all on the device."""
    samples = task.place_samples(batch_size)
    device = samples.device
    data = task.train_data
    row = torch.from_numpy(task.train.features.rows(data.image_id))
    row = torch.from_numpy(task.train.features.resident_row)[row].to(device)
    while True:
        order = torch.randperm(len(row), device=device)
        for item in torch.split(order, batch_size):
            target, weight = samples.targets(item, torch.ones_like(item, dtype=torch.bool))
            dense = torch.zeros(len(item), N_ANSWERS, device=device).scatter_add_(1, target, weight)
            features = task.train.features.take(row[item]).values
            yield features, samples.tokens[item].long(), samples.length[item].long(), dense


def rows_by_h5py(
    bench: Bench, task: Any, stored: str, read: str, batch_size: int
) -> Iterator[tuple[Tensor, ...]]:
    """Batches of PyTorch's own loader, a row of the file for every question."""
    data = task.train_data
    texts = (data.image_id, data.tokens, data.length, data.targets, N_ANSWERS)
    rows = FromHdf5(bench.work / "train.h5", stored, *texts)
    workers = WORKERS if bench.is_gpu else 0
    loader = DataLoader(
        rows,
        batch_size,
        sampler=RandomSampler(rows, num_samples=400 * batch_size),
        num_workers=workers,
        pin_memory=bench.is_gpu,
        multiprocessing_context="fork" if workers else None,
    )
    for features, *rest in loader:
        moved = [part.to(bench.device, non_blocking=True) for part in (features, *rest)]
        yield moved[0].mean(1) if stored != read else moved[0], *moved[1:]


def time_texts(bench: Bench, take: Callable[[], int], steps: int) -> float:
    """Texts a second, the median of three rounds."""
    steps = steps if bench.is_gpu else 1
    for _ in range(steps):
        take()
    rates = []
    for _ in range(3):
        bench.wait()
        start = time.perf_counter()
        n = sum(take() for _ in range(steps))
        bench.wait()
        rates.append(n / (time.perf_counter() - start))
    return statistics.median(rates)
