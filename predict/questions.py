"""Questions on photos of one's own: one for all of them, or a file of image and question."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets.formats import read_bytes
from ..errors import InputError

IMAGE_KEYS = ("image", "file_name", "image_id")
EXPECTED = 'CSV with a first line "image,question", or JSON lines of {"image", "question"}'


@dataclass(frozen=True)
class AskedQuestion:
    """A question on the image in a row of the feature file."""

    question_id: int
    row: int
    text: str


def read_questions(path: Path, rows: "ImageNames") -> list[AskedQuestion]:
    """The questions in a CSV or JSONL file, in its order, which are their ids if it gives none.

    Raises ``InputError`` naming the line for an image that is not there, or one that is not a
    question.
    """
    found: list[AskedQuestion] = []
    seen: set[int] = set()
    for number, (where, entry) in enumerate(read_lines(path)):
        text, name = entry.get("question"), next((k for k in IMAGE_KEYS if k in entry), None)
        if not isinstance(text, str) or name is None:
            raise InputError(f"{path}: {where} is {entry!r}; expected {EXPECTED}.")
        question_id = whole_number(entry.get("question_id", number))
        if question_id is None or question_id in seen:
            raise InputError(
                f"{path}: {where} has the question_id {entry.get('question_id', number)!r}; "
                "expected whole numbers, each once, or none at all."
            )
        seen.add(question_id)
        row = rows.find(entry[name], is_id=name == "image_id")
        if row is None:
            raise InputError(
                f"{path}: {where} is about the image {entry[name]!r}, which is not among the "
                f"{len(rows)} images of {rows.where}; give a file name as it is there, or an "
                "image_id."
            )
        found.append(AskedQuestion(question_id, row, text))
    if not found:
        raise InputError(f"{path}: holds no question; expected {EXPECTED}.")
    return found


class ImageNames:
    """Finds images by name, by the end of a path that only one image has, or by id."""

    def __init__(self, where: Path, file_names: list[str], image_ids: list[int]) -> None:
        self.where = where
        self._by_name = {name: row for row, name in enumerate(file_names)}
        self._by_id = {image_id: row for row, image_id in enumerate(image_ids)}
        self._by_base: dict[str, int | None] = {}
        for row, name in enumerate(file_names):
            base = name.rpartition("/")[2]
            self._by_base[base] = None if base in self._by_base else row

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: Any, is_id: bool) -> int | None:
        """The row of an image, None if it is not there or several may be meant."""
        number = whole_number(name)
        if is_id:
            return None if number is None else self._by_id.get(number)
        text = str(name).replace("\\", "/").removeprefix("./")
        if text in self._by_name:
            return self._by_name[text]
        return self._by_base.get(text.rpartition("/")[2])


def whole_number(value: Any) -> int | None:
    """The whole number that a value is, or that a string spells."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return value if type(value) is int else None


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a CSV or JSONL file, each with where it stands."""
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8 text; save it as UTF-8."
        ) from error
    if text.lstrip().startswith(("{", "[")):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = line
                if not isinstance(entry, dict):
                    raise InputError(f"{path}: line {number} is {line!r:.80}; expected {EXPECTED}.")
                yield f"line {number}", entry
        return
    rows = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(rows, [])]
    if "question" not in header or not set(header) & set(IMAGE_KEYS):
        raise InputError(
            f"{path}: its first line is {','.join(header)!r:.80}; expected {EXPECTED}."
        )
    for row in filter(None, rows):
        if len(row) != len(header):
            raise InputError(
                f"{path}: line {rows.line_num} has {len(row)} values, and the first line names "
                f"{len(header)}; put a question with a comma into double quotes."
            )
        yield f"line {rows.line_num}", dict(zip(header, row, strict=True))
