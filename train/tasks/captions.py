"""Captioning: the task."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...atomic import write_bytes
from ...evaluate.captions.results import caption_families
from ...evaluate.captions.scores import score_captions
from ...evaluate.metrics import Resampling, find_intervals
from ...models.base import CaptionHead, TeacherForcedOutput
from ...models.beam import BeamOptions, search
from ...models.layers.padding import padded
from ..data.batches import Batch, SamplesByImage
from ..data.captions import CaptionData
from ..data.order import deranged
from ..data.prefetch import read_ahead
from ..data.resident import PaddedBatch, ResidentSamples, no_targets
from ..features.split import SplitFeatures
from .losses import class_cross_entropy, word_cross_entropy
from .task import Precision, Task, interval_metrics

EVAL_BATCH = 512  # captions; no gradients are kept, so more of them fit
EVAL_IMAGES = {"cpu": 64, "cuda": 512}  # images described at once
SAMPLE_IMAGES = 5000  # of the validation split that are described every epoch, at most
GREEDY = BeamOptions(beam=1, max_length=20)


class CaptionTask(Task):
    """Captions of images; scored by the BLEU-4 of captions that the head makes on its own."""

    score_name = "val_bleu4"
    score_format = "BLEU-4 {:.4f}"
    item_name = "captions"

    def __init__(
        self,
        head: CaptionHead,
        precision: Precision,
        words: list[str],
        train: tuple[CaptionData, SplitFeatures],
        val: tuple[CaptionData, SplitFeatures],
        attention_penalty: float,
        max_length: int = GREEDY.max_length,
    ) -> None:
        self.head: CaptionHead = head
        self.precision, self.words = precision, words
        self.attention_penalty = attention_penalty
        self.options = replace(GREEDY, max_length=max_length)
        self.train, self.val = (
            SamplesByImage(data.image_id, data.tokens, data.length, features)
            for data, features in (train, val)
        )
        self.train_data = train[0]
        self.val_data, self.val_features = val
        self.val_rows = self.val_features.rows(self.val_data.image_ids)
        self.sample = np.arange(min(SAMPLE_IMAGES, len(self.val_rows)))
        self.captions: list[str] = []

    @property
    def sided_images(self) -> NDArray[np.int64]:
        """See :class:`Task`."""
        return self.train_data.sided_images

    def teach(self, batch: Batch) -> TeacherForcedOutput:
        """A teacher-forced pass."""
        assert batch.features is not None
        out: TeacherForcedOutput = self.head(
            batch.features.floats(), batch.image_index, batch.tokens, batch.length
        )
        return out

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy a word, and the doubly stochastic penalty (Xu et al., 2015, eq. 14).

        The penalty is averaged over the cells, so that its weight does not depend on their number.
        """
        output = self.teach(batch)
        loss = word_cross_entropy(output.scores, output.target) * batch.part.words
        if self.attention_penalty and output.attention_sum is not None:
            loss = loss + self._missed(output).mean() * batch.part.samples
        return loss

    def _missed(self, output: TeacherForcedOutput, is_sample: Tensor | None = None) -> Tensor:
        # The penalty of each sample, 0 of those that only pad a batch.
        if not self.attention_penalty or output.attention_sum is None:
            return output.scores.new_zeros(1)
        missed = self.attention_penalty * (1 - output.attention_sum).square().mean(1)
        return missed if is_sample is None else missed * is_sample

    def padded_loss(self, batch: PaddedBatch) -> Tensor:
        """See :class:`Task`."""
        output = self._teach_padded(batch)
        n_words = (batch.length - 1).sum()  # none of padding
        loss: Tensor = class_cross_entropy(output.scores, output.target) / n_words
        if self.attention_penalty and output.attention_sum is not None:
            missed = self._missed(output, batch.is_sample)
            loss = loss + missed.sum() / batch.is_sample.sum()
        return loss

    def _teach_padded(self, batch: PaddedBatch) -> TeacherForcedOutput:
        assert batch.features is not None
        cells = batch.features.floats()
        with padded(batch.is_image):
            out: TeacherForcedOutput = self.head(
                cells, batch.image_index, batch.tokens, batch.length
            )
        return out

    def place_samples(self, batch_size: int) -> ResidentSamples:
        """See :class:`Task`."""
        return ResidentSamples(self.train, no_targets, self.precision.device, batch_size)

    def place_validation(self) -> None:
        """See :class:`Task`."""
        if self.val_features.resident is not None:
            device = self.precision.device
            self.placed_val = ResidentSamples(self.val, no_targets, device, EVAL_BATCH)

    def evaluate(self) -> dict[str, float]:
        """Teacher-forced loss, perplexity, top-5 accuracy; BLEU-4 and CIDEr-D of own captions."""
        metrics = self._teacher_forced_metrics()
        self.captions = self.describe(self.val_rows[self.sample])
        return {**metrics, **self._score()}

    def _teacher_forced_metrics(self) -> dict[str, float]:
        total = torch.zeros(4, dtype=torch.float64, device=self.precision.device)
        with self.precision.evaluation():
            for output, is_sample in self._taught():
                scores, target = output.scores, output.target
                loss = class_cross_entropy(scores, target)
                top = scores.topk(min(5, scores.shape[1]), 1).indices
                hits = (top == target[:, None]).sum()
                penalty = self._missed(output, is_sample).sum()
                total += torch.stack([loss, hits, (target >= 0).sum(), penalty])
        loss_sum, n_hits, n_words, penalty_sum = total.tolist()
        loss = loss_sum / max(1, n_words)
        return {
            **({"val_penalty": penalty_sum / self.val.n_items} if self.attention_penalty else {}),
            "val_loss": loss,
            "val_perplexity": math.exp(min(loss, 700)),
            "val_top5": 100 * n_hits / max(1, n_words),
        }

    def _taught(self) -> Iterator[tuple[TeacherForcedOutput, Tensor | None]]:
        """Teacher-forced passes over all validation captions, and which rows are samples."""
        order, placed = np.arange(self.val.n_images), self.placed_val
        if placed is None:
            for batch in self.val.batches(order, EVAL_BATCH, self.precision.device):
                yield self.teach(batch), None
        else:
            for slot in placed.plan(order):
                read = placed.read(slot.packed, slot.shape)
                yield self._teach_padded(read), read.is_sample

    def _score(self) -> dict[str, float]:
        ids = self.val_data.image_ids[self.sample].tolist()
        references = [self.val_data.references[i] for i in self.sample]
        scores = score_captions(ids, self.captions, references, metrics=("bleu", "cider"))
        *_, bleu4, _, cider = find_intervals(caption_families(scores), Resampling())
        return {
            "val_bleu4": scores.bleu()[3],
            **interval_metrics("val_bleu4", bleu4),
            "val_cider": scores.cider_mean(),
            **interval_metrics("val_cider", cider),
        }

    def describe(self, rows: NDArray[np.int64]) -> list[str]:
        """Captions of these rows of the validation features."""
        return describe(
            self.head, self.val_features, rows, self.words, self.precision, self.options
        )

    def shuffled_metrics(self) -> dict[str, float]:
        """See :class:`Task`."""
        self.head.eval()
        rows = self.val_rows[self.sample]
        self.captions = self.describe(rows[deranged(len(rows), 0)])
        return self._score()

    def write_predictions(self, path: Path) -> None:
        """See :class:`Task`; images beyond the epoch's sample are described now."""
        rest = self.describe(self.val_rows[len(self.sample) :])
        data = self.val_data
        write_captions(path, data.image_ids, self.captions + rest, data.id_names)


class Floats(Protocol):
    """Cells of images, as a decoder takes them: see ``Cells``."""

    def floats(self) -> Any: ...  # noqa: D102


class Gathered(Protocol):
    """Where the cells of images are gathered from: ``SplitFeatures``, or like it."""

    def gather(self, rows: NDArray[np.int64], device: torch.device) -> Floats: ...  # noqa: D102


def describe(
    head: CaptionHead,
    features: Gathered,
    rows: NDArray[np.int64],
    words: Sequence[str],
    precision: Precision,
    options: BeamOptions,
) -> list[str]:
    """A caption for each of these rows of the features."""
    n = EVAL_IMAGES[precision.device.type]
    parts = np.split(rows, np.arange(n, len(rows), n)) if len(rows) else []
    makers = (lambda part=part: features.gather(part, precision.device) for part in parts)
    with precision.evaluation():
        found = [search(head, cells.floats(), options) for cells in read_ahead(makers)]
    return [" ".join(words[word] for word in caption) for part in found for caption in part]


def write_captions(
    path: Path,
    image_ids: NDArray[np.int64],
    captions: list[str],
    id_names: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Write the official result format, atomically; ids that are no numbers as they were given."""
    entries = [
        {"image_id": id_names.get(image, image), "caption": caption}
        for image, caption in zip(image_ids.tolist(), captions, strict=True)
    ]
    write_bytes(path, msgspec.json.encode(entries))
