"""What the training loop needs to know of a task, and no more."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...evaluate.bootstrap import Interval
from ...models.base import Head
from ..data.batches import Batch, SamplesByImage
from ..data.resident import PaddedBatch, ResidentSamples


@dataclass(frozen=True)
class Precision:
    """Where the network runs and in which half precision, if any."""

    device: torch.device
    amp: torch.dtype | None

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        if self.amp is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """The context of many forward passes without gradients.

        Autocast casts the weights once for all of them, which it does outside of inference mode
        alone.
        """
        with torch.inference_mode(False), torch.no_grad(), self.autocast():
            yield


class Task(ABC):
    """A head, its training and validation samples, its loss and its score."""

    score_name: ClassVar[str]  # the metric that picks the best epoch; larger is better
    score_format: ClassVar[str]  # how the score is shown
    item_name: ClassVar[str]  # what a batch counts
    why_plain: ClassVar[str] = ""  # why its updates cannot be captured, if so

    head: Head
    train: SamplesByImage
    val: SamplesByImage
    precision: Precision
    placed_val: ResidentSamples | None = None  # the validation samples, where they are on a device

    @property
    def validates(self) -> bool:
        """Whether there is anything to validate on."""
        return self.val.n_items > 0

    @property
    @abstractmethod
    def sided_images(self) -> NDArray[np.int64]:
        """The ids of the training images of which a text says left or right."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The batch's mean loss, a float32 scalar with gradients.

        Of a part of a batch, what it adds to the mean of the whole (see :class:`.batches.Part`).
        """

    @abstractmethod
    def padded_loss(self, batch: PaddedBatch) -> Tensor:
        """The same of a whole batch that is padded; no operation's shape depends on a number."""

    @abstractmethod
    def place_samples(self, batch_size: int) -> ResidentSamples:
        """The training samples on the device, whose features are resident there."""

    @abstractmethod
    def place_validation(self) -> None:
        """Keep the validation samples on the device too, as ``placed_val``."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Metrics of the validation split: ``val_loss`` and the score at least."""

    def training_metrics(self) -> dict[str, float]:
        """What the task measured in training since the last call: nothing by default."""
        return {}

    @abstractmethod
    def write_predictions(self, path: Path) -> None:
        """The last evaluation's predictions in the official result format."""

    @abstractmethod
    def shuffled_metrics(self) -> dict[str, float]:
        """The official metrics with every validation image exchanged for another one."""


def interval_metrics(name: str, interval: Interval) -> dict[str, float]:
    """A score's interval as metrics of an epoch; nothing where there is none."""
    if not math.isfinite(interval.low):
        return {}
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}
