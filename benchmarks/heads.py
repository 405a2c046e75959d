"""An update of one head beside that of another of the same task, on the same made-up batch.

``OMP_NUM_THREADS=1 python -m benchmarks.heads [--rounds 3]``: forward and backward pass of a batch
of the size of DAQUAR's or Flickr8k's (14×14 cells of 256 channels), heads as their recipes have
them on small sets and on large ones. In processor seconds, taken in turns.
"""

import time
from collections.abc import Callable

import click
import torch
from frostgrid.devices import amp_dtype
from frostgrid.models.base import CaptionHead, Head
from frostgrid.models.config import CaptionHeadConfig, VqaHeadConfig
from frostgrid.models.registry import HEADS
from frostgrid.process import keep_freed_memory
from frostgrid.train.settings.recipes import RECIPES
from frostgrid.train.tasks.losses import commonest_cross_entropy, word_cross_entropy
from torch import Tensor

from .interleaved import machine

CPU = torch.device("cpu")
SMALL, LARGE = 5_000, 400_000  # items of a set
CASES = [
    (SMALL, ["san", "mcan"]),
    (LARGE, ["san", "mcan"]),
    (SMALL, ["show-attend-tell", "transformer-decoder"]),
]


def build(name: str, n_items: int) -> Head:
    """A head of the default recipe for a set of so many items."""
    torch.manual_seed(0)
    settings = RECIPES["default"][name].head_for(n_items)
    if HEADS[name].task == "vqa":
        return HEADS[name](VqaHeadConfig(800, 460, 256, **settings))
    return HEADS[name](CaptionHeadConfig(1500, 256, **settings))


def batch_of(task: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Questions of 5 to 11 words on 15 images, or captions of 8 to 20 with their marks on 50."""
    n_images, each, shortest, longest = (15, 9, 5, 12) if task == "vqa" else (50, 2, 10, 23)
    g = torch.Generator().manual_seed(0)
    image = torch.arange(n_images).repeat_interleave(each)
    length = torch.randint(shortest, longest, (len(image),), generator=g)
    words = torch.randint(4, 800, (len(image), int(length.max())), generator=g)
    words[torch.arange(words.shape[1]) >= length[:, None]] = 0
    return torch.rand(n_images, 196, 256, generator=g).half(), image, words, length


def update(head: Head) -> Callable[[], None]:
    """The forward and backward pass of a batch."""
    batch = batch_of(head.task)
    answer = torch.arange(len(batch[1])) % 460
    amp = amp_dtype(CPU)

    def run() -> None:
        with torch.autocast("cpu", dtype=amp, enabled=amp is not None):
            out = head(*batch)
            if isinstance(head, CaptionHead):
                loss = word_cross_entropy(out.scores, out.target)
            else:
                loss = commonest_cross_entropy(out, answer)
        torch.autograd.backward(loss)
        head.zero_grad()

    return run


@click.command()
@click.option("--rounds", default=3, show_default=True, help="How often each is timed.")
def main(rounds: int) -> None:
    """An update of one head beside that of another."""
    keep_freed_memory()
    print(machine())
    for n_items, names in CASES:
        runs = {name: update(build(name, n_items)) for name in names}
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(rounds + 1):  # the first one compiles
            for name, run in runs.items():
                started = time.process_time()
                run()
                if turn:
                    seconds[name].append(time.process_time() - started)
        first = min(seconds[names[0]])
        for name in names:
            least = min(seconds[name])
            print(
                f"{name:20} of {n_items:7,} items  {1000 * least:7.1f} ms, "
                f"{least / first:.2f} times {names[0]}"
            )


if __name__ == "__main__":
    main()
