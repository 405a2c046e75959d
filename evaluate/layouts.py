"""Results files in the layouts that people have: the official one as it is, all others made alike.

* official: a list of ``{"question_id", "answer"}`` or ``{"image_id", "caption"}``, which mmf writes
  too, and lmms-eval for submission;
* such a list in an object's ``"results"``;
* JSON lines, one such object a line, among them LLaVA's, whose text is called "text";
* CSV, with commas, semicolons or tabs, and these names in its first line, as mmf writes;
* an object ``{id: text}``, or ``{id: [text]}``, as pycocoevalcap takes captions;
* the samples that lmms-eval logs, as far as they name questions or images.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..datasets.formats import SourceFile, read_bytes
from ..errors import InputError
from .ids import shorten
from .vqa.entries import decode_text, load_json

Task = Literal["vqa", "caption"]
# The first entry of a results file ends before here, but for strange ones.
HEAD_BYTES = 1 << 16


class Keys(NamedTuple):
    """What an entry's id and its text are called."""

    id: str
    text: str


OFFICIAL: dict[Task, Keys] = {
    "vqa": Keys("question_id", "answer"),
    "caption": Keys("image_id", "caption"),
}
# An entry is read by the first of these that it has both keys of.
TASK_OF_KEYS: dict[Keys, Task] = {
    **{keys: task for task, keys in OFFICIAL.items()},
    **{Keys("question_id", text): "vqa" for text in ("text", "prediction")},
    **{Keys("image_id", text): "caption" for text in ("text", "prediction")},
    Keys("image", "answer"): "vqa",  # VizWiz
    Keys("image", "caption"): "caption",
    Keys("questionId", "prediction"): "vqa",  # GQA
}
EXPECTED = (
    'a list of results, {"question_id": ..., "answer": ...} or {"image_id": ..., "caption": ...}, '
    "JSON lines or CSV of these, or {id: text}"
)


@dataclass(frozen=True)
class ResultsFile:
    """A results file and what it holds.

    ``task`` is None where ``{id: text}`` may be answers or captions; ``layout`` says which of the
    others it is in, and is "" for the official one, whose ``entries`` are read by who scores them.
    """

    path: Path
    task: Task | None
    layout: str = ""
    entries: list[tuple[Any, Any]] | None = None  # id and text, unchecked

    def official(self, task: Task) -> Path | SourceFile:
        """The file, or what it holds in the official layout."""
        if self.entries is None:
            return self.path
        keys = OFFICIAL[task]
        entries = [{keys.id: name, keys.text: text} for name, text in self.entries]
        return SourceFile(self.path, json.dumps(entries).encode())


def open_results(path: Path) -> ResultsFile:
    """Find a results file's layout, by its beginning if it is the official one.

    Raises ``InputError`` for a file in none of the layouts.
    """
    if not path.is_file():
        raise InputError(f"{path}: not a regular file, and it must be read twice; save it first.")
    task = official_task(first_of_list(path))
    if task:
        return ResultsFile(path, task)
    data = read_bytes(path)
    text = decode_text(path, data)
    match text.lstrip()[:1]:
        case "[":
            return read_list(path, load_json(path, data))
        case "{":
            return read_objects(path, data, text)
    return read_table(path, text)


def first_of_list(path: Path) -> object:
    """The first entry of the list that a file is, if it is one and this is found at once."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).removeprefix(codecs.BOM_UTF8).decode("utf-8", "ignore")
    start = re.match(r"\s*\[\s*", head)
    if start:
        with suppress(ValueError, RecursionError):
            return json.JSONDecoder().raw_decode(head, start.end())[0]
    return None


def official_task(entry: object) -> Task | None:
    """What an official list holds, by its first entry; VizWiz names images instead of questions."""
    if not isinstance(entry, dict):
        return None
    found = (task for task, keys in OFFICIAL.items() if keys.text in entry)
    task = next(found, None)
    return None if task and "image" in entry and OFFICIAL[task].id not in entry else task


def read_list(path: Path, content: list[object]) -> ResultsFile:
    """A list of entries, official or with other keys."""
    if not content:
        raise InputError(f"{path}: holds an empty list; expected {EXPECTED}.")
    task = official_task(content[0])
    if task:
        return ResultsFile(path, task)
    return read_entries(path, "a list", [(f"entry {i}", entry) for i, entry in enumerate(content)])


def read_objects(path: Path, data: bytes, text: str) -> ResultsFile:
    """JSON lines, or one object."""
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    first: object = None
    with suppress(ValueError, RecursionError):
        first = json.loads(lines[0][1])
    if isinstance(first, dict) and (len(lines) > 1 or find_keys(first) or is_sample(first)):
        entries = [(f"line {i}", load_line(path, i, line)) for i, line in lines]
        if is_sample(first):
            return read_samples(path, entries)
        return read_entries(path, "JSON lines", entries)
    content = load_json(path, data, unique_keys=True)
    found = content.get("results")
    if isinstance(found, list) and found:
        return read_entries(
            path, 'the list "results"', [(f"results[{i}]", entry) for i, entry in enumerate(found)]
        )
    return read_mapping(path, content)


def load_line(path: Path, number: int, line: str) -> object:
    """What a line of JSON lines holds."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: line {number} is not valid JSON ({error}); expected an object a line; the "
            "file may be cut short or damaged, so write it again."
        ) from error


def read_mapping(path: Path, content: dict[str, Any]) -> ResultsFile:
    """``{id: text}`` or ``{id: [text]}``, where a text may be ``{"caption": text}`` too."""
    task: Task | None = None
    entries = []
    for name, value in content.items():
        if isinstance(value, list) and len(value) == 1:
            task, value = "caption", value[0]
            value = value.get("caption") if isinstance(value, dict) else value
        if not isinstance(value, str):
            raise InputError(f"{path}: holds {shorten(content)}; expected {EXPECTED}.")
        entries.append((name, value))
    if not entries:
        raise InputError(f"{path}: holds an empty object; expected {EXPECTED}.")
    return ResultsFile(path, task, "an object {id: text}", entries)


def read_table(path: Path, text: str) -> ResultsFile:
    """CSV with a line of names."""
    import csv

    header = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    entries = []
    try:
        names = [name.strip() for name in next(rows, [])]
        if not find_keys(dict.fromkeys(names)):
            raise InputError(f"{path}: its first line is {shorten(header)}; expected {EXPECTED}.")
        for row in filter(None, rows):
            if len(row) != len(names):
                raise InputError(
                    f"{path}: line {rows.line_num} has {len(row)} values, and the first line names "
                    f"{len(names)}; put a text with {delimiter!r} into double quotes."
                )
            entries.append((f"line {rows.line_num}", dict(zip(names, row, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path}: line {rows.line_num} is not CSV: {error}.") from error
    if not entries:
        raise InputError(f"{path}: holds no result below its first line; expected some.")
    return read_entries(path, "CSV", entries)


def read_entries(path: Path, kind: str, entries: list[tuple[str, Any]]) -> ResultsFile:
    """Entries, each with where it stands; all have the keys that the first one has."""
    first = entries[0][1]
    keys = find_keys(first)
    if keys is None:
        raise InputError(f"{path}: its first entry is {shorten(first)}; expected {EXPECTED}.")
    texts = [other.text for other in TASK_OF_KEYS if other.id == keys.id and other.text in first]
    if len(texts) > 1:
        raise InputError(
            f"{path}: its first entry has {' and '.join(map(shorten, texts))}, of which one may be "
            "the truth; keep the one that was predicted."
        )
    found = []
    for location, entry in entries:
        if not (isinstance(entry, dict) and keys.id in entry and keys.text in entry):
            raise InputError(
                f'{path}: {location} is {shorten(entry)}; expected an object with "{keys.id}" and '
                f'"{keys.text}", as the first one.'
            )
        found.append((entry[keys.id], entry[keys.text]))
    return ResultsFile(path, TASK_OF_KEYS[keys], f"{kind} with {keys.id} and {keys.text}", found)


def find_keys(entry: object) -> Keys | None:
    """The keys of an entry's id and text, or None."""
    if not isinstance(entry, dict):
        return None
    return next((keys for keys in TASK_OF_KEYS if {*keys} <= entry.keys()), None)


def is_sample(entry: dict[str, Any]) -> bool:
    """Whether this is a line of what lmms-eval logs with ``--log_samples``."""
    return {"doc_id", "filtered_resps"} <= entry.keys()


def read_samples(path: Path, samples: list[tuple[str, Any]]) -> ResultsFile:
    """lmms-eval's log: what each sample submits, or its response and the question it is to."""
    entries = [(location, submission_of(path, location, sample)) for location, sample in samples]
    return read_entries(path, "samples of lmms-eval", entries)


def submission_of(path: Path, location: str, sample: Any) -> dict[str, Any]:
    """A sample's official entry, which stands under a metric's name, or else is put together."""
    if isinstance(sample, dict):
        for value in sample.values():
            if isinstance(value, dict) and find_keys(value) in OFFICIAL.values():
                return value
            if isinstance(value, dict) and {"image_id", "pred"} <= value.keys():
                return {"image_id": value["image_id"], "caption": value["pred"]}
        doc, said = sample.get("doc"), sample.get("filtered_resps")
        while isinstance(said, list) and len(said) == 1:
            said = said[0]
        if isinstance(doc, dict) and "question_id" in doc and isinstance(said, str):
            return {"question_id": doc["question_id"], "answer": said}
    raise InputError(
        f"{path}: {location} is a sample of lmms-eval that names no question and no image; give "
        "the submission file that it writes, or a task's log that has them."
    )
