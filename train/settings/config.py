"""The settings of a training run."""

import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

import msgspec

from ...errors import InputError
from ...models.names import TASKS

T = TypeVar("T")


@dataclass(frozen=True)
class Optimisation:
    """How the weights are optimised."""

    epochs: int = 12
    batch_size: int = 512  # questions or captions of one forward pass, over all processes
    texts_per_image: int = 0  # samples of an image drawn together, at most; 0: all of them
    accumulate: int = 1  # forward passes per update
    lr: float = 1e-3  # the highest learning rate
    encoder_lr: float = 1e-4  # the same for the encoder, where one learns
    flip: bool = False  # whether half of the images, at random, are mirrored before the encoder
    warmup: float = 0.05  # share of all updates in which the learning rate rises from 0
    schedule: Literal["cosine", "constant"] = "cosine"  # to 0 at the last update
    clip: float = 1.0  # largest norm of the gradient; 0: no clipping
    weight_decay: float = 0.0  # decoupled (AdamW)
    # Decay of the weights' moving average, which is validated and kept; 0: the weights themselves.
    averaging: float = 0.0
    patience: int = 5  # epochs without a better score before it stops; 0 never stops
    # Answers weighed by how many people gave them, or the commonest of the ten.
    loss: Literal["soft", "commonest"] = "soft"
    # alpha_c: pulls each cell's attention, summed over the words, to 1.
    attention_penalty: float = 0.0
    # The metric that selects the best epoch: the task's score or, for captions, CIDEr-D.
    select_by: Literal["score", "cider"] = "score"
    smoothing: float = 0.0  # weight of the earlier epochs in that metric's moving average


@dataclass(frozen=True)
class SelfCritical:
    """Self-critical training: the run that it begins from, and how captions are drawn."""

    init: str  # the run's folder
    init_sha256: str  # of its best checkpoint
    samples: int = 5  # captions drawn of an image, at least 2


@dataclass(frozen=True)
class WordVectors:
    """The file that the words' vectors begin with."""

    file: str
    width: int  # numbers of a vector: the head's ``embedding``


@dataclass(frozen=True)
class RunConfig:
    """One training run, as ``config.json`` keeps it."""

    head: str
    task: Literal["vqa", "caption"]
    data: str  # a data set's name, or its folder
    split: str  # that it validates on, or a part of it; "" for none
    features: list[str]  # feature files
    recipe: str
    seed: int
    amp: Literal["auto", "off"]
    kernels: Literal["auto", "plain"]
    head_settings: dict[str, Any]
    data_settings: dict[str, Any]
    optimisation: Optimisation
    feature_identity: dict[str, Any] = field(default_factory=dict)
    # Of the images in an epoch; auto: as their size demands.
    order: Literal["auto", "full", "local"] = "auto"
    # How updates are computed: as CUDA graphs, or one operation after the other; auto: what fits.
    step: Literal["auto", "captured", "plain"] = "auto"
    finetune: Literal["layer4"] | None = None  # the backbone's block that learns with the head
    # Of a training image: 1, as it is; 2, or mirrored, drawn every epoch; 0: what files there are.
    views: Literal[0, 1, 2] = 1
    # Of both splits' samples, targets and features, and of the vocabulary; see ``data.digests``.
    digests: dict[str, str] = field(default_factory=dict)
    trust_ids: bool = False  # take features by image id alone, with nothing but the split compared
    word_vectors: WordVectors | None = None
    scst: SelfCritical | None = None  # how a captioning head learns from captions of its own
    train_split: Literal["train", "trainval"] = "train"  # that it trains on
    # What has no features: refused, or left out with all that is asked or said of it.
    missing: Literal["stop", "skip"] = "stop"
    limit: int | None = None  # images of each split, at most
    # The share of the last training split's images that is validated on instead, and its seed.
    hold_out: float = 0.0
    hold_out_seed: int = 0
    # Of the validation split and of training: reason -> how many "images" and "texts" on them.
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    left_out_of_training: dict[str, dict[str, int]] = field(default_factory=dict)

    @staticmethod
    def of_fields(fields: Any) -> "RunConfig":
        """What ``asdict`` took apart; raises ``InputError`` for anything else."""
        config = convert(fields, RunConfig)
        if TASKS.get(config.head) != config.task:
            known = " or ".join(name for name, task in TASKS.items() if task == config.task)
            raise InputError(
                f"{config.head!r} is no head of the task {config.task!r}; expected {known} - at "
                "`$.head`"
            )
        return config

    def with_overrides(self, **changes: Any) -> "RunConfig":
        """The same run with other optimisation settings where a value is given."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, optimisation=replace(self.optimisation, **given))


def check_optimisation(o: Optimisation) -> None:
    """Raise ``InputError`` for a value that no training can use."""
    for name in ("epochs", "batch_size", "accumulate"):
        if getattr(o, name) < 1:
            raise InputError(f"{name} is {getattr(o, name)}; it must be at least 1.")
    if o.texts_per_image < 0:
        raise InputError(f"texts_per_image is {o.texts_per_image}; it must be at least 0 (all).")
    for name in ("warmup", "clip", "weight_decay", "patience", "attention_penalty"):
        if not 0 <= getattr(o, name) < math.inf:
            raise InputError(f"{name} is {getattr(o, name)}; it must be at least 0, and finite.")
    for name in ("smoothing", "averaging"):
        if not 0 <= getattr(o, name) < 1:
            raise InputError(f"{name} is {getattr(o, name)}; it must be at least 0 and below 1.")
    if not 0 < o.lr < math.inf:
        raise InputError(f"The learning rate is {o.lr}; it must be above 0, 0.001 for example.")
    if not 0 <= o.encoder_lr < math.inf:
        raise InputError(
            f"The encoder's learning rate is {o.encoder_lr}; it must be at least 0, 0.0001 for "
            "example."
        )


def convert(values: Any, kind: type[T]) -> T:
    """Plain values as a dataclass; raises ``InputError`` naming the field that does not fit."""
    try:
        made = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise InputError(str(error)) from error
    unknown = set(values) - {each.name for each in fields(kind)} if is_dataclass(kind) else ()
    if unknown:
        raise InputError(f"Object has the unknown field `{min(unknown)}`")
    return made


def read_settings(values: dict[str, Any], kind: type[T], where: str) -> T:
    """Settings that ``config.json`` holds as plain values."""
    try:
        return convert(values, kind)
    except InputError as error:
        raise InputError(f"config.json: {where}: {error}") from error
