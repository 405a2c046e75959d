"""Made-up data of VQA v2's and COCO's size, which all parts share, and how heads get them."""

import dataclasses
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from frostgrid.devices import amp_dtype
from frostgrid.distributed import Ranks
from frostgrid.models.registry import HEADS
from frostgrid.train.features.split import SplitFeatures
from frostgrid.train.head import build_head, fit_features
from frostgrid.train.prepare import store_features
from frostgrid.train.steps.plain import PlainStep
from frostgrid.train.tasks.captions import CaptionTask
from frostgrid.train.tasks.task import Precision, Task
from frostgrid.train.tasks.vqa import VqaTask

from ..vqa2_data import (
    N_ANSWERS,
    N_CAPTION_WORDS,
    N_WORDS,
    Size,
    make_captions,
    make_questions,
    open_split,
)
from ..vqa2_scale import new_config, write_split_files
from .record import Bench

CHANNELS = 512
SPLITS = ("train", "val")


def run(bench: Bench) -> None:
    """Write the feature files."""
    start = time.perf_counter()
    write_split_files(bench.work, Size.of(bench.fraction), CHANNELS, with_grid=True)
    size = sum(file.stat().st_size for file in bench.work.glob("*.h5"))
    bench.say("feature files", f"{size / 1e9:.1f} GB in {time.perf_counter() - start:.0f} s")


def small(bench: Bench, fraction: float) -> tuple[Path, Size]:
    """A folder with a smaller set, and its size."""
    folder, size = bench.work / f"{fraction:g}", Size.of(fraction)
    if not folder.exists():
        folder.mkdir()
        write_split_files(folder, size, CHANNELS, with_grid=True)
    return folder, size


@cache
def features_of(folder: Path, split: str, kind: str) -> SplitFeatures:
    """A file's features; kept, so that they are moved to a GPU once for all heads."""
    return open_split(folder / f"{split}.h5", kind)


@cache
def texts_of(task: str, n_images: int, n_questions: int, split: str) -> Any:
    """The questions or captions of a split."""
    seed = SPLITS.index(split) + 3
    return (
        make_questions(n_images, n_questions, seed)
        if task == "vqa"
        else make_captions(n_images, seed)
    )


def make_task(
    name: str, folder: Path, size: Size, precision: Precision, settings: dict[str, Any]
) -> tuple[Task, Any]:
    """The task of a head by its default recipe, its features on the device, and its config."""
    head = HEADS[name]
    config = new_config(name, 1)
    recipe_size = config.optimisation.batch_size if head.task == "vqa" else 100
    o = dataclasses.replace(config.optimisation, batch_size=recipe_size)
    config = dataclasses.replace(
        config, optimisation=o, head_settings={**config.head_settings, **settings}
    )
    kind = head.features
    channels = 0 if kind == "none" else CHANNELS
    counts = {
        "train": (size.train_images, size.train_questions),
        "val": (size.val_images, size.val_questions),
    }
    data: Any = [
        (
            texts_of(head.task, *counts[split], split),
            None if kind == "none" else features_of(folder, split, kind),
        )
        for split in SPLITS
    ]
    torch.manual_seed(0)
    if head.task == "vqa":
        words, answers = ([str(i) for i in range(n)] for n in (N_WORDS, N_ANSWERS))
        built: Any = build_head(config, words, answers, channels, precision)
        task: Task = VqaTask(built, precision, answers, *data, o.loss)
    else:
        words = [str(i) for i in range(N_CAPTION_WORDS)]
        built = build_head(config, words, [], channels, precision)
        task = CaptionTask(built, precision, words, *data, o.attention_penalty)
    task.train.limit_samples(o.texts_per_image)
    features = task.train.features
    if features is None or features.resident is None:
        store_features(task, "captured")
    fit_features(task)
    return task, config


def plain_step(task: Task, config: Any) -> PlainStep:
    """The plain step of a task."""
    return PlainStep(task, config.optimisation, Ranks())


def precision_of(bench: Bench, half: bool = True) -> Precision:
    """The precision that training takes on the device, or float32."""
    return Precision(bench.device, amp_dtype(bench.device) if half else None)
