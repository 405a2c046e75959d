"""Kernels against float64, and captured steps against plain ones: are they right?"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from frostgrid.devices import use_exact_float32
from frostgrid.models.kernels.choice import has_cuda_lstm, kernels
from frostgrid.models.layers.additive_attention import additive_scores, attend
from frostgrid.models.layers.attention_timing import (
    forward_and_backward,
    make_case,
    measure,
    settle_attention,
)
from frostgrid.models.layers.recurrent import lstm_step
from frostgrid.models.registry import HEADS
from frostgrid.train.steps.captured import CapturedStep, Recorder
from frostgrid.train.steps.choice import KeptState, without_chance
from torch import Tensor

from .data import make_task, plain_step, precision_of, small
from .record import Bench

SHAPES = [(48, 196, 512, 270), (1, 1, 1, 1), (5, 7, 130, 64), (32, 196, 2048, 64)]
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
UPDATES = {"cuda": 20, "cpu": 3}
HALF = ["san", "show-attend-tell"]  # that are compared in half precision too


def run(bench: Bench) -> None:
    """All comparisons."""
    with bench.attempt("attention against float64"):
        attention(bench)
    with bench.attempt("attention's speed"):
        attention_speed(bench)
    with bench.attempt("LSTM step"):
        lstm(bench)
    use_exact_float32()
    for half, names in ((False, [*HEADS]), (True, HALF)):
        for name in names:
            with bench.attempt(f"captured {name}"):
                captured(bench, name, half)


def attention(bench: Bench) -> None:
    """The largest relative error of scores, sums and gradients, by number format and form."""
    forms: tuple[Any, ...] = (None,)
    if bench.is_gpu:
        from frostgrid.models.kernels import cuda

        forms = (False, True)
    for dtype in DTYPES:
        for form in forms:
            if form is not None:
                cuda.BY_IMAGE = form
            worst = max(error_of(shape, dtype, bench.device) for shape in SHAPES)
            way = {None: "", False: ", by query", True: ", by image"}[form]
            bench.say(f"attention against float64, {str(dtype)[6:]}{way}", f"{worst:.1e}")


def error_of(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> float:
    """The largest relative error of attention, forward and backward, on a shape (U, S, K, B)."""
    n_images, n_cells, width, n = shape
    g = torch.Generator(device).manual_seed(0)
    make = partial(torch.randn, device=device, generator=g)
    case = [make(n_images, n_cells, width).to(dtype), make(n, width), make(width), make(n, n_cells)]
    index = torch.randint(n_images, (n,), device=device, generator=g).sort().values
    ours = both_ways([part.requires_grad_() for part in case], index)
    with kernels("plain"):
        exact = both_ways([part.detach().double().requires_grad_() for part in case], index)
    return max(
        float((a.detach().double() - b.detach()).norm() / b.detach().norm().clamp_min(1e-30))
        for a, b in zip(ours, exact, strict=True)
    )


def both_ways(case: list[Tensor], index: Tensor) -> tuple[Tensor, ...]:
    """Scores, sums, and the gradients of a curved function of them."""
    cells, query, weight, alpha = case
    scores, sums = additive_scores(cells, query, weight, index), attend(cells, alpha, index)
    total = scores.square().sum() + sums.square().sum()
    return scores, sums, *torch.autograd.grad(total, case)


def attention_speed(bench: Bench) -> None:
    """Ours, eager and compiled, 512 questions, forward and backward."""
    dtype = torch.bfloat16
    if bench.is_gpu:
        with kernels("auto"):  # what is chosen is for this part alone
            bench.say(
                "attention, 512 questions, bfloat16", settle_attention(bench.device, dtype, 5)
            )
    case = make_case(bench.device, dtype, 5)
    plain = torch.compile(plain_attention) if bench.is_gpu else plain_attention
    for name, function in (("eager bfloat16", plain_attention), ("torch.compile", plain)):
        seconds = measure(partial(step_of, function, *case), bench.device)
        bench.say(f"attention, 512 questions, {name}", f"{1e3 * seconds:.3f} ms")
    seconds = measure(partial(forward_and_backward, *case), bench.device)
    bench.say("attention, 512 questions, ours as it is", f"{1e3 * seconds:.3f} ms")


def plain_attention(
    cells: Tensor, query: Tensor, weight: Tensor, alpha: Tensor, index: Tensor
) -> Tensor:
    """As one writes it: a copy of the cells for every question."""
    mine = cells[index]
    scores = torch.tanh(mine + query[:, None].to(mine.dtype)) @ weight.to(mine.dtype)
    return scores.sum() + (alpha[:, None].to(mine.dtype) @ mine).sum()


def step_of(function: Callable[..., Tensor], *case: Tensor) -> None:
    """Forward and backward."""
    torch.autograd.grad(function(*case), case[:4])


def lstm(bench: Bench) -> None:
    """Whether the library's fused step is used, and how far it is from the plain one."""
    gates = torch.randn(100, 2048, device=bench.device, requires_grad=True)
    cell = torch.randn(100, 512, device=bench.device, requires_grad=True)
    found = []
    for mode in ("auto", "plain"):
        with kernels(mode):  # type: ignore[arg-type]
            out = lstm_step(gates, cell)
            found.append(
                (*out, *torch.autograd.grad(sum(x.square().sum() for x in out), (gates, cell)))
            )
    worst = max(float((a - b).detach().abs().max()) for a, b in zip(*found, strict=True))
    used = "the library's" if bench.is_gpu and has_cuda_lstm() else "not the library's"
    bench.say("LSTM step", f"{used}; largest difference from the plain one {worst:.1e}")


def captured(bench: Bench, name: str, half: bool) -> None:
    """Losses of some updates by graphs and by the plain step."""
    folder, size = small(bench, min(bench.fraction, 0.004))
    said: list[str] = []
    task, config = make_task(name, folder, size, precision_of(bench, half), {})
    plain = plain_step(task, config)
    recorder = Recorder(bench.device) if bench.is_gpu else None
    samples = task.place_samples(plain.o.batch_size)
    step = CapturedStep(plain, samples, said.append, recorder)
    n = UPDATES[bench.device.type]
    worst = largest_gap(plain, step, n)
    bench.say(
        f"captured {name}, {'half' if half else 'float32'}",
        f"losses within {worst:.1e} over {n} updates; {len(step.graphs)} graphs of "
        f"{len(step.seen)} shapes{''.join(f'; {text}' for text in said)}",
    )


def largest_gap(plain: Any, step: CapturedStep, n: int) -> float:
    """The largest relative difference of a loss in ``n`` updates."""
    kept, found = KeptState(plain), []
    order = torch.randperm(plain.task.train.n_groups).numpy()
    with without_chance(plain.task.head):
        plain.task.head.train()
        for way in (plain, step):
            losses: list[float] = []
            while len(losses) < n:
                for batch in way.batches(order, 0):
                    loss = way.backward(batch, 1, last=True)
                    way.update(1e-3)
                    losses.append(float(loss))
            found.append(losses[:n])
            kept.restore()
    return max(abs(a - b) / abs(a) for a, b in zip(*found, strict=True))
