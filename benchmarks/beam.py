"""Beam search over many images at once beside one image at a time.

``python -m benchmarks.beam [--images 64] [--rounds 3]``: an untrained decoder of full size (2048
channels, 512 wide, 10,000 words) that never says ``<end>``, so that every caption takes 20 steps.
The alternative is the search of the tutorials: one image, its beams as a batch, plain PyTorch.
"""

import argparse

import torch
from frostgrid.models.additive_attention import kernels
from frostgrid.models.beam import END, BeamOptions, search
from frostgrid.models.config import CaptionHeadConfig
from frostgrid.models.registry import HEADS

from benchmarks.interleaved import machine, time_in_turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--single", type=int, default=4, help="images of the one-by-one side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--heads", nargs="+", default=["show-attend-tell", "up-down"])
    options = parser.parse_args()
    print(machine())
    beam = BeamOptions(beam=5, max_length=20, length_power=1.0)
    for name in options.heads:
        torch.manual_seed(0)
        head = HEADS[name](CaptionHeadConfig(10_000, 2048)).eval()
        with torch.no_grad():
            head.out.bias[END] = -1e4
        cells = torch.rand(options.images, 196, 2048).half()

        def batched(head=head, cells=cells) -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                search(head, cells, beam)

        def one_by_one(head=head, cells=cells) -> None:
            with kernels("plain"):
                for n in range(options.single):
                    search(head, cells[n : n + 1], beam)

        timings = time_in_turns({"ours": batched, "theirs": one_by_one}, options.rounds)
        mine = timings["ours"].median / options.images
        other = timings["theirs"].median / options.single
        print(
            f"{name}: {mine * 1e3:.1f} ms an image, {options.images} at once (bfloat16, fused); "
            f"{other * 1e3:.1f} ms one by one (float32, plain): {other / mine:.1f} times; "
            f"medians of {options.rounds}"
        )


if __name__ == "__main__":
    main()
