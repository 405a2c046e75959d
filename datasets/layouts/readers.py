"""What is special about how some sets are laid out."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ...errors import InputError
from ..formats import SourceFile, decode, unpack
from ..ids import Id
from .rows import Row, as_list, read_rows

_TOKEN = re.compile(r"(.+)#\d+\s*\t(.*)")
# Flickr_8k.trainImages.txt and its like.
_SPLIT_LIST = re.compile(r"(train|dev|val|test)_?images\.txt\Z", re.IGNORECASE)


def named(key: str) -> Callable[[dict[str, Any]], str]:
    """An image's file by its id, as Open Images and Visual Genome name theirs."""
    return lambda entry: f"{entry[key]}.jpg" if key in entry else ""


VIZWIZ_CHANGES: dict[str, Any] = {"question_id": "image"}
OPEN_IMAGES_CHANGES: dict[str, Any] = {"image": named("image_id"), "captions": "caption_str"}
CLEVR_CHANGES: dict[str, Any] = {"question_id": "question_index", "image_id": "image_index"}
RAD_CHANGES: dict[str, Any] = {
    "split": lambda entry: "test" if str(entry["phrase_type"]).startswith("test") else "train",
}


def read_tokens(source: SourceFile, companions: list[SourceFile]) -> Iterator[Row]:
    """The lines of a token file."""
    return in_lists(_read_token_lines(source), companions)


def read_listed_rows(source: SourceFile, companions: list[SourceFile]) -> Iterator[Row]:
    """Rows as they are."""
    return in_lists(read_rows(source), companions)


def in_lists(rows: Iterable[Row], lists: list[SourceFile]) -> Iterator[Row]:
    """The rows, each of the split in whose list its image stands, unless it has a split.

    With lists, images that stand in none are left out, as 91 of Flickr8k's are.
    """
    split_of: dict[str, str] = {}
    for each in lists:
        match = _SPLIT_LIST.search(each.name)
        text = unpack(each.path, each.data).decode("utf-8-sig", "replace")
        split_of |= dict.fromkeys(text.split("\n"), match[1].lower() if match else "")
    split_of = {name.strip(): split for name, split in split_of.items()}
    for row in rows:
        if row.split or not lists:
            yield row
        elif row.image in split_of:
            yield replace(row, split=split_of[row.image])


def _read_token_lines(source: SourceFile) -> Iterator[Row]:
    text = unpack(source.path, source.data).decode("utf-8-sig", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        match = _TOKEN.match(line)
        if match:
            name = match[1]
            yield Row(f"line {number}", name, name, captions=[match[2].strip()])
        elif line.strip():
            raise InputError(
                f"{source}: line {number} is {line[:60]!r}; expected image.jpg#0, a tab and the "
                "caption."
            )


def split_lists(path: Path) -> list[Path]:
    """The lists of a split's images beside a file."""
    return sorted(p for p in path.parent.glob("*.txt") if _SPLIT_LIST.search(p.name))


class GqaTypes(msgspec.Struct):
    """What kind of a question of GQA it is."""

    structural: str = ""
    semantic: str = ""


class GqaQuestion(msgspec.Struct):
    """A question of GQA."""

    imageId: Id
    question: str
    answer: str = ""
    types: GqaTypes = msgspec.field(default_factory=GqaTypes)


def read_gqa(source: SourceFile, companions: list[SourceFile]) -> Iterator[Row]:
    """GQA's questions."""
    for name, entry in decode(source, dict[str, GqaQuestion]).items():
        yield Row(
            f'"{name}"',
            f"{entry.imageId}.jpg",
            entry.imageId,
            name,
            entry.question,
            [entry.answer] if entry.answer else [],
            question_type=entry.types.structural,
            answer_type="open" if entry.types.structural == "query" else "binary",
        )


class Pair(msgspec.Struct):
    """A question of Visual7W."""

    question: str
    answer: str = ""
    qa_id: Id = ""
    type: str = ""


class PairsImage(msgspec.Struct):
    """An image of Visual7W."""

    filename: str
    qa_pairs: list[Pair]
    split: str = ""
    image_id: Id = ""


class Pairs(msgspec.Struct):
    """A file of Visual7W."""

    images: list[PairsImage]


def read_visual7w(source: SourceFile, companions: list[SourceFile]) -> Iterator[Row]:
    """Visual7W's questions, to be answered in words: only the right one of its choices is read."""
    for i, image in enumerate(decode(source, Pairs).images):
        for k, pair in enumerate(image.qa_pairs):
            yield Row(
                f"images[{i}].qa_pairs[{k}]",
                image.filename,
                image.filename if image.image_id == "" else image.image_id,
                pair.qa_id,
                pair.question,
                [pair.answer] if pair.answer else [],
                question_type=pair.type,
                split=image.split,
            )


def read_caption_lists(source: SourceFile, companions: list[SourceFile]) -> Iterator[Row]:
    """``{id: [caption]}``, where a caption may be ``{"caption": text}``."""
    for image_id, given in decode(source, dict[str, Any]).items():
        for each in as_list(source, f'"{image_id}"', given):
            text = each.get("caption", "") if isinstance(each, dict) else each
            yield Row(f'"{image_id}"', "", image_id, captions=[str(text)])
