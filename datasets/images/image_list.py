"""Images on disk: which files of a folder are images, in which order, and which id each has."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .picture_formats import explain_left_out, image_suffixes, other_suffixes

LARGEST_ID = 2**63 - 1
_END_NUMBER = re.compile(r"[0-9]+\Z")
_NUMBERS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class ImageList:
    """The images of one split: files and their ids, row by row.

    ``file_names`` are posix paths relative to ``root``, in natural order ("9.png" before "10.png").
    ``image_ids`` is int64 [N], without repetition. ``digest`` is that of the split's whole list, of
    which this may be a part, and ``data_digest`` that of the images as the data set's JSON files
    state them, "" for a plain folder. ``notes`` say what a user should know of how they were found.
    """

    root: Path
    file_names: list[str]
    image_ids: NDArray[np.int64]
    digest: str = ""
    data_digest: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.file_names)

    def path(self, i: int) -> Path:
        """Where image ``i`` (a row, not an id) lies."""
        return self.root / self.file_names[i]


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """A sort key under which numbers inside names count as numbers; the name itself breaks ties."""
    parts = _NUMBERS.split(name)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name


def number_at_end(file_name: str) -> int | None:
    """The number that ends the file's stem, or None.

    It is also the id in the official names: ``COCO_train2014_000000000025.jpg`` is 25 and
    ``000000516008.jpg`` is 516008. A number that no int64 holds is no id.
    """
    stem = file_name.rpartition("/")[2].rpartition(".")[0]
    match = _END_NUMBER.search(stem)
    if match is None:
        return None
    digits = match.group().lstrip("0") or "0"
    return int(digits) if len(digits) <= 19 and int(digits) <= LARGEST_ID else None


def find_images(root: Path, folder: str = "") -> list[str]:
    """All image files in ``root/folder`` and below, as posix paths relative to ``root``.

    Known by their suffix, whatever its case. In natural order.
    """
    suffixes = image_suffixes()
    found = [name for name, suffix in _walk_files(root, folder) if suffix in suffixes]
    _check_encodable(root, found)
    return sorted(found, key=natural_key)


def count_other_pictures(root: Path, folder: str = "") -> Counter[str]:
    """How many pictures in ``root/folder`` and below are not read, by suffix in lower case."""
    others = other_suffixes()
    return Counter(suffix for _, suffix in _walk_files(root, folder) if suffix in others)


def _walk_files(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Each file's posix path relative to ``root``, and its suffix in lower case.

    Hidden files and folders are skipped; a folder that several symbolic links reach is walked once,
    so that a loop of links ends.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        status = (root / here).stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders: list[str] = []
        with os.scandir(root / here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{here}/{entry.name}" if here else entry.name
                if _is_folder(entry):
                    folders.append(name)
                # A dangling link is listed, to be reported when it is read.
                elif entry.is_symlink() or entry.is_file():
                    yield name, os.path.splitext(entry.name)[1].lower()
        # Sorted, so that of two links to one folder always the same one is followed.
        waiting.extend(sorted(folders, key=natural_key, reverse=True))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _check_encodable(root: Path, file_names: Sequence[str]) -> None:
    for name in file_names:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode(errors="backslashreplace").decode()
            raise InputError(
                f"{root}: the file name {shown!r} is not valid UTF-8, so it cannot be recorded; "
                "rename the file."
            ) from None


def list_folder_images(folder: Path) -> ImageList:
    """Any folder of images, nested or not, of mixed formats and without JSON.

    An image's id is the number at the end of its stem (``IMG_0042.jpg`` is 42), as in the official
    names, so that ids stay the same when images are added. Where the names do not give each image a
    number of its own (class folders, hashes, ``IMG_0001 (1).jpg``), the images are numbered 0 … N-1
    in natural order, and ``notes`` say so; the file names tell which is which.

    Raises ``InputError`` when there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of images.")
    names = find_images(folder)
    if not names:
        left_out = explain_left_out(count_other_pictures(folder))
        raise InputError(
            f"{folder}: no images found; expected files that end in "
            f"{', '.join(sorted(image_suffixes()))}{f'; {left_out}' if left_out else ''}."
        )
    numbers = [number_at_end(name) for name in names]
    if (reason := unusable(names, numbers)) is None:
        return image_list(folder, zip(names, numbers, strict=True))
    images = image_list(folder, zip(names, range(len(names)), strict=True))
    return replace(images, notes=(f"image ids are 0 to {len(names) - 1} by order: {reason}",))


def unusable(names: list[str], numbers: list[int | None]) -> str | None:
    """Why the numbers in the names cannot be image ids, or None if they can."""
    owner: dict[int, str] = {}
    for name, number in zip(names, numbers, strict=True):
        if number is None:
            return f"{name} does not end in a number"
        if owner.setdefault(number, name) != name:
            return f"{owner[number]} and {name} end in the same number"
    return None


def image_list(root: Path, ids: Iterable[tuple[str, int | None]]) -> ImageList:
    """Files and their ids as an ``ImageList``, in natural order of the names.

    Raises ``InputError`` naming the files when one has no id or two have the same.
    """
    pairs = sorted(ids, key=lambda pair: natural_key(pair[0]))
    owner: dict[int, str] = {}
    repeated: list[tuple[str, int]] = []
    for name, number in pairs:
        if number is None:
            raise InputError(_no_number(root, name, pairs))
        if owner.setdefault(number, name) != name:
            repeated.append((name, number))
    if repeated:
        name, number = repeated[0]
        others = f", and {len(repeated) - 1} more repeat an id" if len(repeated) > 1 else ""
        raise InputError(
            f"{root}: {owner[number]} and {name} both have the image id {number} (the number at "
            f"the end of the stem, unless a JSON file gives another){others}; rename the files "
            "so that each has its own number."
        )
    digest = digest_images((name, image_id) for image_id, name in owner.items())
    return ImageList(root, list(owner.values()), np.fromiter(owner, np.int64, len(owner)), digest)


def digest_images(pairs: Iterable[tuple[str, int]]) -> str:
    """The sha256 in hex over the sorted pairs of file name and image id; "" if there are none."""
    ordered = sorted(pairs)
    return hashlib.sha256(msgspec.json.encode(ordered)).hexdigest() if ordered else ""


def _no_number(root: Path, name: str, pairs: Sequence[tuple[str, int | None]]) -> str:
    other = next((other for other, number in pairs if number is not None), None)
    against = f" while {other} has one" if other else ""
    return (
        f"{root}: {name} has no number at the end of its stem{against}, so it has no image id; "
        "rename the files so that all end in a number of at most 18 digits, or none."
    )
