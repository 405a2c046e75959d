"""Rows, one a question or a caption, from lists, JSON lines and tables with columns of any name."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...errors import InputError
from ..formats import SourceFile, decode, unpack
from ..ids import Id, canonical
from .outline import DELIMITERS, outline_of

# What a column means -> the names that it has, in lower case and with _ for - and blanks. The
# first that a file has counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    "image": (
        *("image", "image_name", "img_name", "image_filename", "image_file", "file_name"),
        *("filename", "image_path", "file", "path", "img", "photo", "img_path"),
    ),
    "image_id": ("image_id", "imageid", "img_id"),
    "question_id": ("question_id", "questionid", "qid", "q_id"),
    "question": ("question",),
    "answers": ("answers", "answer"),
    "captions": ("captions", "caption", "caption_str", "comment", "sentence", "description"),
    "question_type": ("question_type",),
    "answer_type": ("answer_type",),
    "split": ("split", "set_name"),
}


@dataclass(frozen=True)
class Row:
    """A question with its answers, or an image with captions.

    ``image`` is a file name, "" if only ``image_id`` is known; without an id the name is one.
    ``answers``: as given, one entry a person; none where the answers are secret. ``split``: as
    written, "" if the row does not say it. ``where``: the row, for messages.
    """

    where: str
    image: str = ""
    image_id: Id = ""
    question_id: Id = ""
    question: str = ""
    answers: list[Any] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    question_type: str = ""
    answer_type: str = ""
    split: str = ""


Changes = Mapping[str, str | Callable[[dict[str, Any]], Any]]


def plain(name: str) -> str:
    """A column's name as ``COLUMNS`` spells it."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def find_columns(names: Iterable[str]) -> dict[str, str]:
    """Meaning -> the file's own name of the column, as far as there is one."""
    by_plain = {plain(name): name for name in reversed(list(names))}
    found = {
        meaning: next((by_plain[known] for known in names if known in by_plain), None)
        for meaning, names in COLUMNS.items()
    }
    return {meaning: name for meaning, name in found.items() if name is not None}


def read_rows(source: SourceFile, key: str = "", changes: Changes | None = None) -> Iterator[Row]:
    """The rows of a file: of the list under ``key``, if there is one, else of the file itself.

    ``changes``: by meaning, another column or a function of the entry.
    """
    meanings: dict[tuple[str, ...], dict[str, Any]] = {}
    for where, entry in read_entries(source, key):
        if not isinstance(entry, dict):
            raise InputError(f"{source}: {where} is {json.dumps(entry)[:60]}; expected an object.")
        names = tuple(entry)
        if names not in meanings:
            meanings[names] = {**find_columns(names), **(changes or {})}
        values = {
            meaning: column(entry) if callable(column) else entry.get(column)
            for meaning, column in meanings[names].items()
        }
        yield make_row(source, where, values)


def read_entries(source: SourceFile, key: str = "") -> Iterator[tuple[str, Any]]:
    """Each entry, and where it stands."""
    shape = outline_of(source).shape
    if shape == "table":
        yield from read_table(source)
    elif shape == "lines":
        text = unpack(source.path, source.data).decode("utf-8-sig", "replace")
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"line {number}", load_line(source, number, line)
    else:
        kind: Any = msgspec.defstruct("File", [(key, list[Any])]) if key else list[Any]
        content = decode(source, kind)
        entries: list[Any] = getattr(content, key) if key else content
        yield from ((f"{key or 'entry '}[{i}]", entry) for i, entry in enumerate(entries))


def load_line(source: SourceFile, number: int, line: str) -> Any:
    """What a line of JSON lines holds."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source}: line {number} is not valid JSON ({error}); expected an object a line."
        ) from error


def read_table(source: SourceFile) -> Iterator[tuple[str, dict[str, str]]]:
    """The lines of a table; a caption in the last of two columns may hold the delimiter."""
    data = unpack(source.path, source.data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}: byte {error.start} is not UTF-8 text; save the file as UTF-8."
        ) from error
    delimiter = max(DELIMITERS, key=text.lstrip().partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(rows, [])]
        for row in filter(None, rows):
            where = f"line {rows.line_num}"
            if len(row) > len(names) and "captions" in find_columns(names[-1:]):
                row[len(names) - 1 :] = [delimiter.join(row[len(names) - 1 :])]
            if len(row) != len(names):
                raise InputError(
                    f"{source}: {where} has {len(row)} values, and the first line names "
                    f"{len(names)} columns; put a text with {delimiter!r} into double quotes."
                )
            yield where, {name: value.strip() for name, value in zip(names, row, strict=True)}
    except csv.Error as error:
        raise InputError(f"{source}: line {rows.line_num} is not a table: {error}.") from error


def make_row(source: SourceFile, where: str, values: dict[str, Any]) -> Row:
    """A row from what its columns hold, checked."""
    image, image_id = values.get("image"), values.get("image_id")
    if isinstance(image, (int, float)) or (image and isinstance(canonical(image), int)):
        image, image_id = "", image if image_id in (None, "") else image_id
    if not isinstance(image or "", str) or (image in (None, "") and image_id in (None, "")):
        raise InputError(f"{source}: {where} names no image; expected the name of its file.")
    for name in ("question_id", "image_id"):
        if not isinstance(values.get(name) or "", (int, float, str)):
            raise InputError(f'{source}: {where}: "{name}" is no number and no text.')
    question = values.get("question")
    if question is not None and not isinstance(question, str):
        raise InputError(f"{source}: {where}: the question is no text.")
    question_id = values.get("question_id")
    return Row(
        where,
        image or "",
        str(image) if image_id in (None, "") else image_id,
        "" if question_id is None else question_id,
        question or "",
        as_list(source, where, values.get("answers")),
        [str(each) for each in as_list(source, where, values.get("captions"))],
        *(str(values.get(name) or "") for name in ("question_type", "answer_type", "split")),
    )


def as_list(source: SourceFile, where: str, value: Any) -> list[Any]:
    """One value or several: a list, or JSON of one in a table's cell; none of an empty one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            value = json.loads(value)
    values = value if isinstance(value, list) else [] if value in (None, "") else [value]
    for each in values:
        text = each.get("answer", each.get("caption")) if isinstance(each, dict) else each
        if not isinstance(text, (str, int, float)):
            raise InputError(f"{source}: {where} holds {json.dumps(each)[:60]}; expected a text.")
    return values
