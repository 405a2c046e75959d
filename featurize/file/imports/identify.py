"""Which image each item of a source is: its id and name, and which belong to a split."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ....datasets.catalog import open_dataset
from ....datasets.images.image_list import digest_images, number_at_end
from ....datasets.images.picture_formats import image_suffixes
from ....errors import InputError
from .array_folder import SUFFIXES
from .source import Source


@dataclass(frozen=True)
class Owner:
    """The data set and split that features are for; all "" if none was named."""

    data: str = ""
    split: str = ""
    digest: str = ""
    names: dict[int, str] = field(default_factory=dict)  # image id -> file name as stated, or ""


@dataclass(frozen=True)
class Identified:
    """The items to import, N of them: ``index`` in the source, ``image_id``, ``file_name``.

    ``n_others`` belong to no image of the split, ``n_lacking`` of its images have no item, and
    ``n_repeated`` stand in the source again, with equal values.
    """

    owner: Owner
    index: list[int]
    image_id: NDArray[np.int64]
    file_name: list[str]
    n_others: int = 0
    n_lacking: int = 0
    n_repeated: int = 0

    @property
    def digest(self) -> str:
        """Of the list of images."""
        return digest_images(zip(self.file_name, self.image_id.tolist(), strict=True))


def find_owner(data: str | None, split: str | None) -> Owner:
    """The split of a data set; raises ``InputError`` if there is none such."""
    if data is None:
        return Owner()
    dataset = open_dataset(data)
    name = dataset.checked_split(split or "train")
    stated = dataset.stated_images(name)
    return Owner(dataset.name, name, stated.digest, stated.names)


def identify(source: Source, owner: Owner) -> Identified:
    """Give every item its id; raises ``InputError`` for items that have none, or the same.

    An item with a name is the image of that stem in the data set's JSON files, or else the one of
    the number that ends it.
    """
    by_stem = {stem_of(name): image_id for image_id, name in owner.names.items() if name}
    taken: dict[int, int] = {}
    n_others = n_repeated = 0
    for index, item in enumerate(source.items):
        image_id = item.image_id
        if image_id is None:
            stem = stem_of(item.name)
            image_id = by_stem.get(stem, number_at_end(f"{stem}."))
        if image_id is None:
            raise InputError(
                f"{item.name}: does not end in a number, which would be its image id"
                f"{', nor does the data set name such an image' if owner.data else ''}; name its "
                "data set by --data, or rename the file."
            )
        if owner.data and image_id not in owner.names:
            n_others += 1
        elif taken.setdefault(image_id, index) != index:
            check_equal(source, taken[image_id], index, image_id)
            n_repeated += 1
    if not taken:
        raise InputError(
            f"none of the {len(source.items):,} images is one of {owner.data}, {owner.split}; name "
            "the right --data and --split."
            if owner.data
            else "holds no image."
        )
    ids = np.fromiter(taken, np.int64, len(taken))
    names = [owner.names.get(i, "") or source.items[k].name for i, k in taken.items()]
    n_lacking = len(owner.names) - len(taken) if owner.data else 0
    rows = list(taken.values())
    return Identified(owner, rows, ids, names, n_others, n_lacking, n_repeated)


def stem_of(name: str) -> str:
    """A file's name without folders and the suffixes of features and pictures.

    Of ``val2014/7.jpg.npz`` that is ``7``.
    """
    path = PurePosixPath(name)
    for suffixes in (SUFFIXES, image_suffixes()):
        if path.suffix.lower() in suffixes:
            path = path.with_suffix("")
    return path.name


def check_equal(source: Source, first: int, second: int, image_id: int) -> None:
    """Raise ``InputError`` unless an image that stands twice has the same values both times."""
    if not np.array_equal(source.read(first), source.read(second)):
        raise InputError(
            f"the image {image_id} stands twice, as entries {first} and {second}, with different "
            "features; keep one of them."
        )


def describe_identified(found: Identified) -> list[str]:
    """What to say of the images, a line each."""
    owner, said = found.owner, []
    if owner.data:
        said.append(f"data       {owner.data}, {owner.split}: {len(found.index):,} of its images")
    if found.n_others:
        said.append(f"left out   {found.n_others:,} entries are of no image of this split")
    if found.n_lacking:
        said.append(
            f"missing    {found.n_lacking:,} of the split's images; `train-head --missing skip` "
            "trains without them"
        )
    if found.n_repeated:
        said.append(
            f"repeated   {found.n_repeated:,} entries stand twice, alike, and are taken once"
        )
    return said
