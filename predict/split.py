"""Predictions for a whole split, in the official result formats."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..datasets.captions import load_captions
from ..datasets.catalog import address_of, open_dataset
from ..errors import InputError
from ..evaluate.reference_files import record_source
from ..models.base import CaptionHead
from ..models.beam import BeamOptions
from ..train.data import vqa as vqa_data
from ..train.data.batches import SamplesByImage
from ..train.data.selection import Ids, LeftOut, SplitPart
from ..train.features.split import SplitFeatures
from ..train.inputs import describe_left_out, find_missing, open_run_features, skip, stated_ids
from ..train.settings.config import RunConfig
from ..train.tasks.answering import answer_questions, write_answers
from ..train.tasks.captions import describe, write_captions
from .trained import TrainedRun


@dataclass(frozen=True)
class SplitPredictions:
    """What was written: ``n`` answers or captions (``kind``) in ``path``.

    ``left_out``: what was not predicted, in words; ``counts``: the same as it is recorded.
    """

    path: Path
    n: int
    kind: str
    left_out: str = ""
    counts: LeftOut = field(default_factory=dict)


def predict_split(
    run: TrainedRun, config: RunConfig, split: str, out: Path, options: BeamOptions
) -> SplitPredictions:
    """Answer the split's questions, or describe its images, and write the result file.

    What it is of is recorded beside it, for ``score``.

    ``config`` is the run's own, or names other data and features. Raises ``InputError`` for data or
    features that are missing or do not fit the run.
    """
    source = open_run_features(config, split)
    part, why = part_with_features([config], split)
    if config.task == "vqa":
        written = predict_answers(run, config.data, part, source, out)
    else:
        assert source is not None
        written = predict_captions(run, config.data, part, source, out, options)
    return recorded(written, config, split, why)


def part_with_features(configs: Sequence[RunConfig], split: str) -> tuple[SplitPart, str]:
    """The part of a split that all of some runs have features of, where it may be a part.

    Also returns why the rest has none, in words.
    """
    part, why = SplitPart(split), ""
    for config in configs:
        if config.missing == "skip":
            ids = stated_ids(open_dataset(config.data), split)
            if part.image_ids is None:
                part = SplitPart(split, ids)
            missing, reason = find_missing(config, split, ids)
            part, why = skip(part, missing), reason or why
    return part, why


def recorded(
    written: SplitPredictions, config: RunConfig, split: str, why: str
) -> SplitPredictions:
    """Record beside predictions what they are of; returns them with what is left out in words."""
    asked = "questions" if config.task == "vqa" else "captions"
    said = describe_left_out(written.counts, split, asked, why)
    record_source(written.path, address_of(config.data), split, config.task, written.counts)
    return replace(written, left_out=said)


def can_be_scored(config: RunConfig, split: str) -> bool:
    """Whether the data have references for the split; test splits often have none."""
    dataset = open_dataset(config.data)
    return dataset.has_annotations(split) if config.task == "vqa" else dataset.has_captions(split)


def predict_answers(
    run: TrainedRun, data: str, part: SplitPart, features: SplitFeatures | None, out: Path
) -> SplitPredictions:
    """Answer every question on a part of a split."""
    questions = vqa_data.load_split(open_dataset(data), part.split, run.words, run.answers)
    questions = questions.of_part(part)
    check_left(len(questions.question_id), part)
    samples = SamplesByImage(questions.image_id, questions.tokens, questions.length, features)
    predicted, _ = answer_questions(run.head, samples, run.precision)
    write_answers(out, questions.question_id, predicted, run.answers, questions.id_names)
    return SplitPredictions(out, len(predicted), "answers", counts=questions.left_out)


def predict_captions(
    run: TrainedRun,
    data: str,
    part: SplitPart,
    features: SplitFeatures,
    out: Path,
    options: BeamOptions,
) -> SplitPredictions:
    """Describe every image of a part of a split."""
    assert isinstance(run.head, CaptionHead)
    image_ids, counts = images_of(data, part)
    rows = features.rows(image_ids)
    captions = describe(run.head, features, rows, run.words, run.precision, options)
    write_captions(out, image_ids, captions, open_dataset(data).stated_images(part.split).id_names)
    return SplitPredictions(out, len(captions), "captions", counts=counts)


def images_of(data: str, part: SplitPart) -> tuple[Ids, LeftOut]:
    """The images of a part of a split, and what is left out; see ``check_left`` for errors."""
    dataset, counts = open_dataset(data), {}
    if part.image_ids is None:
        image_ids = dataset.images(part.split).image_ids
    else:  # the files of those that are left out need not be there
        image_ids = dataset.stated_images(part.split).image_ids
        has_texts = dataset.has_captions(part.split)
        said = load_captions(dataset, part.split).image_id if has_texts else image_ids
        counts, image_ids = part.count_left_out(said), image_ids[part.keeps(image_ids)]
    check_left(len(image_ids), part)
    return image_ids, counts


def check_left(n: int, part: SplitPart) -> None:
    """Raise ``InputError`` if nothing of a split is left to predict."""
    if not n and part.left_out:
        raise InputError(
            f"No image of the split {part.split!r} has features in these files, so nothing is left "
            "to predict; run `featurize` on the set, or name its files by --features."
        )
