"""Files in other layouts become official ones in the user's cache folder, once."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ...atomic import write_bytes
from ...errors import InputError
from ..cache_folder import cache_folder
from ..formats import SourceFile, decode, read_source, unpack
from ..ids import Id
from ..official_names import SPLIT_WORDS, SPLITS, split_in_name
from .rows import Row
from .table import Layout, recognise

FORMAT_VERSION = 1  # of the files written here; raise it when the same file would give others
KINDS = ("questions", "annotations", "captions", "images")
RECORD = "record.json"
N_PEOPLE = 10  # that a lone answer stands for, as in the official sets


@dataclass(frozen=True)
class Converted:
    """What a file became: the official files by kind ("questions", …) and split.

    ``n_lone``: how many answers are the only one to their question, and stand there ten times.
    """

    files: dict[tuple[str, str], Path]
    n_lone: int = 0


class Record(msgspec.Struct):
    """What was made: the sizes of the files, and ``Converted.n_lone``."""

    sizes: dict[str, int]
    n_lone: int


@dataclass
class Part:
    """One split's rows, sorted into official entries."""

    images: dict[tuple[Id, str], None] = field(default_factory=dict)  # ids and file names
    questions: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    captions: list[dict[str, Any]] = field(default_factory=list)
    n_lone: int = 0  # answers that are the only one to their question


def convert(layout: Layout, path: Path) -> Converted:
    """The official files that a file in this layout becomes; kept in the cache folder.

    Rows without a split of their own belong to that in the file's name, else to train. Raises
    ``InputError`` for whatever does not fit, and for a folder that cannot be written.
    """
    sources = [read_source(path), *map(read_source, layout.companions(path))]
    named = split_in_name(path.name)
    key = [FORMAT_VERSION, layout.name, named, *(source.sha256 for source in sources)]
    digest = hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:24]
    folder = cache_folder() / f"layout-{digest}"
    made = read_record(folder)
    if made is None:
        try:
            contents, n_lone = encode(layout, sources, named or "train")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{path}: holds half of a surrogate pair, which is no text; write it without."
            ) from error
        made = Record({name: len(content) for name, content in contents}, n_lone)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in contents:
                write_bytes(folder / name, content)
            write_bytes(folder / RECORD, msgspec.json.encode(made))
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}); set FROSTGRID_CACHE to a folder "
                f"that can, with {sum(made.sizes.values()) / 1e6:.0f} MB free."
            ) from error
    uses = [(kind, split) for split in SPLITS for kind in KINDS]
    names = {use: f"{use[1]}_{use[0]}.json" for use in uses}
    files = {use: folder / name for use, name in names.items() if name in made.sizes}
    return Converted(files, made.n_lone)


def read_record(folder: Path) -> Record | None:
    """The record of what was made in a folder, if all of it is there still."""
    with suppress(OSError, msgspec.MsgspecError):
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
        if all((folder / name).stat().st_size == size for name, size in record.sizes.items()):
            return record
    return None


def encode(
    layout: Layout, sources: list[SourceFile], split: str
) -> tuple[list[tuple[str, bytes]], int]:
    """The names and the bytes of the official files, and the number of lone answers."""
    if layout.wrap:
        return [(f"{split}_{layout.wrap}.json", wrap(layout.wrap, sources[0]))], 0
    assert layout.read is not None
    parts: dict[str, Part] = defaultdict(Part)
    for row in layout.read(sources[0], sources[1:]):
        word = row.split.lower().replace("-", "").strip()
        if word and word not in SPLIT_WORDS:
            raise InputError(
                f"{sources[0]}: {row.where} is of the split {row.split!r}; expected one of "
                f"{', '.join(SPLIT_WORDS)}."
            )
        add_row(parts[SPLIT_WORDS[word] if word else split], row)
    if not parts:
        raise InputError(f"{sources[0]}: holds no question and no caption; expected some.")
    contents = [
        (f"{split}_{kind}.json", content)
        for split, part in parts.items()
        for kind, content in encode_part(sources[0], part)
    ]
    return contents, sum(part.n_lone for part in parts.values())


class Placed(msgspec.Struct, gc=False):
    """An entry of VQA-CP, which says in which of COCO's folders its image lies."""

    image_id: Id
    coco_split: str = ""


def wrap(key: str, source: SourceFile) -> bytes:
    """A bare list as the list under a key, without decoding more than the names of its images."""
    text = unpack(source.path, source.data)
    if key != "questions":
        return b'{"%s":%s}' % (key.encode(), text)
    placed = dict.fromkeys(
        (entry.image_id, entry.coco_split)
        for entry in decode(source, list[Placed])
        if entry.coco_split and isinstance(entry.image_id, int)
    )
    images = [
        {"id": image_id, "file_name": f"{folder}/COCO_{folder}_{image_id:012d}.jpg"}
        for image_id, folder in placed
    ]
    return b'{"images":%s,"questions":%s}' % (msgspec.json.encode(images), text)


def add_row(part: Part, row: Row) -> None:
    """Put a row where it belongs."""
    part.images[row.image_id, row.image] = None
    if row.question:
        number = len(part.questions)
        question_id = number if row.question_id == "" else row.question_id
        part.questions.append(
            {"question_id": question_id, "image_id": row.image_id, "question": row.question}
        )
        if row.answers:
            part.n_lone += len(row.answers) == 1
            kinds = {"question_type": row.question_type, "answer_type": row.answer_type}
            part.annotations.append(
                {
                    "question_id": question_id,
                    "image_id": row.image_id,
                    **{name: kind for name, kind in kinds.items() if kind},
                    "answers": people(row.answers),
                }
            )
    part.captions += [{"image_id": row.image_id, "caption": text} for text in row.captions]


def people(answers: list[Any]) -> list[dict[str, Any]]:
    """The answers as those of different people; a lone one is that of ten."""
    given = [each if isinstance(each, dict) else {"answer": each} for each in answers]
    if len(given) == 1:
        given *= N_PEOPLE
    return [
        {**entry, "answer": text_of(entry["answer"]), "answer_id": number}
        for number, entry in enumerate(given, 1)
    ]


def text_of(answer: Any) -> str:
    """An answer that need not be a string: true and false are yes and no."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return str(answer)


def encode_part(source: SourceFile, part: Part) -> Iterable[tuple[str, bytes]]:
    """The kinds of official files that a split has, and their bytes."""
    images = [{"id": image_id, "file_name": name} for image_id, name in part.images]
    if part.annotations and len(part.annotations) < len(part.questions):
        answered = {entry["question_id"] for entry in part.annotations}
        missing = [q for q in part.questions if q["question_id"] not in answered]
        raise InputError(
            f"{source}: {len(missing)} of {len(part.questions)} questions have no answer, the "
            f"first is {missing[0]['question']!r}; expected answers to all, or to none in a test "
            "set."
        )
    if part.questions:
        yield "questions", msgspec.json.encode({"images": images, "questions": part.questions})
    if part.annotations:
        yield "annotations", msgspec.json.encode({"annotations": part.annotations})
    if part.captions:
        yield "captions", msgspec.json.encode({"images": images, "annotations": part.captions})
    if not (part.questions or part.captions):
        yield "images", msgspec.json.encode({"images": images})


@dataclass(frozen=True)
class OfficialFile:
    """An official file; ``origin``: what it is or was made of; ``rule``: how answers are scored."""

    path: Path
    origin: Path
    rule: str = "vqa"
    n_lone: int = 0  # see ``Converted``


def as_official(path: Path, kind: str, split: str = "") -> OfficialFile:
    """The official file of that kind that a file is, or becomes.

    ``split`` chooses among several. Raises ``InputError`` if the file holds nothing of the kind, or
    several splits but not this one.
    """
    layout = recognise(path)
    if layout is None or layout.kind:
        return OfficialFile(path, path)
    made = convert(layout, path)
    found = {of: file for (what, of), file in made.files.items() if what == kind}
    if not found:
        held = " and ".join(dict.fromkeys(what for what, _ in made.files))
        raise InputError(f"{path}: holds {held} ({layout.name}); expected {kind}.")
    if split not in found and len(found) > 1:
        raise InputError(
            f"{path}: has no {kind} of the split {split!r}; it has {' and '.join(found)}."
        )
    file = found.get(split) or next(iter(found.values()))
    return OfficialFile(file, path, layout.rule, made.n_lone)
