"""What belongs to a split's predictions: questions, file names, and where the head looked."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..datasets.catalog import address_of, open_dataset
from ..datasets.questions import load_questions
from ..evaluate.reference_files import record_source
from ..models.beam import BeamOptions
from ..train.data import vqa as vqa_data
from ..train.data.batches import SamplesByImage
from ..train.inputs import find_missing, open_run_features, stated_ids
from ..train.settings.config import RunConfig
from .passes import answer_all, describe_all
from .records import AttentionGrid, Record, write_records
from .split import SplitPredictions, predict_split
from .trained import TrainedRun


def detail_records(results: Path, config: RunConfig, split: str) -> list[Record]:
    """The entries of an official results file with all that the data set says of them."""
    dataset = open_dataset(config.data)
    entries = json.loads(results.read_bytes())
    names = dataset.stated_images(split).names
    if config.task == "caption":
        return [
            {
                "image_id": entry["image_id"],
                "file_name": names.get(entry["image_id"], ""),
                "caption": entry["caption"],
            }
            for entry in entries
        ]
    table = load_questions(dataset, split)
    rows = {question: row for row, question in enumerate(table.question_id.tolist())}
    images = table.image_id.tolist()
    records = []
    for entry in entries:
        row = rows[entry["question_id"]]
        records.append(
            {
                "question_id": entry["question_id"],
                "image_id": images[row],
                "file_name": names.get(images[row], ""),
                "question": table.text[row],
                "answer": entry["answer"],
            }
        )
    return records


def write_split_records(
    run: TrainedRun, config: RunConfig, split: str, out: Path, options: BeamOptions, form: str
) -> SplitPredictions:
    """As ``predict_split``, in another of ``FORMATS`` than the official one."""
    with tempfile.TemporaryDirectory(prefix=".predict-", dir=out.parent) as folder:
        written = predict_split(run, config, split, Path(folder) / "preds.json", options)
        write_records(out, detail_records(written.path, config, split), config.task, form)
    record_source(out, address_of(config.data), split, config.task, written.counts)
    return replace(written, path=out)


def split_attention(
    run: TrainedRun, config: RunConfig, split: str, options: BeamOptions
) -> Iterator[tuple[int, AttentionGrid]]:
    """Where the head looked for every question, or image, of a split, under its id."""
    features = open_run_features(config, split)
    assert features is not None  # a head with attention reads them
    dataset = open_dataset(config.data)
    missing = np.zeros(0, np.int64)
    if config.missing == "skip":
        missing, _ = find_missing(config, split, stated_ids(dataset, split))
    if config.task == "vqa":
        asked = vqa_data.load_split(dataset, split, run.words, run.answers)
        keep = ~np.isin(asked.image_id, missing)
        samples = SamplesByImage(asked.image_id, asked.tokens, asked.length, features, keep)
        maps = answer_all(run, samples, with_attention=True).attention
        return zip(asked.question_id[keep].tolist(), maps, strict=True)
    is_whole = config.missing != "skip"  # else the files that are left out need not be there
    images = dataset.images(split) if is_whole else dataset.stated_images(split)
    ids = images.image_ids[~np.isin(images.image_ids, missing)]
    maps = describe_all(run, features, features.rows(ids), options, with_attention=True).attention
    return zip(ids.tolist(), maps, strict=True)
