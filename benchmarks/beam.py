"""Beam search over many images at once beside one image at a time.

``python -m benchmarks.beam [--images 64] [--rounds 3]``: an untrained decoder of full size (2048
channels, 512 wide, 10,000 words) that never says ``<end>``, so that every caption takes 20 steps.
The alternative is the search of the tutorials: one image, its beams as a batch, plain PyTorch.
"""

import click
import torch
from frostgrid.models.base import CaptionHead
from frostgrid.models.beam import END, BeamOptions, search
from frostgrid.models.config import CaptionHeadConfig
from frostgrid.models.layers.additive_attention import kernels
from frostgrid.models.registry import HEADS
from torch import Tensor

from .interleaved import machine, time_in_turns

BEAM = BeamOptions(beam=5, max_length=20, length_power=1.0)


def make_head(name: str) -> CaptionHead:
    """An untrained decoder that never says ``<end>``."""
    torch.manual_seed(0)
    head = HEADS[name](CaptionHeadConfig(10_000, 2048)).eval()
    assert isinstance(head, CaptionHead)
    with torch.no_grad():
        head.out.bias[END] = -1e4
    return head


def batched(head: CaptionHead, cells: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        search(head, cells, BEAM)


def one_by_one(head: CaptionHead, cells: Tensor) -> None:
    with kernels("plain"):
        for n in range(len(cells)):
            search(head, cells[n : n + 1], BEAM)


@click.command()
@click.option("--images", default=64, show_default=True)
@click.option("--single", default=4, show_default=True, help="Images of the one-by-one side.")
@click.option("--rounds", default=3, show_default=True, help="How often each is timed.")
@click.option(
    "--head", "names", multiple=True, default=("show-attend-tell", "up-down"), show_default=True
)
def main(images: int, single: int, rounds: int, names: tuple[str, ...]) -> None:
    """Beam search over many images at once beside one image at a time."""
    print(machine())
    for name in names:
        head = make_head(name)
        cells = torch.rand(images, 196, 2048).half()
        cases = {
            "ours": lambda head=head, cells=cells: batched(head, cells),
            "theirs": lambda head=head, cells=cells: one_by_one(head, cells[:single]),
        }
        timings = time_in_turns(cases, rounds)
        mine, other = timings["ours"].median / images, timings["theirs"].median / single
        print(
            f"{name}: {mine * 1e3:.1f} ms an image, {images} at once (bfloat16, fused); "
            f"{other * 1e3:.1f} ms one by one (float32, plain): {other / mine:.1f} times; "
            f"medians of {rounds}"
        )


if __name__ == "__main__":
    main()
