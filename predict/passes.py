"""A head over many questions or images, with probabilities and, if asked for, attention."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.base import CaptionHead, VqaHead
from ..models.beam import BeamOptions, search
from ..train.data.batches import SamplesByImage
from ..train.data.prefetch import read_ahead
from ..train.features.split import Cells, SplitFeatures
from ..train.tasks.answering import eval_batch
from ..train.tasks.captions import EVAL_IMAGES
from .inference import AttentionMap, teacher_force
from .records import AttentionGrid
from .trained import TrainedRun


@dataclass(frozen=True)
class Answers:
    """Q questions' best answers; 0 for those that the samples leave out.

    ``answer``: int64 [Q], numbers into the run's answers; ``probability``: float32 [Q];
    ``attention``: the last hop's [H, W] for each question that is not left out, if asked for.
    """

    answer: NDArray[np.int64]
    probability: NDArray[np.float32]
    attention: list[AttentionGrid]


@dataclass(frozen=True)
class Captions:
    """N images' captions; ``attention``: [T, H, W] for each, a grid a word, if asked for."""

    text: list[str]
    attention: list[AttentionGrid]


def answer_all(run: TrainedRun, samples: SamplesByImage, with_attention: bool) -> Answers:
    """Answer every question."""
    head, device = run.head, run.precision.device
    assert isinstance(head, VqaHead)
    n = len(samples.length)
    answer, probability = np.zeros(n, np.int64), np.zeros(n, np.float32)
    maps: dict[int, AttentionGrid] = {}
    with run.precision.evaluation():
        order = np.arange(samples.n_images)
        for batch in samples.batches(order, eval_batch(head, device), device):
            features = None if batch.features is None else batch.features.floats()
            asked = (features, batch.image_index, batch.tokens, batch.length)
            hops: list[torch.Tensor] = []
            if with_attention:
                scores, hops = head.with_attention(*asked)
            else:
                scores = head(*asked)
            best = scores.float().softmax(1).max(1)
            answer[batch.item] = best.indices.cpu().numpy()
            probability[batch.item] = best.values.cpu().numpy()
            if hops:
                top = hops[-1].float().cpu().numpy()
                maps |= {int(i): as_grid(one) for i, one in zip(batch.item, top, strict=True)}
    return Answers(answer, probability, [maps[i] for i in sorted(maps)])


def describe_all(
    run: TrainedRun,
    features: SplitFeatures,
    rows: NDArray[np.int64],
    options: BeamOptions,
    with_attention: bool,
) -> Captions:
    """Describe every image by beam search."""
    head, device = run.head, run.precision.device
    assert isinstance(head, CaptionHead)
    texts: list[str] = []
    grids: list[AttentionGrid] = []
    size = EVAL_IMAGES[device.type]
    parts = np.split(rows, np.arange(size, len(rows), size))
    makers = (lambda part=part: features.gather(part, device) for part in parts)
    with run.precision.evaluation():
        for cells in read_ahead(makers):
            found = search(head, cells.floats(), options)
            texts += [" ".join(run.words[word] for word in caption) for caption in found]
            if with_attention:
                grids += [trace(run, cells, i, caption) for i, caption in enumerate(found)]
    return Captions(texts, grids)


def trace(run: TrainedRun, cells: Cells, image: int, caption: list[int]) -> AttentionGrid:
    """Where a decoder looked for each word of the caption that it made of an image: [T, H, W]."""
    assert isinstance(run.head, CaptionHead)
    features = cells.floats()[image : image + 1]
    maps = teacher_force(run.head, features, caption, run.words).attention
    return np.stack([as_grid(one) for one in maps]) if maps else np.zeros((0, 0, 0), np.float16)


def as_grid(attention: AttentionMap) -> AttentionGrid:
    """A map [S] as [H, W]."""
    side = math.isqrt(attention.size)
    return attention.reshape(side, side).astype(np.float16)
