"""From what was asked for to the feature files to make: which images, which file each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..datasets.catalog import open_dataset
from ..datasets.image_list import ImageList, list_folder_images
from ..errors import InputError
from .jobs import Job

FOLDER = Path("features")


@dataclass(frozen=True)
class Wanted:
    """What to extract.

    Attributes:
        image_dir: a plain folder of images; goes before ``data``.
        data: a data set's name or folder.
        split: one split, or None for all that the set has.
        out: the feature file, or None for the default name in ``FOLDER``.
        network: the backbone and what is special about it, for the default file name.
        limit: the first so many images of each list only.
        shard: (i, n): the i-th of n equal parts of each list, from 1; (1, 1) for all.
    """

    image_dir: Path | None
    data: str
    split: str | None
    out: Path | None
    network: str
    limit: int | None = None
    shard: tuple[int, int] = (1, 1)


def plan(wanted: Wanted) -> list[Job]:
    """One job a feature file.

    Raises ``InputError`` for a set, a split or a folder that is not there, and ``UsageError`` when
    one ``--out`` would have to hold several splits.
    """
    if wanted.image_dir is not None:
        images = list_folder_images(wanted.image_dir)
        name = wanted.image_dir.resolve().name
        return [make_job(wanted, images, name, "")]
    dataset = open_dataset(wanted.data)
    splits: Sequence[str] = dataset.splits()
    if wanted.split is not None:
        splits = [dataset.checked_split(wanted.split)]
    if wanted.out is not None and len(splits) > 1:
        raise click.UsageError(
            f"--out names one file, but {dataset.name} has {len(splits)} splits "
            f"({', '.join(splits)}); name one by --split."
        )
    return [make_job(wanted, dataset.images(s), dataset.name, s) for s in splits]


def make_job(wanted: Wanted, images: ImageList, data: str, split: str) -> Job:
    """The job for one list of images, cut to the limit and to the shard."""
    n = len(images) if wanted.limit is None else min(wanted.limit, len(images))
    index, of = wanted.shard
    part = slice(n * (index - 1) // of, n * index // of)
    if part.start == part.stop:
        name = ", ".join(word for word in (data, split) if word)
        raise InputError(
            f"{name}: the shard {index}/{of} of {n} images is empty; ask for {n} shards at most."
        )
    images = ImageList(images.root, images.file_names[part], images.image_ids[part])
    shard = f"{index}of{of}" if of > 1 else ""
    out = wanted.out or default_path(data, split, wanted.network, shard)
    return Job(images, data, split, out, shard)


def default_path(*words: str) -> Path:
    """The file of which nobody said where: named by the words that say what is in it."""
    return FOLDER / f"{'-'.join(filter(None, words))}.h5"
