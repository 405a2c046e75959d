"""Which image files belong to a split, and which id each has."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ...errors import InputError
from ..official_names import IMAGE_FOLDERS, SHARED_FOLDERS, SPLITS
from .image_list import ImageList, find_images, image_list, number_at_end
from .name_matching import (
    FolderIndex,
    base_name,
    fold,
    is_official,
    is_tail,
    normalize,
    split_of_folders,
    split_of_name,
)
from .stated_images import StatedImages

Claims = Callable[[str], StatedImages | None]


@dataclass(frozen=True)
class SplitFolder:
    """Where a split's images are looked for.

    ``own``: the folder that holds this split's images alone, relative to ``root``, or None.
    ``claims``: from another split to the images that its JSON files state, None if it has none.
    """

    root: Path
    split: str
    own: str | None
    claims: Claims


def find_split_images(where: SplitFolder, stated: StatedImages, partial: bool = False) -> ImageList:
    """The images of one split of a data folder; see ``FolderDataset.images``."""
    search = _Search(where, stated)
    if where.own is not None:
        search.look_in(where.own)
        search.add_unstated(where.own)
    for folder in SHARED_FOLDERS:
        if search.missing and (where.root / folder).is_dir():
            search.look_in(folder)
    if search.missing and not partial:
        raise InputError(search.explain_missing())
    if not search.found and not search.unstated:
        raise InputError(
            f"{where.root}: no images for the split {where.split!r}; expected them in "
            f"{', '.join(name + '/' for name in IMAGE_FOLDERS[where.split])} or images/."
        )
    pairs: list[tuple[str, int | None]] = [(file, i) for i, file in search.found.items()]
    images = image_list(where.root, pairs + search.unstated)
    return replace(images, data_digest=stated.digest or images.digest, notes=search.notes())


class _Search:
    """The files found so far for the stated images of a split."""

    def __init__(self, where: SplitFolder, stated: StatedImages) -> None:
        self.where, self.stated = where, stated
        self.found: dict[int, str] = {}
        self.unstated: list[tuple[str, int | None]] = []
        self.missing = dict(stated.names)
        self._taken: set[str] = set()
        self._from_others: dict[str, list[str]] = {}  # split -> files of its folder
        self._by_base: list[str] = []
        self._renamed: list[str] = []
        self._respelled: list[str] = []
        self._left_out: list[str] = []
        self._files: dict[str, list[str]] = {}
        # Base names that several images of the split state say nothing on their own.
        self._bases = Counter(base_name(normalize(name)) for name in stated.ids)

    def look_in(self, folder: str) -> None:
        """Find missing images in a folder and below: by name, those without one by number."""
        index = FolderIndex(folder, self._list(folder))
        for image_id, name in [pair for pair in self.missing.items() if pair[1]]:
            self._take(image_id, self._find_named(index, image_id, name))
        numbered = [i for i, name in self.missing.items() if not name]
        if numbered:
            by_number = self._number_files(index)
            for image_id in numbered:
                files = by_number.get(image_id, [])
                self._take(image_id, self._choose(image_id, {file: file for file in files}))

    def add_unstated(self, folder: str) -> None:
        """Add the other files of the split's own folder, by number.

        Where JSON files give names, one whose number stands for another image is left out.
        """
        has_names = bool(self.stated.ids)
        free = [file for file in self._list(folder) if file not in self._taken]
        numbers = Counter(number_at_end(file) for file in free)
        for file in free:
            number = number_at_end(file)
            is_known = number is None or number in self.stated.names or numbers[number] > 1
            if has_names and is_known:
                self._left_out.append(file)
            else:
                self.unstated.append((file, number))

    def notes(self) -> tuple[str, ...]:
        """What a user should be told of how the images were found."""
        notes = [
            f"{len(files)} images are taken from among those of the split {split!r}, which does "
            f"not claim them ({name_some(files)})"
            for split, files in self._from_others.items()
        ]
        if self._by_base:
            notes.append(
                f"{len(self._by_base)} images are found by their base names alone, since the JSON "
                f"files name other folders ({name_some(self._by_base)})"
            )
        if self._renamed:
            notes.append(
                f"{len(self._renamed)} images are found by COCO's names of another year, of the "
                f"same digits ({name_some(self._renamed)})"
            )
        if self._respelled:
            notes.append(
                f"{len(self._respelled)} images are found by names that the JSON files spell "
                f"otherwise, in case or Unicode form ({name_some(self._respelled)})"
            )
        if self.missing:
            notes.append(
                f"{len(self.missing)} of the {len(self.stated.names)} images mentioned are left "
                f"out: they have no file ({name_some([str(i) for i in self.missing])}); --missing "
                "skip trains without them"
            )
        if self._left_out:
            notes.append(
                f"{len(self._left_out)} files are left out: no JSON file names them, and their "
                f"numbers are those of other images, or none ({name_some(self._left_out)})"
            )
        return tuple(notes)

    def explain_missing(self) -> str:
        """The sentence for stated images that have no file."""
        first = min(self.missing)
        name, source = self.missing[first], self.stated.source(first)
        others = f" and {len(self.missing) - 1} more" if len(self.missing) > 1 else ""
        return (
            f"{source}: no file for the image {first}{f' ({name})' if name else ''}{others}, of "
            f"{len(self.stated.names)} images mentioned; expected it below {self.where.root}"
            f"{self._hint(first, name)}."
        )

    def _take(self, image_id: int, file: str | None) -> None:
        if file is None:
            return
        if file in self._taken:
            other = next(i for i, known in self.found.items() if known == file)
            raise InputError(
                f"{self.stated.source(image_id)}: the images {other} and {image_id} "
                f"({self.stated.names[image_id]}) both mean {file}; expected one id a file."
            )
        self.found[image_id] = file
        self._taken.add(file)
        del self.missing[image_id]

    def _list(self, folder: str) -> list[str]:
        if folder not in self._files:
            self._files[folder] = find_images(self.where.root, folder)
        return self._files[folder]

    def _find_named(self, index: FolderIndex, image_id: int, name: str) -> str | None:
        stated = normalize(name)
        files = index.find(name)
        if files:
            # Folders that the JSON file does not name may be those of another split.
            return self._choose(image_id, {file: file[: -len(stated)] for file in files})
        renamed = self._choose(image_id, {file: file for file in index.find_renamed(name)})
        if renamed is not None:
            self._renamed.append(renamed)
            return renamed
        if self._bases[base_name(stated)] > 1:
            return None
        files = [file for file in index.find_base(name) if file not in self._taken]
        found = self._by_base
        if not files and self._folded[fold(base_name(stated))] == 1:
            found = self._respelled
            files = [file for file in index.find_respelled(name) if file not in self._taken]
        if len(files) != 1:
            return None
        if index.folder != self.where.own:
            inside = files[0].removeprefix(f"{index.folder}/") if index.folder else files[0]
            is_other = fold(base_name(stated)) in self._folded_of_others
            if is_other or not is_tail(fold(inside), fold(stated)):
                return None
        found.append(files[0])
        return files[0]

    @cached_property
    def _folded(self) -> Counter[str]:
        return Counter(fold(base_name(normalize(name))) for name in self.stated.ids)

    @cached_property
    def _folded_of_others(self) -> set[str]:
        others = [self.where.claims(split) for split in SPLITS if split != self.where.split]
        names = [name for other in others if other is not None for name in other.ids]
        return {fold(base_name(normalize(name))) for name in names}

    def _number_files(self, index: FolderIndex) -> dict[int, list[str]]:
        files: dict[int, list[str]] = {}
        for file in index.files:
            number = number_at_end(file)
            if number is not None and file not in self._taken:
                files.setdefault(number, []).append(file)
        return files

    def _choose(self, image_id: int, files: dict[str, str]) -> str | None:
        """One of the files that may be this image, first those that belong to no other split.

        With each file comes the part of its path that may name a split. A file of another split is
        taken only if that split does not claim it.
        """
        split_of = {file: self._owner(part) for file, part in files.items()}
        usable = [file for file in files if split_of[file] == self.where.split]
        if not usable:
            usable = [f for f in files if not self._is_claimed(image_id, f, split_of[f])]
            for file in usable:
                self._from_others.setdefault(split_of[file], []).append(file)
        if len(usable) > 1:
            name = self.stated.names[image_id]
            raise InputError(
                f"{self.where.root}: {usable[0]} and {usable[1]} both could be the image "
                f"{image_id} ({name or 'by the number at the end of the stem'}); rename one of "
                "them, or give the path from the data folder as file_name in the JSON file."
            )
        return usable[0] if usable else None

    def _owner(self, path: str) -> str:
        """The split that a path speaks for; one without JSON files only by its folder."""
        split = split_of_folders(path)
        if split is None:
            split = split_of_name(path)
            if split is not None and self.where.claims(split) is None:
                split = None
        return split or self.where.split

    def _is_claimed(self, image_id: int, file: str, other: str) -> bool:
        claims = self.where.claims(other)
        if claims is None:  # all images of its folder are its own
            return not is_official(file)
        return image_id in claims.names or any(is_tail(normalize(n), file) for n in claims.ids)

    def _hint(self, image_id: int, name: str) -> str:
        files = self._list("")
        if not name:
            like = [file for file in files if number_at_end(file) == image_id]
            return self._say_claimed(like, "ends in that number")
        like = [file for file in files if base_name(file) == base_name(normalize(name))]
        return self._say_claimed(like, "has that base name")

    def _say_claimed(self, files: list[str], what: str) -> str:
        if not files:
            return ""
        split = self._owner(files[0])
        if split == self.where.split:
            return f"; {files[0]} {what}, but lies in another folder or is named by another image"
        return f"; {files[0]} {what}, but belongs to the split {split!r}"


def name_some(names: list[str]) -> str:
    """The first few names, and whether there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
