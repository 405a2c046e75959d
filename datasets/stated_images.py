"""The images that a split's JSON files state: ids and, where they are given, file names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .cache import Arrays, cached_arrays, string_array, strings_of
from .formats import Annotations, Captions, Karpathy, Questions, SourceFile, decode, read_source
from .image_list import LARGEST_ID, digest_images
from .official_names import KARPATHY_SPLITS, is_karpathy

FORMAT_VERSION = 1  # of the cached arrays; raise it when the same file would give others


@dataclass(frozen=True)
class StatedImages:
    """A split's images as its JSON files state them.

    ``names``: image id -> file name as written, "" where no file gives one; ``source``: image id ->
    the file that states it.
    """

    names: dict[int, str]
    source: dict[int, Path]

    @cached_property
    def digest(self) -> str:
        """The data set's identity, wherever it lies: sha256 over the sorted pairs of id and name.

        Empty if no JSON file states an image.
        """
        return digest_images((name, image_id) for image_id, name in self.names.items())

    @cached_property
    def ids(self) -> dict[str, int]:
        """The other way: stated file name -> image id."""
        return {name: image_id for image_id, name in self.names.items() if name}


def state_images(paths: Iterable[Path], split: str) -> StatedImages:
    """The images that a split's questions, annotations or captions files state, taken together.

    What one file states is kept in the cache folder. Raises ``InputError`` for an id that is no
    int64, an id with two names and a name with two ids.
    """
    names: dict[int, str] = {}
    source: dict[int, Path] = {}
    owner: dict[str, int] = {}
    for path in paths:
        for image_id, name in read_stated(path, split):
            known = names.setdefault(image_id, name)
            source.setdefault(image_id, path)
            if not name:
                continue
            if known and known != name:
                raise InputError(
                    f"{path}: the image id {image_id} stands for {known} and for {name}; "
                    "expected one file an id."
                )
            if owner.setdefault(name, image_id) != image_id:
                raise InputError(
                    f"{path}: {name} has the image ids {owner[name]} and {image_id}; "
                    "expected one id a file."
                )
            names[image_id], source[image_id] = name, path
    return StatedImages(names, source)


def read_stated(path: Path, split: str) -> Iterator[tuple[int, str]]:
    """Each image id of a JSON file with its name, "" if none; the file is parsed once, then cached.

    ``split`` matters only in a Karpathy file. An id with several names, or a name with several
    ids, comes as often.
    """
    source = read_source(path)
    kind = kind_of(path.name)
    part = split if kind == "karpathy" else ""

    def build() -> Arrays:
        pairs = list(dict.fromkeys(PARSERS[kind](source, split)))
        for image_id, _ in pairs:
            if not -LARGEST_ID <= image_id <= LARGEST_ID:
                raise InputError(
                    f"{path}: the image id {image_id} is too large; expected below 2**63."
                )
        ids = np.array([image_id for image_id, _ in pairs], np.int64)
        return {"ids": ids, "names": string_array([name for _, name in pairs])}

    arrays = cached_arrays("stated-images", [FORMAT_VERSION, source.sha256, kind, part], build)
    ids: NDArray[np.int64] = arrays["ids"]
    return zip(ids.tolist(), strings_of(arrays["names"]), strict=True)


def kind_of(file_name: str) -> str:
    """What an official file holds: a key of ``PARSERS``."""
    if is_karpathy(file_name):
        return "karpathy"
    return next((kind for kind in ("captions", "annotations") if kind in file_name), "questions")


def parse_karpathy(source: SourceFile, split: str) -> Iterator[tuple[int, str]]:
    """The split's images of a Karpathy file, with their folders."""
    for entry in decode(source, Karpathy).images:
        if entry.split in KARPATHY_SPLITS[split]:
            number = entry.imgid if entry.cocoid is None else entry.cocoid
            yield number, f"{entry.filepath}/{entry.filename}" if entry.filepath else entry.filename


def parse_captions(source: SourceFile, _: str) -> Iterator[tuple[int, str]]:
    """The images that a COCO file lists, and those that only its captions are on."""
    captions = decode(source, Captions)
    yield from ((image.id, image.file_name) for image in captions.images)
    listed = {image.id for image in captions.images}
    yield from ((c.image_id, "") for c in captions.annotations if c.image_id not in listed)


def parse_questions(source: SourceFile, _: str) -> Iterator[tuple[int, str]]:
    """The images that a VQA file's questions are on."""
    yield from ((question.image_id, "") for question in decode(source, Questions).questions)


def parse_annotations(source: SourceFile, _: str) -> Iterator[tuple[int, str]]:
    """The images that a VQA file's answers are on."""
    yield from ((entry.image_id, "") for entry in decode(source, Annotations).annotations)


PARSERS = {
    "karpathy": parse_karpathy,
    "captions": parse_captions,
    "questions": parse_questions,
    "annotations": parse_annotations,
}
