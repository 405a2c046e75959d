"""Captioning: the task."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...atomic import write_bytes
from ...evaluate.captions.scores import score_captions
from ...models.base import CaptionHead, TeacherForcedOutput
from ...models.beam import BeamOptions, search
from ...models.layers.padding import padded
from ..data.batches import Batch, SamplesByImage
from ..data.captions import CaptionData
from ..data.features import SplitFeatures
from ..data.order import deranged
from ..data.prefetch import read_ahead
from ..data.resident import PaddedBatch, ResidentSamples, no_targets
from .losses import class_cross_entropy, word_cross_entropy
from .task import Precision, Task

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
        self.val_data, self.val_features = val
        self.val_rows = self.val_features.rows(self.val_data.image_ids)
        self.sample = np.arange(min(SAMPLE_IMAGES, len(self.val_rows)))
        self.captions: list[str] = []

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
            weight = self.attention_penalty * batch.part.samples
            loss = loss + weight * (1 - output.attention_sum).square().mean()
        return loss

    def padded_loss(self, batch: PaddedBatch) -> Tensor:
        """See :class:`Task`."""
        output = self._teach_padded(batch)
        n_words = (batch.length - 1).sum()  # none of padding
        loss: Tensor = class_cross_entropy(output.scores, output.target) / n_words
        if self.attention_penalty and output.attention_sum is not None:
            missed = (1 - output.attention_sum).square().mean(1)
            n_samples = batch.is_sample.sum()
            loss = loss + self.attention_penalty * (missed * batch.is_sample).sum() / n_samples
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
        total = torch.zeros(3, dtype=torch.float64, device=self.precision.device)
        with self.precision.evaluation():
            for output in self._taught():
                scores, target = output.scores, output.target
                loss = class_cross_entropy(scores, target)
                top = scores.topk(min(5, scores.shape[1]), 1).indices
                hits = (top == target[:, None]).sum()
                total += torch.stack([loss, hits, (target >= 0).sum()])
        loss_sum, n_hits, n_words = total.tolist()
        loss = loss_sum / max(1, n_words)
        return {
            "val_loss": loss,
            "val_perplexity": math.exp(min(loss, 700)),
            "val_top5": 100 * n_hits / max(1, n_words),
        }

    def _taught(self) -> Iterator[TeacherForcedOutput]:
        """Teacher-forced passes over all validation captions."""
        order, placed = np.arange(self.val.n_images), self.placed_val
        if placed is None:
            for batch in self.val.batches(order, EVAL_BATCH, self.precision.device):
                yield self.teach(batch)
        else:
            for slot in placed.plan(order):
                yield self._teach_padded(placed.read(slot.packed, slot.shape))

    def _score(self) -> dict[str, float]:
        ids = self.val_data.image_ids[self.sample].tolist()
        references = [self.val_data.references[i] for i in self.sample]
        scores = score_captions(ids, self.captions, references, metrics=("bleu", "cider"))
        return {"val_bleu4": scores.bleu()[3], "val_cider": scores.cider_mean()}

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


def describe(
    head: CaptionHead,
    features: SplitFeatures,
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
