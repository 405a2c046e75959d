"""The official JSON formats of VQA and COCO captions, as structs that validate while decoding."""

import codecs
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from ..errors import InputError
from .file_bytes import gunzip, read_whole
from .ids import Id

T = TypeVar("T")

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"  # how VQA's files and COCO's are handed out


class Question(msgspec.Struct, gc=False):
    """One question of a VQA questions file."""

    question_id: Id
    image_id: Id
    question: str


class CaptionImage(msgspec.Struct, gc=False):
    """One image of a COCO captions file; nocaps gives some files by their address alone."""

    id: Id
    file_name: str = ""
    coco_url: str = ""
    domain: str = ""  # of nocaps: in-domain, near-domain or out-domain

    @property
    def name(self) -> str:
        """The name of its file, "" if none is given."""
        return self.file_name or unquote(self.coco_url.rpartition("/")[2])


class Questions(msgspec.Struct):
    """A VQA questions file: ``v2_OpenEnded_mscoco_*_questions.json`` and its like.

    ``images`` is our own: the names of the images, where they are known by name.
    """

    questions: list[Question]
    images: list[CaptionImage] = []


class Answer(msgspec.Struct, gc=False):
    """One person's answer."""

    answer: str
    answer_id: int | None = None
    answer_confidence: str | None = None


class Annotation(msgspec.Struct, gc=False):
    """One question's answers (ten, in the official data)."""

    question_id: Id
    image_id: Id
    answers: list[Answer]
    question_type: str = ""
    answer_type: str = ""


class Annotations(msgspec.Struct):
    """A VQA annotations file: ``v2_mscoco_*_annotations.json`` and its like."""

    annotations: list[Annotation]


class VqaResult(msgspec.Struct, gc=False):
    """One entry of a VQA results file, a list of these."""

    question_id: Id
    answer: str


class Caption(msgspec.Struct, gc=False):
    """One reference caption; VizWiz marks those that its loader leaves out."""

    image_id: Id
    caption: str
    id: Id | None = None
    is_rejected: bool = False
    is_precanned: bool = False


class Captions(msgspec.Struct):
    """A COCO captions file: ``captions_{train,val}{2014,2017}.json`` and its like.

    Test sets have images alone.
    """

    annotations: list[Caption] = []
    images: list[CaptionImage] = []


class CaptionResult(msgspec.Struct, gc=False):
    """One entry of a caption results file, a list of these."""

    image_id: Id
    caption: str


class KarpathySentence(msgspec.Struct, gc=False):
    """One sentence of a Karpathy split file; ``raw`` is the caption as written."""

    raw: str


class KarpathyImage(msgspec.Struct, gc=False):
    """One image of a Karpathy split file (``dataset_{coco,flickr8k,flickr30k}.json``)."""

    filename: str
    split: str
    sentences: list[KarpathySentence]
    imgid: Id | None = None
    cocoid: Id | None = None
    filepath: str = ""

    @property
    def id(self) -> Id:
        """COCO's own id, else the file's running number, else the name."""
        if self.cocoid is not None:
            return self.cocoid
        return self.filename if self.imgid is None else self.imgid


class Karpathy(msgspec.Struct):
    """A Karpathy split file."""

    images: list[KarpathyImage]
    dataset: str = ""


@dataclass(frozen=True)
class SourceFile:
    """A file's bytes, read once, so that what is parsed is what was hashed."""

    path: Path
    data: bytes

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @cached_property
    def sha256(self) -> str:
        """The hash of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def read_source(path: Path) -> SourceFile:
    """Read a file whose hash is needed as well as its content."""
    return SourceFile(path, read_whole(path))


def read_bytes(path: Path) -> bytes:
    """The file's bytes, as ``unpack`` returns them."""
    return unpack(path, read_whole(path))


def unpack(path: Path, data: bytes) -> bytes:
    """A JSON file's bytes, unpacked if they are gzip'd, without a UTF-8 byte order mark.

    Raises ``InputError`` for a damaged archive, a zip archive and UTF-16.
    """
    if data.startswith(ZIP_MAGIC):
        raise InputError(f"{path}: a zip archive; unpack it and give the JSON file that it holds.")
    if data[:2] == GZIP_MAGIC:
        data = gunzip(path, data)
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise InputError(f"{path}: UTF-16 text; save the file as UTF-8.")
    return data.removeprefix(codecs.BOM_UTF8)


def decode(source: Path | SourceFile, kind: type[T], *, strict: bool = True) -> T:
    """Decode one official JSON file, or its bytes if they were read before.

    Unless ``strict``, "7" and 7.0 are taken for 7 where a whole number is expected.
    Raises ``InputError`` naming the file and the entry that does not fit.
    """
    path, packed = (
        (source, source.read_bytes()) if isinstance(source, Path) else (source.path, source.data)
    )
    data = unpack(path, packed)
    try:
        if not data.isascii():
            data.decode()  # msgspec checks only the strings that it keeps
        return msgspec.json.decode(data, type=kind, strict=strict)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8 text; save the file as UTF-8."
        ) from error
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {describe_misfit(path, data, error)}.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path}: {describe_damage(data, error)}.") from error


def describe_misfit(path: Path, data: bytes, error: msgspec.ValidationError) -> str:
    """Where an entry does not fit, and how: "annotations[3].id: expected `int`, got `null`".

    Of a file that does not fit as a whole, what it holds, and what would fit.
    """
    problem, _, location = str(error).partition(" - at `$")
    location = location.rstrip("`").lstrip(".")
    if location:
        return f"{location}: {problem[:1].lower()}{problem[1:]}"
    from .layouts.table import describe_unknown

    return describe_unknown(SourceFile(path, data))


def describe_damage(data: bytes, error: Exception) -> str:
    """What is wrong with text that is not JSON, or is only nearly so."""
    if isinstance(error, RecursionError):
        return "nested too deeply to be one of the official formats"
    try:
        json.loads(data)
    except json.JSONDecodeError as where:
        return (
            f"not valid JSON at line {where.lineno}, column {where.colno}: {where.msg}; "
            "the file may be cut short or damaged, so fetch or write it again"
        )
    except (ValueError, RecursionError) as where:
        return f"not valid JSON: {where}"
    return (
        "holds NaN, Infinity or half of a surrogate pair, which JSON does not have; "
        "write the file again without"
    )
