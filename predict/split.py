"""A run's predictions for a whole split, in the official result formats."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..datasets.catalog import open_dataset
from ..models.base import CaptionHead
from ..models.beam import BeamOptions
from ..train.data import vqa as vqa_data
from ..train.data.batches import SamplesByImage
from ..train.data.features import SplitFeatures
from ..train.prepare import open_run_features
from ..train.tasks.captions import describe, write_captions
from ..train.tasks.vqa import answer_questions, write_answers
from .trained import Trained


@dataclass(frozen=True)
class Predicted:
    """What was written: ``n`` answers or captions, called ``what``, in ``path``."""

    path: Path
    n: int
    what: str


def predict_split(
    trained: Trained, data: str, split: str, features: list[str], out: Path, options: BeamOptions
) -> Predicted:
    """Answer the split's questions, or describe its images, and write the result file.

    Raises ``InputError`` for data or features that are missing or do not fit the run.
    """
    config = replace(trained.config, features=features, data=data)
    source = open_run_features(config, split)
    if config.task == "vqa":
        return predict_answers(trained, data, split, source, out)
    assert source is not None
    return predict_captions(trained, data, split, source, out, options)


def predict_answers(
    trained: Trained, data: str, split: str, features: SplitFeatures | None, out: Path
) -> Predicted:
    """Answer every question of the split."""
    questions = vqa_data.load_split(open_dataset(data), split, trained.words, trained.answers)
    texts = SamplesByImage(questions.image_id, questions.tokens, questions.length, features)
    predicted, _ = answer_questions(trained.head, texts, trained.precision)
    write_answers(out, questions.question_id, predicted, trained.answers)
    return Predicted(out, len(predicted), "answers")


def predict_captions(
    trained: Trained,
    data: str,
    split: str,
    features: SplitFeatures,
    out: Path,
    options: BeamOptions,
) -> Predicted:
    """Describe every image of the split."""
    assert isinstance(trained.head, CaptionHead)
    image_ids = open_dataset(data).images(split).image_ids
    rows = features.rows(image_ids)
    captions = describe(trained.head, features, rows, trained.words, trained.precision, options)
    write_captions(out, image_ids, captions)
    return Predicted(out, len(captions), "captions")
