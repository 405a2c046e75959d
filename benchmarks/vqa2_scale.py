"""An epoch of VQA v2's exact size, or of a part of it, through the real training classes.

    python -m benchmarks.vqa2_scale [--fraction F] [--head NAME ...] [--epochs N]

82,783 + 40,504 images, 443,757 + 214,354 questions, 3,129 answers, 12,000 words; made up, so the
accuracy means nothing. An epoch is a pass of training and one of validation, with the official
accuracy, the checkpoint and the answers written. Where the fraction is below 1, the time of a full
epoch is extrapolated, and marked so.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from frostgrid.console import stop_on_signal
from frostgrid.devices import amp_dtype, describe_device, pick_device
from frostgrid.models.registry import HEADS
from frostgrid.process import keep_freed_memory
from frostgrid.train.features.split import SplitFeatures
from frostgrid.train.head import build_head, fit_features
from frostgrid.train.prepare import store_features
from frostgrid.train.progress import Watcher
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.settings.config import RunConfig
from frostgrid.train.settings.recipes import RECIPES
from frostgrid.train.tasks.task import Precision, Task
from frostgrid.train.tasks.vqa import VqaTask
from frostgrid.train.trainer import Trainer

from .interleaved import machine
from .vqa2_data import (
    N_ANSWERS,
    N_WORDS,
    TRAIN_QUESTIONS,
    Size,
    make_questions,
    open_split,
    write_features,
)

GRID_BYTES = 196 * 2  # an image and channel
TRAIN_SEED = 3


class Silent(Watcher):
    """A watcher who keeps the metrics and says nothing."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []

    def end_epoch(self, metrics: dict[str, Any]) -> None:
        self.epochs.append(metrics)


def new_config(head: str, epochs: int, batch_size: int = 512) -> RunConfig:
    """The default recipe of a head."""
    recipe = RECIPES["default"][head]
    return RunConfig(
        head=head,
        task=HEADS[head].task,
        data="made up",
        split="val",
        features=[],
        recipe="default",
        seed=0,
        amp="auto",
        kernels="auto",
        head_settings=recipe.head,
        data_settings={},
        optimisation=replace(recipe.optimisation, epochs=epochs, batch_size=batch_size),
    )


def write_split_files(folder: Path, size: Size, channels: int, with_grid: bool) -> None:
    """Write ``train.h5`` and ``val.h5``."""
    need = (size.train_images + size.val_images) * channels * (GRID_BYTES if with_grid else 4)
    free = shutil.disk_usage(folder).free
    if need > free * 0.9:
        raise click.ClickException(
            f"{need / 1e9:.1f} GB of features do not fit {folder} ({free / 1e9:.1f} GB free); "
            "choose a smaller --fraction."
        )
    write_features(folder / "train.h5", size.train_images, channels, with_grid, seed=1)
    write_features(folder / "val.h5", size.val_images, channels, with_grid, seed=2)


def make_task(config: RunConfig, folder: Path, size: Size, precision: Precision) -> VqaTask:
    """The task of a run on the made-up data."""
    kind = HEADS[config.head].features

    def features(split: str) -> SplitFeatures | None:
        return None if kind == "none" else open_split(folder / f"{split}.h5", kind)

    train = make_questions(size.train_images, size.train_questions, TRAIN_SEED), features("train")
    val = make_questions(size.val_images, size.val_questions, 4), features("val")
    channels = 0 if train[1] is None else train[1].channels
    words, answers = ([str(i) for i in range(n)] for n in (N_WORDS, N_ANSWERS))
    head = build_head(config, words, answers, channels, precision)
    task = VqaTask(head, precision, answers, train, val, config.optimisation.loss)
    store_features(task)
    fit_features(task)
    return task


def train_epochs(
    task: Task, config: RunConfig, folder: Path, watcher: Silent | None = None
) -> list[dict[str, Any]]:
    """Train with the real loop; the metrics of every epoch."""
    run = RunFolder(folder)
    run.create(config, {})
    keep_freed_memory()
    watcher = watcher or Silent()
    with stop_on_signal() as stop:
        if not Trainer(task, config, run).fit(watcher, stop):
            raise click.ClickException("Stopped.")
    return watcher.epochs


def row_of(head: str, size: Size, fraction: float, epoch: dict[str, Any]) -> str:
    """A line of the table."""
    seconds = epoch["train_seconds"] + epoch["val_seconds"]
    full = seconds * TRAIN_QUESTIONS / size.train_questions
    mark = "" if fraction == 1 else " (extrapolated)"
    val_rate = size.val_questions / epoch["val_seconds"]
    return (
        f"| {head} | {fraction:g} | {epoch['train_seconds']:.1f} | {epoch['val_seconds']:.1f} "
        f"| {epoch['items_per_second']:,.0f} | {val_rate:,.0f} "
        f"| {100 * epoch['wait_seconds'] / epoch['train_seconds']:.1f} % "
        f"| {epoch['peak_memory_bytes'] / 1e9:.2f} | {full:.0f} s{mark} "
        f"| {15 * full / 60:.1f} min{mark} |"
    )


TABLE_HEAD = (
    "| head | fraction | train s | val s | train questions/s | val questions/s | waiting for data "
    "| peak GB | full epoch | 15 epochs |\n|" + "---|" * 10
)


@click.command()
@click.option("--fraction", default=0.02, show_default=True, help="Of VQA v2's size.")
@click.option(
    "--head",
    "heads",
    multiple=True,
    default=("mean-embed", "san"),
    show_default=True,
    help="May be given several times.",
)
@click.option("--epochs", default=1, show_default=True, help="The last one is shown.")
@click.option("--batch-size", default=512, show_default=True)
@click.option("--channels", default=512, show_default=True, help="D, of a cell.")
@click.option("--device", default="auto", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the features are written.")
def main(
    fraction: float,
    heads: tuple[str, ...],
    epochs: int,
    batch_size: int,
    channels: int,
    device: str,
    folder: Path | None,
) -> None:
    """Time an epoch at VQA v2's size."""
    if not 0 < fraction <= 1:
        raise click.BadParameter(f"{fraction} is not in (0, 1].", param_hint="--fraction")
    unknown = [head for head in heads if head not in HEADS or HEADS[head].task != "vqa"]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is no VQA head.", param_hint="--head")
    where = pick_device(device)
    precision = Precision(where, amp_dtype(where))
    print(f"{machine()}; {describe_device(where)}, {precision.amp or 'float32'}")
    print(f"\nD = {channels}, batches of {batch_size}, epoch {epochs} of {epochs}\n\n{TABLE_HEAD}")
    size = Size.of(fraction)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary)
        write_split_files(path, size, channels, any(HEADS[h].features == "grid" for h in heads))
        for head in heads:
            torch.manual_seed(0)
            config = new_config(head, epochs, batch_size)
            task = make_task(config, path, size, precision)
            metrics = train_epochs(task, config, path / head)
            print(row_of(head, size, fraction, metrics[-1]), flush=True)


if __name__ == "__main__":
    main()
