"""A data folder: its data files, known by what they hold, and its images."""

import re
from functools import cached_property
from pathlib import Path

from ..errors import InputError
from .dataset import Dataset
from .images.image_list import ImageList
from .images.split_images import SplitFolder, find_split_images
from .images.stated_images import StatedImages, state_images
from .layouts.data_files import DataFiles, find_data_files
from .layouts.official import OfficialFile
from .layouts.outline import outline_of
from .layouts.table import kind_of
from .official_names import IMAGE_FOLDERS, JSON_NAMES, SPLITS


class FolderDataset(Dataset):
    """A folder that holds data files in any of the layouts of ``layouts/table``, and images.

    Data files lie in the folder, in its ``annotations/`` or its ``questions/``, plain or gzip'd.
    Those with official names (``official_names``) go before others; files in other layouts become
    official ones in the cache folder, whose paths are returned.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root.resolve().name or "data", root)

    @cached_property
    def files(self) -> DataFiles:
        """The data files; looked for once."""
        return find_data_files(self.root)

    def notes(self) -> tuple[str, ...]:
        """Which file is read as what, if its name does not say it, and which are not used."""
        return self.files.notes(self.root)

    def splits(self) -> tuple[str, ...]:
        """Those of train, val and test that have a data file or an image folder of their own."""
        return tuple(split for split in SPLITS if self._has(split))

    def _has(self, split: str) -> bool:
        has_file = any(
            self.files.candidates(kind, split)
            for kind in ("questions", "annotations", "captions", "images")
        )
        return has_file or any((self.root / name).is_dir() for name in IMAGE_FOLDERS[split])

    def images(self, split: str, partial: bool = False) -> ImageList:
        """The images that the split has, relative to the data folder.

        All images of the split's own folder (``train2014/``, ``val/``, …), whether a JSON file
        mentions them or not, and those that the split's JSON files mention wherever else they lie
        (``images/``, or anywhere in the data folder). A Karpathy file divides ``train2014/`` and
        ``val2014/`` anew, so where it stands alone its list is the split.

        An image that a JSON file names is found by that name, any other by the number that ends
        the file's stem. An image of another split's folder is taken only where the JSON file names
        that folder too, or the other split does not claim the image; the list's notes say so.

        Raises ``InputError`` when a mentioned image has no file, unless the list may be
        ``partial``, which its notes say then, or two files have one id.
        """
        where = SplitFolder(self.root, split, self._own_folder(split), self._claims)
        return find_split_images(where, self._state(split), partial)

    def stated_images(self, split: str) -> StatedImages:
        """The split's images as the JSON files state them; without any, all that it has."""
        stated = self._state(split)
        if stated.file_names:
            return stated
        images = self.images(split)
        return StatedImages(images.image_ids, images.file_names, images.digest, [self.root])

    def _json_paths(self, split: str) -> list[Path]:
        self.checked_split(split)
        found = [
            self._find(kinds, split)
            for kinds in (("questions", "annotations"), ("captions", "images"))
        ]
        return [path for path in found if path is not None]

    def _state(self, split: str) -> StatedImages:
        return state_images([self.source(path) for path in self._json_paths(split)], split)

    def _claims(self, split: str) -> StatedImages | None:
        """What another split states, None if it has no JSON file."""
        if not self._has(split) or not self._json_paths(split):
            return None
        return self._state(split)

    def _own_folder(self, split: str) -> str | None:
        """The folder that holds this split's images alone, or None if there is none."""
        paths = self._json_paths(split)
        if paths and all(kind_of(path) == "karpathy" for path in paths):
            return None
        names = [
            f"{parent}{name}"
            for parent in ("", "images/")
            for name in IMAGE_FOLDERS[split]
            if (self.root / parent / name).is_dir()
        ]
        if len(names) > 1:  # 2014 beside 2017, say: the JSON files say which is meant
            years = {_year(path.name) for path in paths}
            names = [name for name in names if _year(name) in years] or names
        if len(names) > 1:
            raise InputError(
                f"{self.root}: {' and '.join(name + '/' for name in names)} could all hold the "
                f"images of the split {split!r}; keep one of them in this folder."
            )
        return names[0] if names else None

    def questions_path(self, split: str) -> Path:
        """The split's VQA questions file; ``InputError`` lists the names looked for."""
        return self._require("questions", split)

    def annotations_path(self, split: str) -> Path:
        """The split's VQA annotations file; ``InputError`` lists the names looked for."""
        return self._require("annotations", split)

    def captions_path(self, split: str) -> Path:
        """The split's COCO captions or Karpathy file; ``InputError`` lists the names looked for."""
        return self._require("captions", split)

    def has_vqa(self, split: str) -> bool:
        """Whether the split has a questions file."""
        return self._find(("questions",), split) is not None

    def has_annotations(self, split: str) -> bool:
        """Whether the split has an annotations file."""
        return self._find(("annotations",), split) is not None

    def has_captions(self, split: str) -> bool:
        """Whether the split has a captions file, or the set a Karpathy file."""
        return self._find(("captions",), split) is not None

    def _require(self, kind: str, split: str) -> Path:
        self.checked_split(split)
        path = self._find((kind,), split)
        if path is None:
            names = " or ".join(name for rank in JSON_NAMES[kind, split] for name in rank)
            raise InputError(
                f"{self.root}: the split {split!r} has no {kind} file; looked for {names} "
                "(.json or .json.gz) there and in annotations/ and questions/, and for files in "
                f"the layouts of docs/data.md under any name{self._say_unknown()}."
            )
        return path

    def _say_unknown(self) -> str:
        found = [
            f"{path.name} holds {outline_of(path).describe()}" for path in self.files.unknown[:3]
        ]
        return f"; {'; '.join(found)}" if found else ""

    def _find(self, kinds: tuple[str, ...], split: str) -> Path | None:
        """The file of the first of these kinds that the split has."""
        for kind in kinds:
            found = self.files.candidates(kind, split)
            if len(found) > 1:
                raise InputError(
                    f"{self.root}: {' and '.join(str(file.origin) for file in found)} could all be "
                    f"the {kind} of the split {split!r}; keep one of them in this folder."
                )
            if found:
                return found[0].path
        return None

    def official(self, path: Path) -> OfficialFile:
        """What one of the paths above was made of."""
        return self.files.official(path)


def _year(name: str) -> str:
    match = re.search("20[0-9][0-9]", name)
    return match.group() if match else ""
