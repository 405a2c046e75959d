"""From a run's config to a task that can be trained."""

from dataclasses import replace
from typing import Any

import torch

from ..datasets.catalog import open_dataset
from ..errors import InputError
from ..models.config import VqaHeadConfig
from ..models.head import Head
from ..models.registry import HEADS
from .config import RunConfig
from .features import SplitFeatures, open_split
from .task import Precision
from .vqa_data import VqaData, VqaOptions, coverage, load_train_val
from .vqa_task import VqaTask

SAMPLE_VALUES = 2**25  # what the training features' statistics are taken from, in numbers


def build_head(config: RunConfig, n_words: int, n_answers: int, channels: int) -> Head:
    """An untrained head of a run."""
    settings = VqaHeadConfig(
        n_words=n_words, n_answers=n_answers, channels=channels, **config.head_settings
    )
    return HEADS[config.head](settings)  # type: ignore[call-arg]


def open_features(config: RunConfig, split: str) -> SplitFeatures | None:
    """The features that the run's head reads, or None; raises ``InputError`` if they do not fit."""
    kind = HEADS[config.head].features
    if kind == "none":
        return None
    features = open_split(config.features, split, kind)
    identity = features.files[0].identity()
    if config.feature_identity and identity != config.feature_identity:
        what = ", ".join(
            f"{name} {identity.get(name)!r} instead of {value!r}"
            for name, value in config.feature_identity.items()
            if identity.get(name) != value
        )
        raise InputError(
            f"{features.files[0].path}: these features are not of the kind that the run was "
            f"trained on: {what}; name the right files by --features."
        )
    return features


def check_split(data: VqaData, dataset_name: str, split: str) -> None:
    """Raise ``InputError`` for a split without questions."""
    if not len(data.question_id):
        raise InputError(f"{dataset_name}: the {split} split has no question; nothing to do.")


def prepare_vqa(
    config: RunConfig, precision: Precision
) -> tuple[VqaTask, RunConfig, dict[str, list[str]], dict[str, Any]]:
    """The task of a VQA run; its config, completed; its vocabulary; facts to print."""
    dataset = open_dataset(config.data)
    train, val, words, answers = load_train_val(dataset, VqaOptions(**config.data_settings))
    check_split(train, dataset.name, "train")
    check_split(val, dataset.name, config.split)
    train_features = open_features(config, "train")
    val_features = open_features(config, config.split)
    channels = 0
    if train_features is not None and val_features is not None:
        channels = train_features.channels
        config = replace(config, feature_identity=train_features.files[0].identity())
        open_features(config, config.split)  # the two splits' files fit one another
    torch.manual_seed(config.seed)
    head = build_head(config, len(words), len(answers), channels).to(precision.device)
    task = VqaTask(
        head,
        precision,
        answers,
        (train, train_features),
        (val, val_features),
        config.optimisation.loss,
    )
    for part in (task.train, task.val):
        if part.features is not None:
            part.features.place(part.image_row, precision.device)
    fit_features(task, channels)
    facts = {
        "questions": (len(train.question_id), len(val.question_id)),
        "images": (task.train.n_images, task.val.n_images),
        "words": len(words),
        "answers": len(answers),
        "coverage": (coverage(train), coverage(val)),
        "parameters": sum(p.numel() for p in head.parameters()),
    }
    return task, config, {"words": words, "answers": answers}, facts


def fit_features(task: VqaTask, channels: int) -> None:
    """Let the head take the statistics of the training features from evenly spaced images."""
    features = task.train.features
    if features is None:
        return
    per_image = features.bytes_of(1) // features.sources[0].dtype.itemsize
    n = max(2, min(task.train.n_images, SAMPLE_VALUES // per_image))
    step = max(1, task.train.n_images // n)
    rows = task.train.image_row[::step][:n]
    sample = features.gather(rows, task.precision.device).floats()
    if not bool(torch.isfinite(sample.float()).all()):
        raise InputError(
            f"{features.files[0].path}: holds infinite or NaN features; extract it again, with "
            "--dtype float32 if the network overflows float16."
        )
    task.head.fit_features(sample)
