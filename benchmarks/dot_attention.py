"""Dot-product attention of words over an image's cells in bfloat16 on the CPU.

    OMP_NUM_THREADS=1 python -m benchmarks.dot_attention [--rounds N]

``models/layers/transformer.py`` takes three operations for it in training; beside it PyTorch's
``scaled_dot_product_attention``, in bfloat16 and cast to float32.
"""

from collections.abc import Callable
from functools import partial

import click
import torch
from frostgrid.models.layers.transformer import attend, joined
from frostgrid.process import keep_freed_memory
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .interleaved import machine, print_table, time_in_turns

N_CELLS = 196
# Images, heads, words about an image, channels a head.
CASES = [(53, 4, 60, 128), (100, 4, 40, 128), (53, 8, 28, 64)]


def pytorch(dtype: torch.dtype, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """PyTorch's own, computed in ``dtype``."""
    return joined(scaled_dot_product_attention(query.to(dtype), keys.to(dtype), values.to(dtype)))


def both_ways(form: Callable[..., Tensor], inputs: list[Tensor]) -> None:
    """Forward and backward pass."""
    found = form(*inputs)
    torch.autograd.grad(found, inputs, torch.ones_like(found))


@click.command()
@click.option("--rounds", type=click.IntRange(min=2), default=7, show_default=True)
def main(rounds: int) -> None:
    """Attention over cells: ours beside PyTorch's."""
    keep_freed_memory()
    print(machine())
    for images, heads, words, width in CASES:
        sizes = (words, N_CELLS, N_CELLS)
        drawn = [torch.randn(images, heads, n, width).bfloat16() for n in sizes]
        inputs = [x.requires_grad_() for x in drawn]
        forms: dict[str, Callable[..., Tensor]] = {
            "three operations": attend,
            "PyTorch's, bfloat16": partial(pytorch, torch.bfloat16),
            "PyTorch's, float32": partial(pytorch, torch.float32),
        }
        cases = {name: partial(both_ways, form, inputs) for name, form in forms.items()}
        title = f"{images} images, {heads} heads, {words} words, {width} channels a head"
        print_table(title, time_in_turns(cases, rounds), "three operations")


if __name__ == "__main__":
    main()
