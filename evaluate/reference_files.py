"""Which files to score against: those named, a data set's, or those of the run folder."""

import codecs
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from ..datasets.formats import read_bytes
from ..errors import InputError
from .ids import shorten
from .vqa.entries import load_json
from .vqa.references import VqaReferences

Task = Literal["vqa", "caption"]
DEFAULT_SPLIT = "val"
# The first entry of a results file ends before here, but for strange ones.
HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Choice:
    """What the user said about references: paths, or a data set by name or folder and its split."""

    questions: Path | None = None
    annotations: Path | None = None
    captions: Path | None = None
    data: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class CaptionReferences:
    """A COCO captions file, or a Karpathy file and which split of it."""

    path: Path
    split: str


References = VqaReferences | CaptionReferences


class RunData(msgspec.Struct):
    """The part of a run folder's ``config.json`` that says what the run validates on."""

    data: str
    split: str = DEFAULT_SPLIT


def find_references(results: list[Path], choice: Choice) -> tuple[References, str]:
    """The references of these results and where they are from, in words.

    As chosen, else those of the first one's run folder. Those for VQA start to be read. Raises
    ``InputError`` if the results are of several tasks or not results at all, if what was chosen is
    for another task, or if nothing was chosen and no run folder says it.
    """
    task = detect_task(results[0])
    for path in results[1:]:
        if detect_task(path) != task:
            raise InputError(
                f"{results[0]} and {path} hold results of different tasks (answers and captions); "
                "score them one by one."
            )
    if choice.annotations or choice.captions:
        return chosen_references(results[0], task, choice)
    if choice.data is not None:
        split = choice.split or DEFAULT_SPLIT
        return data_references(task, choice.data, split, "")
    run = read_run_data(results[0])
    by_whom = f", as {results[0].with_name('config.json')} says"
    return data_references(task, run.data, choice.split or run.split, by_whom)


def chosen_references(path: Path, task: Task, choice: Choice) -> tuple[References, str]:
    """The references that were chosen by file. Raises ``InputError`` if they are another task's."""
    if task == "vqa":
        if choice.annotations is None:
            raise InputError(
                f'{path}: holds answers to questions ("answer"), but --captions was given; '
                "give --annotations."
            )
        return VqaReferences(choice.annotations, choice.questions), str(choice.annotations)
    if choice.captions is None:
        raise InputError(
            f'{path}: holds captions ("caption"), but --annotations was given; give --captions.'
        )
    split = choice.split or DEFAULT_SPLIT
    return CaptionReferences(choice.captions, split), str(choice.captions)


def data_references(task: Task, data: str, split: str, by_whom: str) -> tuple[References, str]:
    """The references of a data set, by name or folder."""
    from ..datasets.catalog import open_dataset  # imports NumPy, which can wait

    dataset = open_dataset(data)
    path = dataset.annotations_path(split) if task == "vqa" else dataset.captions_path(split)
    origin = f"{path} ({data}, split {split}{by_whom})"
    return (VqaReferences(path) if task == "vqa" else CaptionReferences(path, split)), origin


def read_run_data(results: Path) -> RunData:
    """What the run in whose folder the results lie validates on."""
    path = results.with_name("config.json")
    if not path.is_file():
        raise InputError(
            f"{results}: there is no config.json beside it that names its references; give "
            "--annotations FILE (answers), --captions FILE (captions) or --data NAME|DIR."
        )
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunData)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: does not say what the run's data is ({error}); give --annotations, "
            "--captions or --data."
        ) from error


def detect_task(path: Path) -> Task:
    """Whether a results file holds answers or captions, by its first entry."""
    entry = first_entry(path)
    if isinstance(entry, dict) and "answer" in entry:
        return "vqa"
    if isinstance(entry, dict) and "caption" in entry:
        return "caption"
    raise InputError(
        f"{path}: its first entry is {shorten(entry)}; expected a list of "
        '{"question_id": ..., "answer": ...} or of {"image_id": ..., "caption": ...}.'
    )


def first_entry(path: Path) -> object:
    """The first entry of the list that a results file is."""
    if not path.is_file():
        raise InputError(f"{path}: not a regular file, and it must be read twice; save it first.")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).removeprefix(codecs.BOM_UTF8).decode("utf-8", "ignore")
    start = re.match(r"\s*\[\s*", head)
    if start:
        with suppress(ValueError, RecursionError):
            return json.JSONDecoder().raw_decode(head, start.end())[0]
    content = load_json(path, read_bytes(path))
    if not isinstance(content, list) or not content:
        found = "an empty list" if content == [] else shorten(content)
        raise InputError(f"{path}: holds {found}; expected a list of results.")
    return content[0]
