"""Which form of additive attention is the fastest on this GPU, measured in a moment.

There are ours with a program for a query, ours with a program for an image and all its queries, and
PyTorch's own operations. None of ours is used that loses to PyTorch's.
"""

import math
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..kernels.choice import kernels, set_kernels
from ..kernels.graphs import capture
from .additive_attention import additive_scores, attend
from .padding import padded

CALLS, ROUNDS = 5, 7
FORMS = {"query": "ours, by query", "image": "ours, by image", "plain": "PyTorch's"}


def settle_attention(device: torch.device, dtype: torch.dtype, per_image: int) -> str:
    """Use the fastest form from now on, for so many queries an image; returns what was found."""
    from ..kernels import cuda

    case = make_case(device, dtype, per_image)
    seconds = {}
    for form in FORMS:
        cuda.BY_IMAGE = form == "image"
        with kernels("plain" if form == "plain" else "auto"):
            try:
                seconds[form] = measure(partial(forward_and_backward, *case), device)
            except RuntimeError:  # it does not run here, or cannot be captured
                seconds[form] = math.inf
    best = min(seconds, key=lambda form: seconds[form])
    cuda.BY_IMAGE = best == "image"
    if best == "plain":
        set_kernels("plain")
    times = ", ".join(f"{FORMS[form]} {1e3 * seconds[form]:.3f} ms" for form in FORMS)
    return f"attention is {FORMS[best]}; forward and backward take: {times}"


def make_case(device: torch.device, dtype: torch.dtype, per_image: int) -> tuple[Tensor, ...]:
    """Cells, queries, weight, alpha and the queries' images, of a batch as training has them."""
    n_images, n_cells, width = -(-512 // per_image), 196, 512
    if device.type == "cpu":  # which tests take
        n_images, n_cells, width = 2, 9, 32
    n = n_images * per_image
    shapes = (n_images, n_cells, width), (n, width), (width,), (n, n_cells)
    cells, *rest = (torch.rand(shape, device=device) for shape in shapes)
    learned = [part.requires_grad_() for part in (cells.to(dtype), *rest)]
    return *learned, torch.arange(n_images, device=device).repeat_interleave(per_image)


def forward_and_backward(
    cells: Tensor, query: Tensor, weight: Tensor, alpha: Tensor, image_index: Tensor
) -> None:
    """A step's worth of attention."""
    with padded(torch.ones(len(cells), dtype=torch.bool, device=cells.device)):
        total = additive_scores(cells, query, weight, image_index).sum()
        total = total + attend(cells, alpha, image_index).sum()
    torch.autograd.grad(total, (cells, query, weight, alpha))


def measure(call: Callable[[], None], device: torch.device) -> float:
    """The median of the seconds that a call takes; on a GPU without the time to launch it."""
    call()  # compiles, and chooses
    repeated = record(call) if device.type == "cuda" else call
    n = CALLS if device.type == "cuda" else 1
    seconds = []
    for _ in range(ROUNDS):
        wait_for(device)
        start = time.perf_counter()
        repeated()
        wait_for(device)
        seconds.append((time.perf_counter() - start) / n)
    return statistics.median(seconds)


def record(call: Callable[[], None]) -> Callable[[], None]:
    """``CALLS`` calls as a CUDA graph."""

    def calls() -> None:
        for _ in range(CALLS):
            call()

    graph, _ = capture(calls)
    return graph.replay


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
