"""Additive attention: ours beside eager PyTorch and ``torch.compile``.

``python -m benchmarks.attention [--rounds N] [--no-compile]``: 48 images of 196 cells, 270
questions, K = 512, as in a SAN batch; and 16 steps of a decoder over 20 images of 5 captions.
"""

from collections.abc import Callable

import click
import numpy as np
import torch
from frostgrid.models.kernels.shared_cells import SharedCells
from frostgrid.models.layers.additive_attention import additive_scores, attend, kernels
from torch import Tensor

from .interleaved import machine, print_table, time_in_turns

U, S, K, D, B = 48, 196, 512, 2048, 270


def eager_scores(projected: Tensor, query: Tensor, weight: Tensor, image_index: Tensor) -> Tensor:
    return torch.tanh(projected[image_index] + query[:, None]) @ weight


def eager_sums(values: Tensor, alpha: Tensor, image_index: Tensor) -> Tensor:
    return torch.bmm(alpha[:, None], values[image_index])[:, 0]


def image_index(n_queries: int, n_images: int) -> Tensor:
    """5.4 questions an image on average, from 1 up, as VQA v2 asks them."""
    rng = np.random.default_rng(0)
    extra = rng.integers(n_images, size=n_queries - n_images)
    return torch.from_numpy(np.sort(np.concatenate([np.arange(n_images), extra])))


def there_and_back(out: Tensor, inputs: tuple[Tensor, ...], gradient: Tensor) -> object:
    return torch.autograd.grad(out, [x for x in inputs if x.requires_grad], gradient)


def scores_cases(compiled: bool) -> dict[str, Callable[[], object]]:
    index = image_index(B, U)
    gradient = torch.randn(B, S)
    inputs = tuple(torch.randn(*shape, requires_grad=True) for shape in ((U, S, K), (B, K), (K,)))
    half = (inputs[0].detach().bfloat16().requires_grad_(), *inputs[1:])
    cases: dict[str, Callable[[], object]] = {
        "ours": lambda: there_and_back(additive_scores(*inputs, index), inputs, gradient),
        "ours, bfloat16 cells": lambda: there_and_back(
            additive_scores(*half, index), half, gradient
        ),
        "eager": lambda: there_and_back(eager_scores(*inputs, index), inputs, gradient),
    }
    if compiled:
        faster = torch.compile(eager_scores)
        cases["torch.compile"] = lambda: there_and_back(faster(*inputs, index), inputs, gradient)
    return cases


def sums_cases(frozen: bool) -> dict[str, Callable[[], object]]:
    index = image_index(B, U)
    gradient = torch.randn(B, D)
    alpha = torch.rand(B, S, requires_grad=True)
    inputs = torch.randn(U, S, D, requires_grad=not frozen), alpha
    half = inputs[0].detach().bfloat16().requires_grad_(not frozen), alpha

    def plain() -> object:
        with kernels("plain"):
            return there_and_back(attend(*inputs, index), inputs, gradient)

    return {
        "ours": lambda: there_and_back(attend(*inputs, index), inputs, gradient),
        "ours, bfloat16 cells": lambda: there_and_back(attend(*half, index), half, gradient),
        "ours, plain (padded bmm)": plain,
        "eager": lambda: there_and_back(eager_sums(*inputs, index), inputs, gradient),
    }


def decoder_cases() -> dict[str, Callable[[], object]]:
    """16 steps that look at the same cells; captions end one by one from the 9th word on."""
    n_images, n_steps = 20, 16
    cells = torch.randn(n_images, S, K, requires_grad=True)
    projected = torch.randn(n_images, S, K, requires_grad=True)
    weight = torch.randn(K, requires_grad=True)
    query = torch.randn(5 * n_images, K, requires_grad=True)
    index = torch.arange(5 * n_images) % n_images
    left = [5 * n_images - max(0, 12 * (step - 8)) for step in range(n_steps)]

    def decode(score: Callable[..., Tensor], look: Callable[..., Tensor], shared: bool) -> object:
        values, keys = (
            (SharedCells(cells), SharedCells(projected)) if shared else (cells, projected)
        )
        total = torch.zeros(())
        for n in left:
            where = score(keys, query[:n], weight, index[:n]).softmax(1)
            total = total + look(values, where, index[:n]).sum()
        return torch.autograd.grad(total, (cells, projected, weight, query))

    return {
        "ours, shared cells": lambda: decode(additive_scores, attend, True),
        "ours": lambda: decode(additive_scores, attend, False),
        "eager": lambda: decode(eager_scores, eager_sums, False),
    }


@click.command()
@click.option("--rounds", default=15, show_default=True, help="How often each is timed.")
@click.option("--compile/--no-compile", "compiled", default=True, help="Time torch.compile too.")
def main(rounds: int, compiled: bool) -> None:
    """Additive attention: ours beside eager PyTorch and torch.compile."""
    print(machine())
    size = f"U = {U}, S = {S}, B = {B}, float32, forward + backward"
    print_table(f"Scores: K = {K}, {size}", time_in_turns(scores_cases(compiled), rounds), "ours")
    print_table(f"Sums: D = {D}, {size}", time_in_turns(sums_cases(False), rounds), "ours")
    print_table(
        f"Sums, frozen cells: D = {D}, {size}", time_in_turns(sums_cases(True), rounds), "ours"
    )
    print_table(
        f"A decoder's 16 steps: U = 20, B = 100, S = {S}, K = D = {K}, float32",
        time_in_turns(decoder_cases(), max(3, rounds // 3)),
        "ours, shared cells",
    )


if __name__ == "__main__":
    main()
