"""From a file name as a JSON file writes it to the image file that it means."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import unquote, urlsplit

from ..official_names import IMAGE_FOLDERS

# COCO's two names of one image: since 2017 its 12 digits alone. They never repeat between splits.
_COCO_NAME = re.compile(r"COCO_(?:train|val|test)20[0-9][0-9]_([0-9]{12}\.jpg)\Z")
_DRIVE = re.compile(r"[A-Za-z]:(?=\\)")
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)(?:20[0-9][0-9])?(?![a-z0-9])")
_SPLIT_OF_FOLDER = {name: split for split, names in IMAGE_FOLDERS.items() for name in names}


def normalize(name: str) -> str:
    r"""A path without ``./`` and doubled slashes, also from an address or Windows' ``C:\x.jpg``."""
    if "\\" in name and "/" not in name:
        name = _DRIVE.sub("", name).replace("\\", "/")
    elif "://" in name:
        name = unquote(urlsplit(name).path)
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def base_name(path: str) -> str:
    """A posix path's last part."""
    return path.rpartition("/")[2]


def is_official(file_name: str) -> bool:
    """Whether a name is one of COCO's with the split in it, whose ids never repeat."""
    return _COCO_NAME.match(base_name(file_name)) is not None


def is_renamed(one: str, other: str) -> bool:
    """Whether two base names are those of one COCO image in 2014 and in 2017."""
    return one != other and (_short_name(one) == other or _short_name(other) == one)


def _short_name(base: str) -> str:
    match = _COCO_NAME.match(base)
    return match.group(1) if match else base


def is_tail(tail: str, path: str) -> bool:
    """Whether a path ends in these folders and this name."""
    return path == tail or path.endswith(f"/{tail}")


def split_of_folders(path: str) -> str | None:
    """The split whose own folder a file lies in, as "val" for ``images/val/7.jpg``."""
    folders = path.split("/")[:-1]
    return next(
        (_SPLIT_OF_FOLDER[folder] for folder in folders if folder in _SPLIT_OF_FOLDER), None
    )


def split_of_name(path: str) -> str | None:
    """The split that a file's own name tells, as "val" for ``CLEVR_val_000007.png``."""
    words = {match.group(1) for match in _SPLIT_WORD.finditer(base_name(path).lower())}
    return words.pop() if len(words) == 1 else None


class FolderIndex:
    """The image files of one folder of a data set, found by name.

    ``folder`` is relative to the data set's root, "" for the root itself, as are ``files``.
    """

    def __init__(self, folder: str, files: Iterable[str]) -> None:
        self.folder = folder
        self.files = list(files)
        self._by_base: dict[str, list[str]] = defaultdict(list)
        for file in self.files:
            self._by_base[_short_name(base_name(file))].append(file)

    def find(self, name: str) -> list[str]:
        """The file whose path is this name, or else all files whose path ends in it."""
        stated = normalize(name)
        candidates = self._with_base(stated)
        within = f"{self.folder}/{stated}" if self.folder else stated
        for exact in (within, stated):
            if exact in candidates:
                return [exact]
        return [file for file in candidates if is_tail(stated, file)]

    def find_base(self, name: str) -> list[str]:
        """All files of the folder with this base name, whatever folders the name states."""
        stated = normalize(name)
        return [file for file in self._with_base(stated) if base_name(file) == base_name(stated)]

    def find_renamed(self, name: str) -> list[str]:
        """All files of the folder that are this COCO image under its name of another year."""
        stated = normalize(name)
        candidates = self._with_base(stated)
        return [file for file in candidates if is_renamed(base_name(file), base_name(stated))]

    def find_respelled(self, name: str) -> list[str]:
        """All files of the folder with this base name but for case and Unicode form."""
        return self._by_fold.get(fold(base_name(normalize(name))), [])

    @cached_property
    def _by_fold(self) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {}
        for file in self.files:
            files.setdefault(fold(base_name(file)), []).append(file)
        return files

    def _with_base(self, stated: str) -> list[str]:
        return self._by_base.get(_short_name(base_name(stated)), [])


def fold(name: str) -> str:
    """A name without regard to case and to Unicode's composed and decomposed form."""
    return unicodedata.normalize("NFC", name).casefold()
