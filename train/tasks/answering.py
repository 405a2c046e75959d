"""Asking a head a split's questions, and writing what it answers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...atomic import write_bytes
from ...models.base import Head
from ...models.layers.padding import padded
from ..data.batches import Batch, SamplesByImage
from ..data.resident import PaddedBatch, ResidentSamples
from .task import Precision

# Questions, by the features that a head reads: on the CPU, grids of more would need memory that
# training did not free; on a GPU, a batch takes as long to launch as four times as many questions.
EVAL_BATCH = {
    "cpu": {"none": 1024, "pooled": 1024, "grid": 512},
    "cuda": {"none": 4096, "pooled": 4096, "grid": 2048},
}


def eval_batch(head: Head, device: torch.device) -> int:
    """How many questions a head is asked at once."""
    return EVAL_BATCH[device.type][head.features]


def answer_scores(head: Head, batch: Batch) -> Tensor:
    """A head's answer scores ``[B, A]``."""
    features = None if batch.features is None else batch.features.floats()
    scores: Tensor = head(features, batch.image_index, batch.tokens, batch.length)
    return scores


def padded_scores(head: Head, batch: PaddedBatch) -> Tensor:
    """A head's answer scores ``[B, A]`` of a padded batch."""
    features = None if batch.features is None else batch.features.floats()
    with padded(batch.is_image):
        scores: Tensor = head(features, batch.image_index, batch.tokens, batch.length)
    return scores


def answer_placed(
    head: Head,
    questions: ResidentSamples,
    precision: Precision,
    loss_of: Callable[[Tensor, PaddedBatch], Tensor],
) -> tuple[NDArray[np.int64], float]:
    """:func:`answer_questions` of questions that are on the device."""
    samples = questions.samples
    loss = torch.zeros((), dtype=torch.float64, device=questions.device)
    found = torch.zeros(len(samples.tokens), dtype=torch.long, device=questions.device)
    with precision.evaluation():
        for slot in questions.plan(np.arange(samples.n_groups)):
            batch = questions.read(slot.packed, slot.shape)
            scores = padded_scores(head, batch)
            loss += loss_of(scores, batch).double() * len(slot)
            found[slot.packed[: len(slot)]] = scores.argmax(1)[: len(slot)]
    return found.cpu().numpy(), float(loss) / max(1, samples.n_items)


def answer_questions(
    head: Head,
    questions: SamplesByImage,
    precision: Precision,
    loss_of: Callable[[Tensor, Batch], Tensor] | None = None,
    image_row: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], float]:
    """The best answer's number for every question, int64 ``[Q]``, and the mean loss if asked.

    ``image_row`` as in :class:`SamplesByImage`.
    """
    device = precision.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    predicted = np.zeros(questions.n_items, np.int64)
    parts: list[tuple[NDArray[np.int64], Tensor]] = []
    order = np.arange(questions.n_images)
    with precision.evaluation():
        size = eval_batch(head, device)
        for batch in questions.batches(order, size, device, image_row=image_row):
            scores = answer_scores(head, batch)
            if loss_of is not None:
                loss += loss_of(scores, batch).double() * len(batch)
            parts.append((batch.item, scores.argmax(1)))
    for item, answer in parts:  # after the pass: no step waits for the one before it
        predicted[item] = answer.cpu().numpy()
    return predicted, float(loss) / max(1, questions.n_items)


def write_answers(
    path: Path,
    question_id: NDArray[np.int64],
    predicted: NDArray[np.int64],
    answers: list[str],
    id_names: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Write the official result format, atomically; ids that are no numbers as they were given."""
    entries = [
        {"question_id": id_names.get(question, question), "answer": answers[answer]}
        for question, answer in zip(question_id.tolist(), predicted.tolist(), strict=True)
    ]
    write_bytes(path, msgspec.json.encode(entries))
