"""The table of layouts: how each is recognised by what a file holds, and how it is read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats import SourceFile
from .outline import Outline, outline_of
from .readers import (
    CLEVR_CHANGES,
    OPEN_IMAGES_CHANGES,
    RAD_CHANGES,
    VIZWIZ_CHANGES,
    read_caption_lists,
    read_gqa,
    read_listed_rows,
    read_tokens,
    read_visual7w,
    split_lists,
)
from .rows import Row, find_columns, read_rows

Recogniser = Callable[[Outline], bool]
# From a file, and those that go with it, to rows.
Reader = Callable[[SourceFile, list[SourceFile]], Iterable[Row]]


@dataclass(frozen=True)
class Layout:
    """One layout.

    ``name``: for people; ``recognise``: whether a file with this outline has it. ``kind``: what an
    official file holds, "questions", "annotations", "captions", "karpathy" or "images"; it is read
    as it is. ``wrap``: the key under which a bare list becomes one. ``read``: of all
    others. ``companions``: the files that are read with it. ``rule``: by which answers are scored.
    ``loose``: results look alike, so that a data set's file is taken for it only by its name.
    """

    name: str
    recognise: Recogniser
    kind: str = ""
    wrap: str = ""
    read: Reader | None = None
    companions: Callable[[Path], list[Path]] = lambda path: []
    rule: str = "vqa"
    loose: bool = False


def listed(key: str, *needs: str) -> Recogniser:
    """Whether the first entry of the list under a key has these keys."""

    def recognise(outline: Outline) -> bool:
        entry = outline.entries.get(key)
        return isinstance(entry, dict) and {*needs} <= entry.keys()

    return recognise


def bare(*needs: str, absent: str = "") -> Recogniser:
    """Whether the file is a list, whose first entry has these keys."""

    def recognise(outline: Outline) -> bool:
        entry = outline.first
        if outline.shape != "list" or not isinstance(entry, dict):
            return False
        return {*needs} <= entry.keys() and absent not in entry

    return recognise


def by_id(*needs: str) -> Recogniser:
    """Whether an object's first value is an object with these keys."""

    def recognise(outline: Outline) -> bool:
        entry = outline.first
        return outline.shape == "object" and isinstance(entry, dict) and {*needs} <= entry.keys()

    return recognise


def is_images(outline: Outline) -> bool:
    """Whether there are images and nothing about them."""
    return listed("images", "id")(outline) and not outline.entries.keys() - {"images", "licenses"}


def is_caption_lists(outline: Outline) -> bool:
    """Whether an object's lists hold captions, as pycocoevalcap takes references."""
    first = [outline.entries.get(key) for key in outline.keys]
    of_others = {"images", "annotations", "questions", "data"} & {*outline.keys}
    return (
        bool(first)
        and not of_others
        and all(
            isinstance(each, str) or (isinstance(each, dict) and "caption" in each)
            for each in first
        )
    )


def has_rows(outline: Outline) -> bool:
    """Whether rows name an image, and have a question or a caption."""
    names: tuple[str, ...] = outline.keys
    if outline.shape in ("list", "lines"):
        names = tuple(outline.first) if isinstance(outline.first, dict) else ()
    elif outline.shape != "table":
        return False
    found = find_columns(names).keys()
    # An id and a caption are what results have.
    return (
        {"image", "captions"} <= found
        or {"image", "question"} <= found
        or ({"image_id", "question", "answers"} <= found)
    )


def rows(key: str = "", **changes: Any) -> Reader:
    """A reader of rows, with these changes of columns."""
    return lambda source, companions: read_rows(source, key, changes)


# The first that recognises a file counts.
LAYOUTS = (
    Layout(
        'VQA questions {"questions": [{question_id, image_id, question}]}',
        listed("questions", "question_id", "image_id", "question"),
        kind="questions",
    ),
    Layout(
        'VQA annotations {"annotations": [{question_id, image_id, answers}]}',
        listed("annotations", "question_id", "answers"),
        kind="annotations",
    ),
    Layout(
        'COCO captions {"images": […], "annotations": [{image_id, caption}]}',
        listed("annotations", "image_id", "caption"),
        kind="captions",
    ),
    Layout(
        'Karpathy\'s splits {"images": [{filename, split, sentences}]}',
        listed("images", "filename", "split", "sentences"),
        kind="karpathy",
    ),
    Layout('a test set\'s images {"images": [{id, file_name}]}', is_images, kind="images"),
    Layout(
        "VizWiz VQA [{image, question, answers, answerable}]",
        bare("image", "question", "answers", "answerable"),
        read=rows(**VIZWIZ_CHANGES),
        rule="vizwiz",
    ),
    Layout(
        "GQA {id: {imageId, question, answer}}",
        by_id("imageId", "question"),
        read=read_gqa,
        rule="gqa",
    ),
    Layout(
        'TextVQA {"data": [{image_id, question, answers}]}',
        listed("data", "image_id", "question"),
        read=rows("data", **OPEN_IMAGES_CHANGES),
    ),
    Layout(
        'TextCaps {"data": [{image_id, caption_str}]}',
        listed("data", "image_id"),
        read=rows("data", **OPEN_IMAGES_CHANGES),
    ),
    Layout(
        'Visual7W {"images": [{filename, split, qa_pairs}]}',
        listed("images", "filename", "qa_pairs"),
        read=read_visual7w,
    ),
    Layout(
        'CLEVR {"questions": [{image_filename, question, answer}]}',
        listed("questions", "image_filename", "question"),
        read=rows("questions", **CLEVR_CHANGES),
    ),
    Layout(
        "VQA-RAD [{image_name, question, answer, phrase_type}]",
        bare("image_name", "question", "phrase_type"),
        read=rows(**RAD_CHANGES),
    ),
    Layout(
        "Flickr8k's token file (image.jpg#0, a tab, the caption)",
        lambda outline: outline.shape == "tokens",
        read=read_tokens,
        companions=split_lists,
    ),
    Layout(
        "a table (CSV, JSON lines or a list) of image, question, answer or of image, caption",
        has_rows,
        read=read_listed_rows,
        companions=split_lists,
    ),
    Layout(
        "a bare list of annotations, as VQA-CP's [{question_id, image_id, answers}]",
        bare("question_id", "image_id", "answers"),
        wrap="annotations",
    ),
    Layout(
        "a bare list of questions, as VQA-CP's [{question_id, image_id, question}]",
        bare("question_id", "image_id", "question", absent="answer"),
        wrap="questions",
    ),
    Layout(
        "a bare list of captions [{image_id, caption}]",
        bare("image_id", "caption"),
        wrap="captions",
        loose=True,
    ),
    Layout("references {id: [captions]}", is_caption_lists, read=read_caption_lists, loose=True),
)


def recognise(file: Path | SourceFile) -> Layout | None:
    """The layout of a file, or None if it has none of them."""
    outline = outline_of(file)
    return next((layout for layout in LAYOUTS if layout.recognise(outline)), None)


def kind_of(file: Path | SourceFile) -> str:
    """What an official file holds; "" for any other."""
    layout = recognise(file)
    return layout.kind if layout else ""


def describe_layouts() -> str:
    """The layouts that are known, in words."""
    return "; ".join(layout.name for layout in LAYOUTS)


def describe_unknown(file: SourceFile) -> str:
    """Of a file that does not fit: what it holds, and the layouts that would."""
    return (
        f"holds {outline_of(file).describe()}, which does not fit here; the layouts that are known "
        f"are {describe_layouts()}"
    )
