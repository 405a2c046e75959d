"""The official JSON formats of VQA and COCO captions, as typed structs that validate while decoding."""

import gzip
from pathlib import Path
from typing import TypeVar

import msgspec

from ..errors import InputError

T = TypeVar("T")


class Question(msgspec.Struct, gc=False):
    """One question of a VQA questions file."""

    question_id: int
    image_id: int
    question: str


class Questions(msgspec.Struct):
    """A VQA questions file: ``v2_OpenEnded_mscoco_*_questions.json`` and its like."""

    questions: list[Question]


class Answer(msgspec.Struct, gc=False):
    """One person's answer."""

    answer: str
    answer_id: int | None = None
    answer_confidence: str | None = None


class Annotation(msgspec.Struct, gc=False):
    """One question's answers (ten, in the official data)."""

    question_id: int
    image_id: int
    answers: list[Answer]
    question_type: str = ""
    answer_type: str = ""


class Annotations(msgspec.Struct):
    """A VQA annotations file: ``v2_mscoco_*_annotations.json`` and its like."""

    annotations: list[Annotation]


class VqaResult(msgspec.Struct, gc=False):
    """One entry of a VQA results file, a list of these."""

    question_id: int
    answer: str


class CaptionImage(msgspec.Struct, gc=False):
    """One image of a COCO captions file."""

    id: int
    file_name: str = ""


class Caption(msgspec.Struct, gc=False):
    """One reference caption."""

    image_id: int
    caption: str
    id: int | None = None


class Captions(msgspec.Struct):
    """A COCO captions file: ``captions_{train,val}{2014,2017}.json`` and its like."""

    annotations: list[Caption]
    images: list[CaptionImage] = []


class CaptionResult(msgspec.Struct, gc=False):
    """One entry of a caption results file, a list of these."""

    image_id: int
    caption: str


class KarpathySentence(msgspec.Struct, gc=False):
    """One sentence of a Karpathy split file; ``raw`` is the caption as written."""

    raw: str


class KarpathyImage(msgspec.Struct, gc=False):
    """One image of a Karpathy split file (``dataset_{coco,flickr8k,flickr30k}.json``)."""

    filename: str
    split: str
    sentences: list[KarpathySentence]
    imgid: int
    cocoid: int | None = None
    filepath: str = ""


class Karpathy(msgspec.Struct):
    """A Karpathy split file."""

    images: list[KarpathyImage]
    dataset: str = ""


def read_bytes(path: Path) -> bytes:
    """The file's bytes, unpacked if it is gzip'd."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def decode(path: Path, kind: type[T]) -> T:
    """Decode one official JSON file.

    Raises ``InputError`` naming the file and the entry that does not fit.
    """
    try:
        return msgspec.json.decode(read_bytes(path), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: not a readable {kind.__name__} file: {error}.") from error
