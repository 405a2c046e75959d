"""Which images of a data folder belong to a split, and which id each has."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .formats import Annotations, Captions, Karpathy, Questions, decode
from .image_list import ImageList, find_images, image_list, number_at_end
from .official_names import IMAGE_FOLDERS, KARPATHY_SPLITS, SHARED_FOLDERS, is_karpathy


@dataclass
class Mentions:
    """The images that a split's JSON files speak of: id -> file name, "" where none is given."""

    names: dict[int, str] = field(default_factory=dict)
    source: dict[int, Path] = field(default_factory=dict)

    def add(self, image_id: int, file_name: str, source: Path) -> None:
        """Note one image; ``InputError`` if the id goes with another file name already."""
        known = self.names.get(image_id, "")
        if known and file_name and _base(known) != _base(file_name):
            raise InputError(
                f"{source}: the image id {image_id} stands for {file_name} but also for {known} "
                f"in {self.source[image_id]}; expected one file an id."
            )
        if not known or (file_name and len(file_name) > len(known)):
            self.names[image_id] = file_name or known
            self.source[image_id] = source

    def numbered(self) -> set[int]:
        """The ids that a file may claim by the number at the end of its stem.

        Not those whose JSON gives a name that ends otherwise (Flickr's hashes): there a number
        that happens to equal the id says nothing.
        """
        return {i for i, name in self.names.items() if not name or number_at_end(name) == i}


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
            found = _identify(root, folder, mentions, mentions.names)
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
    if len(names) > 1:  # 2014 and 2017 side by side: the JSON files say which is meant
        named = [n for n in names if any(n[-4:] in json_name for json_name in json_names)]
        names = named or names
    if len(names) > 1:
        raise InputError(
            f"{root}: {' and '.join(name + '/' for name in names)} could all hold the images of "
            f"the split {split!r}; keep one of them in this folder."
        )
    return names[0] if names else None


def _identify(
    root: Path, folder: str, mentions: Mentions, wanted: Collection[int]
) -> list[tuple[str, int | None]]:
    """All images of a folder with their ids: from the JSON by name, else from the name itself.

    Ids given by name are limited to ``wanted``; a file's own number may be any.
    """
    by_name: dict[str, int] = {}
    for number in wanted:
        if name := mentions.names[number]:
            by_name[name] = number
            by_name.setdefault(_base(name), number)
    claimable = mentions.numbered()
    prefix = f"{folder}/" if folder else ""
    result: list[tuple[str, int | None]] = []
    for path in find_images(root, folder):
        number_or_none = by_name.get(path.removeprefix(prefix), by_name.get(_base(path)))
        if number_or_none is None:
            number_or_none = number_at_end(path)
            if number_or_none in mentions.names and number_or_none not in claimable:
                number_or_none = None
        result.append((path, number_or_none))
    return result


def _search(root: Path, mentions: Mentions, missing: set[int]) -> list[tuple[str, int | None]]:
    """The files of the missing images, in the folders that splits may share."""
    found: list[tuple[str, int | None]] = []
    missing = set(missing)
    for folder in SHARED_FOLDERS:
        if not missing:
            break
        if (root / folder).is_dir():
            here = [
                pair for pair in _identify(root, folder, mentions, missing) if pair[1] in missing
            ]
            found += here
            missing -= {number for _, number in here if number is not None}
    if missing:
        _complain(root, mentions.names, mentions.source, missing)
    return found


def _complain(
    root: Path, names: Mapping[int, str], source: Mapping[int, Path], missing: set[int]
) -> None:
    first = min(missing)
    name = f" ({names[first]})" if names[first] else ""
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    raise InputError(
        f"{source[first]}: no file for the image {first}{name}{others}, of {len(names)} images "
        f"mentioned; expected it below {root}."
    )
