"""The images that a split's JSON files state: ids and, where they are given, file names."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..cache import Arrays, cached_arrays, pack_names, string_array, strings_of, unpack_names
from ..formats import Annotations, Captions, Karpathy, Questions, SourceFile, decode
from ..ids import Id, canonical, id_names, number_of
from ..layouts.table import kind_of
from ..official_names import is_of_split, kind_of_name
from .image_list import LARGEST_ID, digest_images

FORMAT_VERSION = 1  # of the cached arrays; raise it when the same file would give others


class StatedImages:
    """A split's images as its JSON files state them.

    ``image_ids``: int64 [N], distinct; ``file_names``: N names as written, "" where no file gives
    one; ``digest``: the data set's identity, wherever it lies: sha256 over the sorted pairs of name
    and id, "" if there are none; ``id_names``: the ids that are no numbers, by the number that
    stands for each.
    """

    def __init__(
        self,
        image_ids: NDArray[np.int64],
        file_names: list[str],
        digest: str,
        paths: Sequence[Path],
        path_index: NDArray[np.uint8] | None = None,
        id_names: dict[int, str] | None = None,
    ) -> None:
        self.image_ids, self.file_names, self.digest = image_ids, file_names, digest
        self.id_names = id_names or {}
        self._paths, self._path_index = paths, path_index

    @cached_property
    def names(self) -> dict[int, str]:
        """Image id -> file name as written, "" where no file gives one."""
        return dict(zip(self.image_ids.tolist(), self.file_names, strict=True))

    @cached_property
    def ids(self) -> dict[str, int]:
        """The other way: file name as written -> image id."""
        return {name: image_id for image_id, name in self.names.items() if name}

    def source(self, image_id: int) -> Path:
        """The file that states an image."""
        if self._path_index is None:
            return self._paths[0]
        index = int(np.flatnonzero(self.image_ids == image_id)[0])
        return self._paths[int(self._path_index[index])]


def state_images(sources: Sequence[SourceFile], split: str) -> StatedImages:
    """The images that a split's questions, annotations or captions files state, taken together.

    The result is kept in the cache folder. Raises ``InputError`` for an id that is no int64, an id
    with two names and a name with two ids.
    """
    kinds = [parser_of(source) for source in sources]
    part = split if "karpathy" in kinds else ""
    key = [FORMAT_VERSION, part, *kinds, *(source.sha256 for source in sources)]
    arrays = cached_arrays("stated-images", key, lambda: merge_sources(sources, split))
    names, (digest,) = strings_of(arrays["names"]), strings_of(arrays["digest"])
    paths = [source.path for source in sources]
    return StatedImages(
        arrays["ids"], names, digest, paths, arrays["path_index"], unpack_names(arrays)
    )


def merge_sources(sources: Sequence[SourceFile], split: str) -> Arrays:
    """What ``state_images`` keeps, from the files' bytes."""
    names: dict[int, str] = {}
    stated_by: dict[int, int] = {}
    owner: dict[str, int] = {}
    written: dict[int, str] = {}
    for index, source in enumerate(sources):
        for stated, name in dict.fromkeys(PARSERS[parser_of(source)](source, split)):
            image_id = stated if type(stated) is int else number_of(stated)
            if type(stated) is not int:
                written |= id_names([stated])
            if not -LARGEST_ID <= image_id <= LARGEST_ID:
                raise InputError(
                    f"{source}: the image id {image_id} is too large; expected below 2**63."
                )
            known = names.setdefault(image_id, name)
            stated_by.setdefault(image_id, index)
            if not name:
                continue
            if known and known != name:
                raise InputError(
                    f"{source}: the image id {image_id} stands for {known} and for {name}; "
                    "expected one file an id."
                )
            if owner.setdefault(name, image_id) != image_id:
                raise InputError(
                    f"{source}: {name} has the image ids {owner[name]} and {image_id}; "
                    "expected one id a file."
                )
            names[image_id], stated_by[image_id] = name, index
    return {
        "ids": np.array(list(names), np.int64),
        "names": string_array(list(names.values())),
        "path_index": np.array(list(stated_by.values()), np.uint8),
        "digest": string_array([digest_images((n, i) for i, n in names.items())]),
        **pack_names(written),
    }


def parse_karpathy(source: SourceFile, split: str) -> Iterator[tuple[Id, str]]:
    """The split's images of a Karpathy file, with their folders."""
    for entry in decode(source, Karpathy).images:
        if is_of_split(entry.split, split):
            name = f"{entry.filepath}/{entry.filename}" if entry.filepath else entry.filename
            yield entry.id, name


def parse_captions(source: SourceFile, _: str) -> Iterator[tuple[Id, str]]:
    """The images that a COCO file lists, and those that only its captions are on."""
    captions = decode(source, Captions)
    yield from ((image.id, image.name) for image in captions.images)
    listed = {canonical(image.id) for image in captions.images}
    ids = (caption.image_id for caption in captions.annotations)
    yield from ((image_id, "") for image_id in ids if canonical(image_id) not in listed)


def parse_questions(source: SourceFile, _: str) -> Iterator[tuple[Id, str]]:
    """The images that a VQA file's questions are on."""
    content = decode(source, Questions)
    yield from ((image.id, image.name) for image in content.images)
    yield from ((question.image_id, "") for question in content.questions)


def parse_annotations(source: SourceFile, _: str) -> Iterator[tuple[Id, str]]:
    """The images that a VQA file's answers are on."""
    yield from ((entry.image_id, "") for entry in decode(source, Annotations).annotations)


PARSERS = {
    "karpathy": parse_karpathy,
    "captions": parse_captions,
    "images": parse_captions,
    "questions": parse_questions,
    "annotations": parse_annotations,
}


def parser_of(source: SourceFile) -> str:
    """The kind of ``PARSERS`` that reads a file: by what it holds, else by its name."""
    return kind_of(source) or kind_of_name(source.name) or "captions"
