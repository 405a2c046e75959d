"""Which images of a data folder belong to a split, and which id each has."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..errors import InputError
from .formats import Annotations, Captions, Karpathy, Questions, decode
from .image_list import LARGEST_ID, ImageList, find_images, image_list, number_at_end
from .official_names import IMAGE_FOLDERS, KARPATHY_SPLITS, SHARED_FOLDERS, is_karpathy


@dataclass
class Mentions:
    """The images that a split's JSON files speak of: id -> file name, "" where none is given."""

    names: dict[int, str] = field(default_factory=dict)
    source: dict[int, Path] = field(default_factory=dict)
    owner: dict[str, int] = field(default_factory=dict)  # the other way: file name -> id

    def add(self, image_id: int, file_name: str, source: Path) -> None:
        """Note one image; ``InputError`` if its id or its name goes with another already.

        Also if the id is not an int64.
        """
        if not -LARGEST_ID <= image_id <= LARGEST_ID:
            raise InputError(
                f"{source}: the image id {image_id} is too large; expected below 2**63."
            )
        self.source.setdefault(image_id, source)
        known = self.names.setdefault(image_id, file_name)
        if not file_name:
            return
        if known and known != file_name:
            raise InputError(
                f"{source}: the image id {image_id} stands for {known} and for {file_name}; "
                "expected one file an id."
            )
        if self.owner.setdefault(file_name, image_id) != image_id:
            raise InputError(
                f"{source}: {file_name} has the image ids {self.owner[file_name]} and {image_id}; "
                "expected one id a file."
            )
        self.names[image_id], self.source[image_id] = file_name, source

    def id_of(self, path: str) -> int | None:
        """The id of the file at this path, by the end of the path that a JSON file names."""
        rest = path
        while rest:
            if rest in self.owner:
                return self.owner[rest]
            rest = rest.partition("/")[2]
        return self._by_base.get(_base(path))

    @cached_property
    def _by_base(self) -> dict[str, int]:
        """Where only one image has that base name: a JSON file may name folders that are not."""
        by_base: dict[str, int] = {}
        repeated: set[str] = set()
        for name, image_id in self.owner.items():
            if by_base.setdefault(_base(name), image_id) != image_id:
                repeated.add(_base(name))
        return {base: image_id for base, image_id in by_base.items() if base not in repeated}

    def may_claim(self, image_id: int) -> bool:
        """Whether a file that no JSON file names may have this id by the number in its name.

        Not if a JSON file gives the id to a name that ends otherwise (Flickr's hashes): there a
        number that happens to equal the id says nothing.
        """
        name = self.names.get(image_id, "")
        return not name or number_at_end(name) == image_id


def _base(file_name: str) -> str:
    return file_name.rpartition("/")[2]


def find_split_images(
    root: Path, split: str, questions: Path | None, captions: Path | None
) -> ImageList:
    """The images of one split of the data folder ``root``; see ``FolderDataset.images``."""
    mentions = Mentions()
    if questions is not None:
        _add_questions(mentions, questions)
    if captions is not None:
        _add_captions(mentions, captions, split)
    found: list[tuple[str, int | None]] = []
    if questions is not None or captions is None or not is_karpathy(captions.name):
        json_names = [path.name for path in (questions, captions) if path is not None]
        folder = _own_folder(root, split, json_names)
        if folder is not None:
            found = _identify(root, folder, mentions)
    missing = mentions.names.keys() - {i for _, i in found}
    found += _search(root, mentions, missing)
    if not found:
        raise InputError(
            f"{root}: no images for the split {split!r}; expected them in "
            f"{', '.join(name + '/' for name in IMAGE_FOLDERS[split])} or images/."
        )
    return image_list(root, found)


def _add_questions(mentions: Mentions, path: Path) -> None:
    if "annotations" in path.name:
        for annotation in decode(path, Annotations).annotations:
            mentions.add(annotation.image_id, "", path)
    else:
        for question in decode(path, Questions).questions:
            mentions.add(question.image_id, "", path)


def _add_captions(mentions: Mentions, path: Path, split: str) -> None:
    if is_karpathy(path.name):
        for entry in decode(path, Karpathy).images:
            if entry.split in KARPATHY_SPLITS[split]:
                number = entry.imgid if entry.cocoid is None else entry.cocoid
                folder = f"{entry.filepath}/" if entry.filepath else ""
                mentions.add(number, folder + entry.filename, path)
        return
    captions = decode(path, Captions)
    for image in captions.images:
        mentions.add(image.id, image.file_name, path)
    for caption in captions.annotations:
        mentions.add(caption.image_id, "", path)


def _own_folder(root: Path, split: str, json_names: list[str]) -> str | None:
    """The folder that holds this split's images alone, or None if there is none."""
    names = [
        f"{parent}{name}"
        for parent in ("", "images/")
        for name in IMAGE_FOLDERS[split]
        if (root / parent / name).is_dir()
    ]
    if len(names) > 1:  # 2014 beside 2017, say: the JSON files tell which is meant
        years = {_year(json_name) for json_name in json_names}
        names = [name for name in names if _year(name) in years] or names
    if len(names) > 1:
        raise InputError(
            f"{root}: {' and '.join(name + '/' for name in names)} could all hold the images of "
            f"the split {split!r}; keep one of them in this folder."
        )
    return names[0] if names else None


def _year(name: str) -> str:
    match = re.search("20[0-9][0-9]", name)
    return match.group() if match else ""


def _identify(root: Path, folder: str, mentions: Mentions) -> list[tuple[str, int | None]]:
    """All images of a folder with their ids: from the JSON files, else from the name itself."""
    paths = find_images(root, folder)
    ids = {path: mentions.id_of(path) for path in paths}
    given = set(ids.values())  # where the name of an image ends in another's id, the JSON decides
    result: list[tuple[str, int | None]] = []
    for path, image_id in ids.items():
        number = number_at_end(path) if image_id is None else None
        if number is not None and number not in given and mentions.may_claim(number):
            image_id = number
        result.append((path, image_id))
    return result


def _search(root: Path, mentions: Mentions, missing: set[int]) -> list[tuple[str, int | None]]:
    """The files of the missing images, in the folders that splits may share."""
    found: list[tuple[str, int | None]] = []
    for folder in SHARED_FOLDERS:
        if not missing:
            break
        if (root / folder).is_dir():
            here = [pair for pair in _identify(root, folder, mentions) if pair[1] in missing]
            found += here
            missing = missing - {number for _, number in here if number is not None}
    if missing:
        first = min(missing)
        name = f" ({mentions.names[first]})" if mentions.names[first] else ""
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{mentions.source[first]}: no file for the image {first}{name}{others}, of "
            f"{len(mentions.names)} images mentioned; expected it below {root}."
        )
    return found
