"""The head of a run: built from its config, and given what it begins with."""

from pathlib import Path

import numpy as np
import psutil
import torch
from torch import nn

from ..console import say_bytes
from ..errors import InputError
from ..featurize.backbones import blank_stage, channels_of
from ..models.base import Head
from ..models.config import CaptionHeadConfig, VqaHeadConfig
from ..models.finetuned import Encoder, put_behind
from ..models.registry import HEADS
from .data.word_vectors import read_vectors
from .finetuning import build_encoder, load_pretrained
from .initial import load_initial
from .settings.config import RunConfig, WordVectors, read_settings
from .tasks.captions import CaptionTask
from .tasks.task import Precision, Task

SAMPLE_VALUES = 2**25  # what the training features' statistics are taken from, in numbers


def build_head(
    config: RunConfig,
    words: list[str],
    answers: list[str],
    channels: int,
    precision: Precision,
) -> Head:
    """An untrained head of a run, its weights drawn from the run's seed.

    ``channels`` are those of the features. An encoder's weights are yet to be loaded.
    """
    if config.finetune is not None:
        block = blank_stage(config.feature_identity["backbone"], config.finetune)
        channels = channels_of(block)
    sizes = {"n_words": len(words), "channels": channels}
    kind: type[VqaHeadConfig | CaptionHeadConfig] = CaptionHeadConfig
    if config.task == "vqa":
        kind, sizes["n_answers"] = VqaHeadConfig, len(answers)
    if config.word_vectors is not None:
        sizes["embedding"] = config.word_vectors.width
    settings = read_settings({**config.head_settings, **sizes}, kind, "head_settings")
    check_head_settings(config, settings)
    try:
        with torch.device("meta"):  # in no memory: how large would it be?
            n_bytes = sum(4 * p.numel() for p in HEADS[config.head](settings).parameters())
        if n_bytes > psutil.virtual_memory().total:
            raise ValueError(f"{say_bytes(n_bytes)} of weights are more than memory holds")
        torch.manual_seed(config.seed)
        head = HEADS[config.head](settings)
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"config.json: head_settings: {config.head} cannot be built with {settings}: {error}"
        ) from error
    if config.finetune is not None:
        pooled, flip = head.features == "pooled", config.optimisation.flip
        encoder = build_encoder(config.feature_identity, config.finetune, pooled, flip)
        head = put_behind(encoder, head, moves=config.optimisation.encoder_lr > 0)
    return head.to(precision.device)


def check_head_settings(config: RunConfig, settings: VqaHeadConfig | CaptionHeadConfig) -> None:
    """Raise ``InputError`` for a size or a probability that no head can have."""
    names = [*config.head_settings] + ["channels"] * (HEADS[config.head].features != "none")
    for name in names:
        value = getattr(settings, name)
        if type(value) is int and value < 1:
            raise InputError(f"config.json: {name} is {value}; it must be at least 1.")
        if isinstance(value, float) and not 0 <= value <= 1:
            raise InputError(f"config.json: {name} is {value}; it must be from 0 to 1.")


def start_head(task: Task, config: RunConfig, encoder_weights: str | None) -> None:
    """Give a new run's head what it begins with, besides weights from the seed."""
    if config.scst is not None:
        assert isinstance(task, CaptionTask)
        load_initial(task, config)
        return
    if isinstance(task.head.encoder, Encoder):
        assert config.finetune is not None
        identity = config.feature_identity
        load_pretrained(task.head.encoder, identity, config.finetune, encoder_weights)
    fit_features(task)


def load_word_vectors(head: Head, words: list[str], vectors: WordVectors) -> str:
    """Let a new head's words begin with the vectors of a file; returns what to say.

    Words that the file lacks keep the vectors that they were drawn.
    """
    (embed,) = (m for m in head.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag))
    found = read_vectors(Path(vectors.file), words)
    with torch.no_grad():
        for number, word in enumerate(words):
            if word in found:
                embed.weight[number] = torch.from_numpy(found[word]).to(embed.weight.device)
    missing = [word for word in words if word not in found]
    example = f", {missing[-1]!r} for one," if missing else ""
    return (
        f"{len(found):,} of {len(words):,} words begin with the vectors of {vectors.file}; "
        f"{len(missing):,}{example} are not in it"
    )


def fit_features(task: Task) -> None:
    """Let the head take the statistics of the training features from evenly spaced images."""
    features = task.train.features
    if features is None:
        return
    per_image = features.bytes_of(1) // features.sources[0].dtype.itemsize
    n = max(2, min(task.train.n_images, SAMPLE_VALUES // per_image))
    step = max(1, task.train.n_images // n)
    rows = np.unique(task.train.image_row)[::step][:n]
    sample = features.gather(rows, task.precision.device).floats()
    if not bool(torch.isfinite(sample.float()).all()):
        raise InputError(
            f"{features.files[0].path}: holds infinite or NaN features; extract it again, with "
            "--dtype float32 if the network overflows float16."
        )
    task.head.fit_features(sample)
