"""Several runs as one: the averages of their probabilities answer or describe a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.catalog import open_dataset
from ..errors import InputError
from ..models.base import CaptionHead
from ..models.beam import BeamOptions
from ..models.ensemble import Ensemble
from ..train.data import vqa as vqa_data
from ..train.data.batches import SamplesByImage
from ..train.data.selection import SplitPart
from ..train.features.split import Cells, SplitFeatures
from ..train.inputs import open_run_features
from ..train.settings.config import RunConfig
from ..train.tasks.answering import answer_scores, eval_batch, write_answers
from ..train.tasks.captions import describe, write_captions
from .split import SplitPredictions, check_left, images_of, part_with_features, recorded
from .trained import TrainedRun

CHUNK = 2**26  # probabilities kept at a time


@dataclass(frozen=True)
class Member:
    """A run, where it is, and the features that it reads of the split, if any."""

    path: Path
    run: TrainedRun
    features: SplitFeatures | None


def predict_together(
    paths: Sequence[Path],
    runs: Sequence[TrainedRun],
    configs: Sequence[RunConfig],
    split: str,
    out: Path,
    options: BeamOptions,
) -> SplitPredictions:
    """As ``predict_split``, by several runs of one data set, each with its own config."""
    first = configs[0]
    for path, config in zip(paths, configs, strict=True):
        if config.data != first.data:
            raise InputError(
                f"{path} was trained on {config.data}, {paths[0]} on {first.data}; say by --data "
                "which of them to predict."
            )
    members = [
        Member(path, run, open_run_features(config, split))
        for path, run, config in zip(paths, runs, configs, strict=True)
    ]
    check_together(members)
    part, why = part_with_features(configs, split)
    if first.task == "vqa":
        written = answer_together(members, first.data, part, out)
    else:
        written = describe_together(members, first.data, part, out, options)
    return recorded(written, first, split, why)


def check_together(members: Sequence[Member]) -> None:
    """Raise ``InputError`` for runs that cannot speak as one."""
    first = members[0]
    for other in members[1:]:
        if other.run.config.task != first.run.config.task:
            raise InputError(
                f"{first.path} and {other.path}: one answers questions, the other describes "
                "images; name runs of one task."
            )
        if first.run.config.task == "caption" and other.run.words != first.run.words:
            raise InputError(
                f"{first.path} and {other.path}: their vocabularies differ ({len(first.run.words)} "
                f"and {len(other.run.words)} words); name runs trained on the same captions."
            )


def answer_together(
    members: Sequence[Member], data: str, part: SplitPart, out: Path
) -> SplitPredictions:
    """Answer every question on a part of a split.

    Answers are those of any run; one that a run does not know has probability 0 there.
    """
    dataset = open_dataset(data)
    answers = list(dict.fromkeys(a for member in members for a in member.run.answers))
    column = {answer: i for i, answer in enumerate(answers)}
    asked = [
        vqa_data.load_split(dataset, part.split, member.run.words, member.run.answers).of_part(part)
        for member in members
    ]
    question_id = asked[0].question_id
    check_left(len(question_id), part)
    predicted = np.zeros(len(question_id), np.int64)
    step = max(1, CHUNK // len(answers))
    for start in range(0, len(question_id), step):
        total = np.zeros((min(step, len(question_id) - start), len(answers)), np.float32)
        for member, questions in zip(members, asked, strict=True):
            columns = np.array([column[answer] for answer in member.run.answers])
            add_probabilities(member, questions, start, columns, total)
        predicted[start : start + step] = total.argmax(1)
    write_answers(out, question_id, predicted, answers, asked[0].id_names)
    return SplitPredictions(out, len(question_id), "answers", counts=asked[0].left_out)


def add_probabilities(
    member: Member,
    questions: vqa_data.VqaData,
    start: int,
    columns: NDArray[np.int64],
    total: NDArray[np.float32],
) -> None:
    """Add a run's probabilities for the questions from ``start`` on to their rows of ``total``."""
    run = member.run
    item = np.arange(len(questions.question_id))
    keep = (item >= start) & (item < start + len(total))
    samples = SamplesByImage(
        questions.image_id, questions.tokens, questions.length, member.features, keep
    )
    order = np.arange(samples.n_images)
    with run.precision.evaluation():
        device = run.precision.device
        for batch in samples.batches(order, eval_batch(run.head, device), device):
            chances = answer_scores(run.head, batch).float().softmax(1).cpu().numpy()
            total[(batch.item - start)[:, None], columns] += chances


@dataclass(frozen=True)
class AllCells:
    """The same images' cells for each decoder."""

    each: list[Cells]

    def floats(self) -> list[Tensor]:
        """See :class:`Cells`."""
        return [cells.floats() for cells in self.each]


class AllFeatures:
    """The features of the same images, in the same order, for each decoder."""

    def __init__(self, each: Sequence[SplitFeatures], image_ids: NDArray[np.int64]) -> None:
        self.each = [(features, features.rows(image_ids)) for features in each]

    def gather(self, image: NDArray[np.int64], device: torch.device) -> AllCells:
        """The cells of these of the images."""
        return AllCells([features.gather(rows[image], device) for features, rows in self.each])


def describe_together(
    members: Sequence[Member], data: str, part: SplitPart, out: Path, options: BeamOptions
) -> SplitPredictions:
    """Describe every image of a part of a split."""
    heads: list[CaptionHead] = []
    each: list[SplitFeatures] = []
    for member in members:
        assert isinstance(member.run.head, CaptionHead)
        assert member.features is not None
        heads.append(member.run.head)
        each.append(member.features)
    image_ids, counts = images_of(data, part)
    features, first = AllFeatures(each, image_ids), members[0].run
    images = np.arange(len(image_ids))
    captions = describe(
        Ensemble(heads).eval(), features, images, first.words, first.precision, options
    )
    write_captions(out, image_ids, captions, open_dataset(data).stated_images(part.split).id_names)
    return SplitPredictions(out, len(captions), "captions", counts=counts)
