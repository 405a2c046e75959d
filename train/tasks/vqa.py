"""Visual question answering: the task."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...evaluate.metrics import (
    OVERALL,
    Metric,
    Resampling,
    accuracy_family,
    find_intervals,
    number_images,
)
from ...models.base import Head
from ..data.batches import Batch, SamplesByImage
from ..data.order import deranged
from ..data.resident import (
    ClassTargets,
    PaddedBatch,
    ResidentSamples,
    SparseTargets,
    Targets,
)
from ..data.vqa import VqaData
from ..data.vqa_targets import SoftTargets
from ..features.split import SplitFeatures
from .answering import (
    answer_placed,
    answer_questions,
    answer_scores,
    eval_batch,
    padded_scores,
    write_answers,
)
from .losses import (
    class_cross_entropy,
    commonest_cross_entropy,
    few_classes_cross_entropy,
    soft_cross_entropy,
)
from .task import Precision, Task, interval_metrics


class VqaTask(Task):
    """Questions on images; scored by the official VQA accuracy, in percent."""

    score_name = "val_accuracy"
    score_format = "{:.2f} %"
    item_name = "questions"

    def __init__(
        self,
        head: Head,
        precision: Precision,
        answers: list[str],
        train: tuple[VqaData, SplitFeatures | None],
        val: tuple[VqaData, SplitFeatures | None],
        loss: str,
    ) -> None:
        self.head, self.precision, self.answers = head, precision, answers
        self.loss_kind = loss
        self.train_data, self.val_data = train[0], val[0]
        assert train[0].targets is not None
        keep = np.diff(train[0].targets.indptr) > 0
        if loss == "commonest":
            keep = train[0].targets.commonest >= 0
        self.train = self._by_image(*train, keep)
        self.val = self._by_image(*val, None)
        self.predicted = np.zeros(len(self.val_data.question_id), np.int64)
        assert self.val_data.targets is not None
        self.train_weight = float(loss_weights(train[0].targets, loss)[keep].mean())
        weights = loss_weights(self.val_data.targets, loss)  # none without validation
        self.val_weight = float(weights.sum() / max(1, len(weights)))
        self.val_image = number_images(self.val_data.image_id.tolist())

    def _by_image(
        self, data: VqaData, features: SplitFeatures | None, keep: NDArray[np.bool_] | None
    ) -> SamplesByImage:
        targets = data.targets

        def target_of(item: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
            assert targets is not None
            if self.loss_kind == "commonest":
                return (targets.commonest[item].astype(np.int64),)
            return soft_entries(targets, item)

        return SamplesByImage(
            data.image_id,
            data.tokens,
            data.length,
            features,
            keep,
            None if targets is None else target_of,
        )

    @property
    def sided_images(self) -> NDArray[np.int64]:
        """See :class:`Task`."""
        return self.train_data.sided_images

    def loss(self, batch: Batch) -> Tensor:
        """See :class:`Task`."""
        return self._loss(answer_scores(self.head, batch), batch) * batch.part.samples

    def _loss(self, scores: Tensor, batch: Batch) -> Tensor:
        if self.loss_kind == "commonest":
            return commonest_cross_entropy(scores, *batch.target)
        return soft_cross_entropy(scores, *batch.target)

    def padded_loss(self, batch: PaddedBatch) -> Tensor:
        """See :class:`Task`."""
        return self._padded_loss(padded_scores(self.head, batch), batch)

    def _padded_loss(self, scores: Tensor, batch: PaddedBatch) -> Tensor:
        entropy = class_cross_entropy if len(batch.target) == 1 else few_classes_cross_entropy
        loss: Tensor = entropy(scores, *batch.target) / batch.is_sample.sum()
        return loss

    def place_samples(self, batch_size: int) -> ResidentSamples:
        """See :class:`Task`."""
        return self._place(self.train, self.train_data, batch_size)

    def place_validation(self) -> None:
        """See :class:`Task`."""
        if self.val.features is None or self.val.features.resident is not None:
            size = eval_batch(self.head, self.precision.device)
            self.placed_val = self._place(self.val, self.val_data, size)

    def _place(self, samples: SamplesByImage, data: VqaData, batch_size: int) -> ResidentSamples:
        device, targets = self.precision.device, data.targets
        assert targets is not None
        place: Targets = ClassTargets(targets.commonest.astype(np.int64), device)
        if self.loss_kind == "soft":
            entries = soft_entries(targets, np.arange(len(targets)))
            place = SparseTargets(*entries, len(targets), device)
        return ResidentSamples(samples, place, device, batch_size)

    def predict(self, image_row: NDArray[np.int64] | None = None) -> float:
        """Answer every validation question into ``predicted``; returns the loss.

        It is on the training loss's scale. Training leaves out questions without a known answer,
        which add nothing to a loss; a mean over all validation questions would be the lower, the
        fewer of their answers are known.
        """
        scale = self.train_weight / self.val_weight if self.val_weight else 1.0
        if self.placed_val is not None and image_row is None:
            self.predicted, loss = answer_placed(
                self.head, self.placed_val, self.precision, self._padded_loss
            )
            return loss * scale
        self.predicted, loss = answer_questions(
            self.head, self.val, self.precision, self._loss, image_row
        )
        return loss * scale

    def accuracies(self) -> NDArray[np.float32]:
        """The official accuracy of each question's ``predicted`` answer, fractions ``[Q]``."""
        assert self.val_data.targets is not None
        return earned(self.val_data.targets, self.predicted)

    def accuracy(self) -> float:
        """The official accuracy of ``predicted``, in percent, unrounded."""
        return 100 * float(self.accuracies().mean())

    def evaluate(self) -> dict[str, float]:
        """See :class:`Task`."""
        loss, accuracies = self.predict(), self.accuracies()
        accuracy = 100 * float(accuracies.mean())
        metric = Metric(OVERALL, OVERALL, len(accuracies), accuracy)
        family = accuracy_family(metric, accuracies, self.val_image)
        (interval,) = find_intervals([family], Resampling())
        return {
            "val_loss": loss,
            "val_coverage": self.val_weight,
            "val_accuracy": accuracy,
            **interval_metrics("val_accuracy", interval),
        }

    def shuffled_metrics(self) -> dict[str, float]:
        """See :class:`Task`; a head that never looks scores the same."""
        self.head.eval()
        if self.val.features is None:
            self.predict()
        else:
            self.predict(self.val.image_row[deranged(self.val.n_images, 0)])
        return {"val_accuracy": self.accuracy()}

    def write_predictions(self, path: Path) -> None:
        """See :class:`Task`."""
        data = self.val_data
        write_answers(path, data.question_id, self.predicted, self.answers, data.id_names)


def soft_entries(
    targets: SoftTargets, item: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The soft targets of a batch as a sparse list: row in the batch, answer, share of people."""
    counts = np.diff(targets.indptr)[item]
    row = np.repeat(np.arange(len(item)), counts)
    before = np.cumsum(counts) - counts
    entry = np.arange(counts.sum()) + (targets.indptr[item] - before)[row]
    given = targets.count[entry]
    # Ten people answer a question. Two spellings in the list can stand for the same people, and
    # other sets may ask more of them: no question weighs more than another for that.
    people = np.maximum(10, np.bincount(row, given, len(item)))
    weight = given / people[row]
    return row, targets.answer[entry].astype(np.int64), weight.astype(np.float32)


def loss_weights(targets: SoftTargets, loss: str) -> NDArray[np.float64]:
    """How much each question weighs in the loss, ``[Q]`` in 0 to 1: 0 if no answer is known."""
    if loss == "commonest":
        return (targets.commonest >= 0).astype(np.float64)
    question = np.repeat(np.arange(len(targets)), np.diff(targets.indptr))
    given = np.bincount(question, targets.count, len(targets))
    return np.asarray(given / np.maximum(10, given), np.float64)


def earned(targets: SoftTargets, predicted: NDArray[np.int64]) -> NDArray[np.float32]:
    """What each question's predicted answer earns, ``[Q]`` in 0 to 1: 0 if nobody gave it."""
    question = np.repeat(np.arange(len(predicted)), np.diff(targets.indptr))
    hit = targets.answer == predicted[question]
    score = np.zeros(len(predicted), np.float32)
    score[question[hit]] = targets.score[hit]
    return score
