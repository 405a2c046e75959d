"""What accuracy the fast way gives up, if any, and what it saves: beside slower ways to train.

    python -m benchmarks.accuracy [--features TRAIN.h5 VAL.h5] [--head NAME ...] [--seeds N]

Part of easy-vqa, its questions or its captions as the head asks for, the default recipes. The ways:
*ours*, as ``train-head`` does it by default; *image-major* batches, of all texts of some images;
*question-major* ones, whose texts are drawn one by one, each with a copy of its image's features;
and the peers' *tutorial style*, which reads a row of the file for every text and trains in eager
PyTorch and float32. They take as many updates on as many texts, and begin with the same weights,
seed by seed.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from frostgrid.models.registry import HEADS
from frostgrid.train.settings.config import Optimisation, RunConfig
from frostgrid.train.tasks.task import Task

from .contenders import PLAIN
from .interleaved import machine
from .peers.loading import FromHdf5, drawn
from .peers.training import train_plain
from .study import Study, extract_features
from .vqa2_scale import Silent, new_config, train_epochs

# How many texts of an image are drawn together; 0: all.
TOGETHER = {"ours": None, "image-major": 0, "question-major": 1}
WAYS = (*TOGETHER, "tutorial style")
SCORES = {  # metrics of an epoch, with how many digits, by task
    "vqa": {"val_loss": 4, "val_accuracy": 2},
    "caption": {"val_loss": 4, "val_bleu4": 4, "val_cider": 3},
}


@dataclass
class Found:
    """What the runs of a way gave, an entry a seed.

    ``seconds``: processor time of training a text, without validation; ``read_bytes``: of features,
    a text; ``n_updates``: of a run.
    """

    metrics: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    read_bytes: float = 0.0
    n_updates: int = 0


class Processor(Silent):
    """A watcher who takes the processor time of the training, without the validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self.left, self.start = 0.0, 0, 0.0

    def start_epoch(self, epoch: int, n_batches: int, done: int) -> None:
        self.left, self.start = n_batches - done, time.process_time()

    def step(self, loss: float | None) -> None:
        self.left -= 1
        if not self.left:
            self.seconds += time.process_time() - self.start


def count_updates(task: Task, o: Optimisation) -> int:
    """How many updates a run takes."""
    return o.epochs * len(task.train.cuts(np.arange(task.train.n_groups), o.batch_size))


def train_ours(study: Study, config: RunConfig, way: str, found: Found) -> None:
    """Train one head with the real loop, in one order."""
    config = config.with_overrides(texts_per_image=TOGETHER[way])
    task = study.task(config)
    o, features = config.optimisation, task.train.features
    assert features is not None
    watcher = Processor()
    with tempfile.TemporaryDirectory() as folder:
        found.metrics.append(train_epochs(task, config, Path(folder) / "run", watcher)[-1])
    found.seconds.append(watcher.seconds / (o.epochs * task.train.n_items))
    found.read_bytes = features.bytes_of(task.train.n_groups) / task.train.n_items
    found.n_updates = count_updates(task, o)


def train_peer(study: Study, config: RunConfig, found: Found) -> None:
    """Train the same head in tutorial style, and validate it as ours is validated."""
    task = study.task(config)
    o, features = config.optimisation, task.train.features
    assert features is not None
    plain = PLAIN[config.head](copy.deepcopy(task.head))
    (trained,) = plain.children()
    rows = FromHdf5(Path(study.paths[0]), features.kind, *study.texts(config.head))
    n_updates = count_updates(task, o)
    torch.manual_seed(config.seed)
    start = time.process_time()
    train_plain(plain, drawn(rows, o.batch_size, 0), o, n_updates)
    found.seconds.append((time.process_time() - start) / (n_updates * o.batch_size))
    task.head.load_state_dict(trained.state_dict())
    task.head.eval()
    found.metrics.append(task.evaluate())
    found.read_bytes, found.n_updates = features.bytes_of(1), n_updates


def say(values: Sequence[float], digits: int, sign: str = "") -> str:
    """Mean and standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign}.{digits}f} ± {spread:.{digits}f}"


def print_rows(head: str, found: dict[str, Found]) -> None:
    """What the ways gave, score by score and seed by seed, beside the first; and what they took."""
    for score, digits in SCORES[HEADS[head].task].items():
        first: list[float] = []
        for way, f in found.items():
            values = [float(m[score]) for m in f.metrics]
            first = first or values
            each = ", ".join(f"{value:.{digits}f}" for value in values)
            more = [value - base for value, base in zip(values, first, strict=True)]
            beside = "" if values is first else say(more, digits, "+")
            print(f"| {head} | {score} | {way} | {each} | {say(values, digits)} | {beside} |")
    for way, f in found.items():
        milliseconds = 1e3 * statistics.median(f.seconds)
        each = ", ".join(f"{1e3 * seconds:.3f}" for seconds in f.seconds)
        print(f"| {head} | processor ms a text | {way} | {each} | {milliseconds:.3f} (median) | |")
        print(f"| {head} | kB of features read a text | {way} | | {f.read_bytes / 1e3:.2f} | |")
        print(f"| {head} | updates | {way} | | {f.n_updates} | |", flush=True)


@click.command()
@click.option(
    "--features",
    "paths",
    nargs=2,
    metavar="TRAIN.h5 VAL.h5",
    help="Of easy-vqa.  [default: made for this run, by a ResNet-18 with random weights]",
)
@click.option("--head", "heads", multiple=True, type=click.Choice(list(HEADS)), default=list(PLAIN))
@click.option("--way", "ways", multiple=True, type=click.Choice(WAYS), default=("ours", *WAYS[2:]))
@click.option("--seeds", default=3, show_default=True)
@click.option("--epochs", default=4, show_default=True)
@click.option("--images", default=1000, show_default=True, help="Training images.")
@click.option("--val-images", default=300, show_default=True)
@click.option("--batch-size", default=128, show_default=True)
def main(
    paths: tuple[str, str] | None,
    heads: tuple[str, ...],
    ways: tuple[str, ...],
    seeds: int,
    epochs: int,
    images: int,
    val_images: int,
    batch_size: int,
) -> None:
    """Scores of heads that were trained in several ways, mean and deviation, and their cost."""
    print(f"{machine()}\n\neasy-vqa, {images} images to train and {val_images} to validate on;")
    print(f"{epochs} epochs, batches of {batch_size} texts; the last epoch's scores\n")
    with tempfile.TemporaryDirectory() as folder:
        study = Study(paths or extract_features(Path(folder)), images, val_images)
        print(f"| head | what | way | by seed | mean ± sd | minus {ways[0]} |\n|" + "---|" * 6)
        for head in heads:
            found = {way: Found() for way in ways if way in TOGETHER or head in PLAIN}
            config = new_config(head, epochs, batch_size)
            config = replace(config, optimisation=replace(config.optimisation, patience=0))
            for seed in range(seeds):
                seeded = replace(config, seed=seed)
                for way in found if seed % 2 else reversed(found):
                    if way == "tutorial style":
                        train_peer(study, seeded, found[way])
                    else:
                        train_ours(study, seeded, way, found[way])
            print_rows(head, found)


if __name__ == "__main__":
    main()
