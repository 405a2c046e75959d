"""Whether image-major batches cost accuracy, and what they save: beside question-major ones.

    python -m benchmarks.image_major --features TRAIN.h5 VAL.h5 [--head NAME ...] [--seeds N]

Part of easy-vqa, its questions or its captions as the head asks for, the default recipes. Batches
of the other order hold as many texts, each drawn on its own with a copy of its image's features;
so the number of updates is the same. Both orders begin with the same weights, seed by seed.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from frostgrid.datasets.catalog import open_dataset
from frostgrid.devices import amp_dtype, pick_device
from frostgrid.models.head import CaptionHead
from frostgrid.models.registry import HEADS
from frostgrid.train import caption_data, vqa_data
from frostgrid.train.batches import ImageMajor
from frostgrid.train.caption_data import CaptionData
from frostgrid.train.caption_task import CaptionTask
from frostgrid.train.config import RunConfig
from frostgrid.train.features import SplitFeatures, open_split
from frostgrid.train.prepare import build_head, fit_features
from frostgrid.train.task import Precision, Task
from frostgrid.train.vqa_data import VqaData
from frostgrid.train.vqa_targets import SoftTargets
from frostgrid.train.vqa_task import VqaTask

from .interleaved import machine
from .vqa2_scale import Silent, new_config, train_epochs

ORDERS = ("image-major", "question-major")
SCORES = {  # metrics of an epoch, with how many digits, by task
    "vqa": {"val_loss": 4, "val_accuracy": 2},
    "caption": {"val_loss": 4, "val_bleu4": 4, "val_cider": 3},
}


@dataclass
class Found:
    """What the runs of an order gave, an entry a seed.

    ``seconds``: processor time of training a text, without validation; ``read_bytes``: of features,
    a text; ``n_texts``, ``n_updates``: of an epoch.
    """

    metrics: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    read_bytes: float = 0.0
    n_texts: int = 0
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


def question_major(batches: ImageMajor) -> ImageMajor:
    """The same texts, each a group of its own: shuffled one by one, features copied for each."""
    image = np.repeat(np.arange(batches.n_images), np.diff(batches.first))
    batches.image_row = batches.image_row[image]
    batches.n_images = batches.n_items
    batches.first = np.arange(batches.n_items + 1)
    return batches


def first_images(data: VqaData, n_images: int) -> VqaData:
    """The questions on the ``n_images`` first images."""
    kept = np.isin(data.image_id, np.unique(data.image_id)[:n_images])
    rows = np.flatnonzero(kept)
    t = data.targets
    assert t is not None
    entries = np.repeat(kept, np.diff(t.indptr))
    indptr = np.concatenate([[0], np.cumsum(np.diff(t.indptr)[rows])])
    targets = SoftTargets(
        indptr, t.answer[entries], t.score[entries], t.count[entries], t.commonest[rows]
    )
    return VqaData(
        data.question_id[rows], data.image_id[rows], data.tokens[rows], data.length[rows], targets
    )


def first_described(data: CaptionData, n_images: int) -> CaptionData:
    """The captions of the ``n_images`` first images."""
    kept = np.isin(data.image_id, data.image_ids[:n_images])
    return CaptionData(
        data.image_id[kept],
        data.tokens[kept],
        data.length[kept],
        data.references[:n_images],
        data.image_ids[:n_images],
    )


class Study:
    """A part of easy-vqa and features of it, of which tasks are made."""

    def __init__(self, paths: Sequence[str], n_train: int, n_val: int) -> None:
        self.paths = list(paths)
        device = pick_device("auto")
        self.precision = Precision(device, amp_dtype(device))
        dataset = open_dataset("easy-vqa")
        asked = vqa_data.load_train_val(dataset, vqa_data.VqaOptions())
        self.questions = first_images(asked[0], n_train), first_images(asked[1], n_val), *asked[2:]
        said = caption_data.load_train_val(dataset, caption_data.CaptionOptions())
        self.captions = first_described(said[0], n_train), first_described(said[1], n_val), said[2]

    def open(self, kind: str) -> tuple[SplitFeatures, SplitFeatures]:
        """The features of both splits."""
        return open_split(self.paths, "train", kind), open_split(self.paths, "val", kind)

    def task(self, config: RunConfig) -> Task:
        """The task of a run, its head untrained."""
        task: Task
        features = self.open(HEADS[config.head].features)
        channels = features[0].channels
        if config.task == "vqa":
            train, val, words, answers = self.questions
            head = build_head(config, words, answers, channels, self.precision)
            both = (train, features[0]), (val, features[1])
            task = VqaTask(head, self.precision, answers, *both, config.optimisation.loss)
        else:
            described, to_describe, words = self.captions
            head = build_head(config, words, [], channels, self.precision)
            assert isinstance(head, CaptionHead)
            pair = (described, features[0]), (to_describe, features[1])
            penalty = config.optimisation.attention_penalty
            task = CaptionTask(head, self.precision, words, *pair, penalty)
        fit_features(task)
        return task


def run(study: Study, config: RunConfig, order: str, found: Found) -> None:
    """Train one head in one order."""
    task = study.task(config)
    assert task.train.features is not None
    if order == "question-major":
        question_major(task.train)
    watcher = Processor()
    with tempfile.TemporaryDirectory() as folder:
        found.metrics.append(train_epochs(task, config, Path(folder) / "run", watcher)[-1])
    o = config.optimisation
    found.n_texts = task.train.n_items
    found.seconds.append(watcher.seconds / (o.epochs * found.n_texts))
    found.read_bytes = task.train.features.bytes_of(task.train.n_images) / found.n_texts
    found.n_updates = len(task.train.cuts(np.arange(task.train.n_images), o.batch_size))


def say(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}"


def print_rows(head: str, found: dict[str, Found], epochs: int) -> None:
    """What both orders gave, score by score and seed by seed, and what they took."""
    for score, digits in SCORES[HEADS[head].task].items():
        by_order = [[float(m[score]) for m in found[order].metrics] for order in ORDERS]
        for order, values in zip(ORDERS, by_order, strict=True):
            each = ", ".join(f"{value:.{digits}f}" for value in values)
            print(f"| {head} | {score} | {order} | {each} | {say(values, digits)} |")
        less = [first - second for first, second in zip(*by_order, strict=True)]
        each = ", ".join(f"{value:+.{digits}f}" for value in less)
        print(f"| {head} | {score} | difference | {each} | {say(less, digits)} |")
    for order in ORDERS:
        f = found[order]
        each = ", ".join(f"{1e3 * seconds:.3f}" for seconds in f.seconds)
        milliseconds = f"{1e3 * statistics.median(f.seconds):.3f} (median)"
        print(f"| {head} | processor ms a text | {order} | {each} | {milliseconds} |")
        print(f"| {head} | kB of features read a text | {order} | | {f.read_bytes / 1e3:.2f} |")
        print(f"| {head} | updates | {order} | | {epochs * f.n_updates} |", flush=True)


@click.command()
@click.option("--features", "paths", nargs=2, required=True, metavar="TRAIN.h5 VAL.h5")
@click.option("--head", "heads", multiple=True, default=("mean-embed", "san"), show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--epochs", default=4, show_default=True)
@click.option("--images", default=1000, show_default=True, help="Training images.")
@click.option("--val-images", default=300, show_default=True)
@click.option("--batch-size", default=128, show_default=True)
def main(
    paths: tuple[str, str],
    heads: tuple[str, ...],
    seeds: int,
    epochs: int,
    images: int,
    val_images: int,
    batch_size: int,
) -> None:
    """Scores of image-major and of question-major batches, mean and deviation, and their cost."""
    study = Study(paths, images, val_images)
    print(f"{machine()}\n\neasy-vqa, {images} images to train and {val_images} to validate on;")
    print(f"{epochs} epochs, batches of {batch_size} texts; the last epoch's scores\n")
    print("| head | what | batches | by seed | mean ± sd |\n|---|---|---|---|---|")
    for head in heads:
        found = {order: Found() for order in ORDERS}
        config = new_config(head, epochs, batch_size)
        config = replace(config, optimisation=replace(config.optimisation, patience=0))
        for seed in range(seeds):
            for order in ORDERS if seed % 2 else ORDERS[::-1]:
                run(study, replace(config, seed=seed), order, found[order])
        print_rows(head, found, epochs)


if __name__ == "__main__":
    main()
