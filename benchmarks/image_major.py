"""Whether image-major batches cost accuracy: beside question-major ones, all else equal.

    python -m benchmarks.image_major --features TRAIN.h5 VAL.h5 [--head NAME ...] [--seeds N]

Part of easy-vqa, the default recipes. Question-major batches hold as many questions, each drawn on
its own with a copy of its image's features; so the number of updates is the same.
"""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from frostgrid.datasets.catalog import open_dataset
from frostgrid.devices import amp_dtype, pick_device
from frostgrid.models.registry import HEADS
from frostgrid.train.batches import ImageMajor
from frostgrid.train.features import SplitFeatures, open_split
from frostgrid.train.prepare import build_head, fit_features
from frostgrid.train.task import Precision
from frostgrid.train.vqa_data import VqaData, VqaOptions, load_train_val
from frostgrid.train.vqa_targets import SoftTargets
from frostgrid.train.vqa_task import VqaTask

from .interleaved import machine
from .vqa2_scale import new_config, train_epochs


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


def open_kind(paths: list[str], kind: str) -> tuple[SplitFeatures, SplitFeatures]:
    return open_split(paths, "train", kind), open_split(paths, "val", kind)


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
    """Validation accuracy of image-major and of question-major batches, mean and deviation."""
    device = pick_device("auto")
    precision = Precision(device, amp_dtype(device))
    train, val, words, answers = load_train_val(open_dataset("easy-vqa"), VqaOptions())
    train, val = first_images(train, images), first_images(val, val_images)
    print(f"{machine()}\n\neasy-vqa, {len(train.length):,} training questions on {images} images,")
    print(f"{len(val.length):,} validation questions, {epochs} epochs, batches of {batch_size}\n")
    print("| head | batches | accuracy by seed, % | mean ± sd | updates | processor s an epoch |")
    print("|---|---|---|---|---|---|")
    for head in heads:
        found: dict[str, list[float]] = {"image-major": [], "question-major": []}
        seconds: dict[str, list[float]] = {name: [] for name in found}
        updates: dict[str, int] = {}
        for seed in range(seeds):
            for name in found:
                config = replace(new_config(head, epochs, batch_size), seed=seed)
                parts = open_kind(list(paths), HEADS[head].features)
                network = build_head(config, words, answers, parts[0].channels, precision)
                task = VqaTask(
                    network, precision, answers, (train, parts[0]), (val, parts[1]), "soft"
                )
                fit_features(task)
                if name == "question-major":
                    question_major(task.train)
                with tempfile.TemporaryDirectory() as folder:
                    start = time.process_time()
                    lines = train_epochs(task, config, Path(folder) / "run")
                    seconds[name].append((time.process_time() - start) / epochs)
                found[name].append(lines[-1]["val_accuracy"])
                updates[name] = epochs * len(
                    task.train.cuts(np.arange(task.train.n_images), batch_size)
                )
        for name, scores in found.items():
            spread = statistics.stdev(scores) if seeds > 1 else 0.0
            print(
                f"| {head} | {name} | {', '.join(f'{s:.2f}' for s in scores)} "
                f"| {statistics.mean(scores):.2f} ± {spread:.2f} | {updates[name]} "
                f"| {statistics.median(seconds[name]):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
