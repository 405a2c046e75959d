"""Predictions for a whole split, in the official result formats."""

from dataclasses import dataclass
from pathlib import Path

from ..datasets.catalog import address_of, open_dataset
from ..evaluate.reference_files import record_source
from ..models.base import CaptionHead
from ..models.beam import BeamOptions
from ..train.data import vqa as vqa_data
from ..train.data.batches import SamplesByImage
from ..train.data.features import SplitFeatures
from ..train.prepare import open_run_features
from ..train.settings.config import RunConfig
from ..train.tasks.captions import describe, write_captions
from ..train.tasks.vqa import answer_questions, write_answers
from .trained import TrainedRun


@dataclass(frozen=True)
class SplitPredictions:
    """What was written: ``n`` answers or captions (``kind``) in ``path``."""

    path: Path
    n: int
    kind: str


def predict_split(
    run: TrainedRun, config: RunConfig, split: str, out: Path, options: BeamOptions
) -> SplitPredictions:
    """Answer the split's questions, or describe its images, and write the result file.

    What it is of is recorded beside it, for ``score``.

    ``config`` is the run's own, or names other data and features. Raises ``InputError`` for data or
    features that are missing or do not fit the run.
    """
    source = open_run_features(config, split)
    if config.task == "vqa":
        written = predict_answers(run, config.data, split, source, out)
    else:
        assert source is not None
        written = predict_captions(run, config.data, split, source, out, options)
    record_source(out, address_of(config.data), split, config.task)
    return written


def can_be_scored(config: RunConfig, split: str) -> bool:
    """Whether the data have references for the split; test splits often have none."""
    dataset = open_dataset(config.data)
    return dataset.has_annotations(split) if config.task == "vqa" else dataset.has_captions(split)


def predict_answers(
    run: TrainedRun, data: str, split: str, features: SplitFeatures | None, out: Path
) -> SplitPredictions:
    """Answer every question of the split."""
    questions = vqa_data.load_split(open_dataset(data), split, run.words, run.answers)
    samples = SamplesByImage(questions.image_id, questions.tokens, questions.length, features)
    predicted, _ = answer_questions(run.head, samples, run.precision)
    write_answers(out, questions.question_id, predicted, run.answers, questions.id_names)
    return SplitPredictions(out, len(predicted), "answers")


def predict_captions(
    run: TrainedRun,
    data: str,
    split: str,
    features: SplitFeatures,
    out: Path,
    options: BeamOptions,
) -> SplitPredictions:
    """Describe every image of the split."""
    assert isinstance(run.head, CaptionHead)
    dataset = open_dataset(data)
    image_ids = dataset.images(split).image_ids
    rows = features.rows(image_ids)
    captions = describe(run.head, features, rows, run.words, run.precision, options)
    write_captions(out, image_ids, captions, dataset.stated_images(split).id_names)
    return SplitPredictions(out, len(captions), "captions")
