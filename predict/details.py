"""What belongs to a split's predictions: questions, file names, and where the head looked."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..datasets.catalog import address_of, open_dataset
from ..datasets.questions import load_questions
from ..evaluate.reference_files import record_source
from ..models.beam import BeamOptions
from ..train.data import vqa as vqa_data
from ..train.data.batches import SamplesByImage
from ..train.prepare import open_run_features
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
    record_source(out, address_of(config.data), split, config.task)
    return replace(written, path=out)


def split_attention(
    run: TrainedRun, config: RunConfig, split: str, options: BeamOptions
) -> Iterator[tuple[int, AttentionGrid]]:
    """Where the head looked for every question, or image, of a split, under its id."""
    features = open_run_features(config, split)
    assert features is not None  # a head with attention reads them
    dataset = open_dataset(config.data)
    if config.task == "vqa":
        asked = vqa_data.load_split(dataset, split, run.words, run.answers)
        samples = SamplesByImage(asked.image_id, asked.tokens, asked.length, features)
        maps = answer_all(run, samples, with_attention=True).attention
        return zip(asked.question_id.tolist(), maps, strict=True)
    ids = dataset.images(split).image_ids
    maps = describe_all(run, features, features.rows(ids), options, with_attention=True).attention
    return zip(ids.tolist(), maps, strict=True)
