"""From the command line's options to the feature files to make: which images go into which file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..datasets.catalog import open_dataset
from ..datasets.images.image_list import ImageList, list_folder_images
from ..errors import InputError
from .file.layout import MIRRORED, PLAIN
from .file.views import mirrored_path

FOLDER = Path("features")
DEFAULT_SIDE = 448  # pixels: 14 x 14 cells of layer4
DEFAULT_LONGEST = 640  # pixels: COCO's photos as they are


class OptionsError(InputError):
    """Options that do not fit together for the data set that was named."""


@dataclass(frozen=True)
class FeaturizeOptions:
    """The command line of ``featurize``; the help text of each option is in ``cli``.

    Attributes:
        image_dir: a plain folder of images, instead of ``data``.
        backbone: name of the network.
        data: name or folder of a data set.
        split: one split, or None for all that the set has.
        out: the feature file, or None for the default name in ``FOLDER``.
        weights: ``imagenet``, ``random`` or a file.
        seed: of random weights.
        image_size: side of the square, pixels, or with ``native`` the longest of a side; None for
            the network's own, for a ResNet ``DEFAULT_SIDE`` or, with ``native``,
            ``DEFAULT_LONGEST``.
        layer: the last stage kept.
        grid: ``14``, or ``native`` for as many cells as the layer makes.
        crop: how an image becomes a square, or ``native`` for its own shape.
        draft: decode large JPEGs at a reduced scale.
        dtype: of the grid in the file.
        batch_size: images per forward pass; None for the device's default.
        workers: decoding threads; None for one per core.
        device: ``auto``, ``cpu`` or ``cuda``.
        amp: ``auto`` or ``off``.
        on_error: ``stop`` or ``skip``.
        limit: only the first so many images of each list, or None.
        shard: (i, n): the i-th of n equal parts of each list, from 1; (1, 1) for all.
        dry_run, verify, repair, overwrite: as in the command's help.
        defaults: names of the fields that the user did not set.
        decode: ``auto``, ``cpu`` or ``gpu``.
        views: 2 for a second file, of the mirrored images, beside those of the split.
    """

    image_dir: Path | None
    backbone: str
    data: str
    split: str | None
    out: Path | None
    weights: str
    seed: int
    image_size: int | None
    layer: str
    grid: str
    crop: str
    draft: bool
    dtype: str
    batch_size: int | None
    workers: int | None
    device: str
    amp: str
    on_error: str
    limit: int | None
    shard: tuple[int, int]
    dry_run: bool
    verify: bool
    repair: bool
    overwrite: bool
    defaults: frozenset[str] = frozenset()
    decode: str = "auto"
    views: int = 1

    @property
    def is_native(self) -> bool:
        """Whether the layer's own cells are kept, however many."""
        return self.grid == "native"

    def side(self, own: int | None) -> int:
        """The side of the square, or the longest of a side, pixels; ``own`` is the network's."""
        default = DEFAULT_LONGEST if self.crop == "native" else DEFAULT_SIDE
        return self.image_size or own or default


@dataclass(frozen=True)
class Job:
    """One feature file to fill.

    Attributes:
        images: which images, row by row.
        data, split: the data set's name and its split ("" for a plain folder).
        out: the feature file.
        shard: "2of4" if these are only a part of the split's images, else "".
        view: ``plain`` or ``mirrored``.
    """

    images: ImageList
    data: str
    split: str
    out: Path
    shard: str = ""
    view: str = PLAIN

    def __str__(self) -> str:
        view = self.view if self.view != PLAIN else ""
        return ", ".join(word for word in (self.data, self.split, self.shard, view) if word)


def plan(options: FeaturizeOptions) -> list[Job]:
    """One job per feature file.

    Raises ``InputError`` if the data set, the split or the folder is missing, and ``OptionsError``
    if one ``--out`` would have to hold several splits.
    """
    if options.is_native and options.crop == "native":
        raise OptionsError(
            "--grid native cannot be combined with --crop native: images of different shapes have "
            "different numbers of cells, and a feature file holds one; drop one of them."
        )
    if options.image_dir is not None:
        images = list_folder_images(options.image_dir)
        return add_views(options, [make_job(options, images, options.image_dir.resolve().name, "")])
    dataset = open_dataset(options.data)
    splits: Sequence[str] = dataset.splits()
    if options.split is not None:
        splits = [dataset.checked_split(options.split)]
    if options.out is not None and len(splits) > 1:
        raise OptionsError(
            f"--out names one file, but {dataset.name} has {len(splits)} splits "
            f"({', '.join(splits)}); name one by --split."
        )
    partial = options.on_error == "skip"
    jobs = [make_job(options, dataset.images(s, partial), dataset.name, s) for s in splits]
    return add_views(options, jobs)


def add_views(options: FeaturizeOptions, jobs: list[Job]) -> list[Job]:
    """The jobs and, with two views, behind each that is asked for by name its mirrored images.

    Where no split is named, that is the training split, as only training uses them.
    """
    if options.views == 1:
        return jobs
    named = options.split is not None or options.image_dir is not None
    both = []
    for job in jobs:
        both.append(job)
        if named or job.split == "train":
            both.append(replace(job, out=mirrored_path(job.out), view=MIRRORED))
    if len(both) == len(jobs):
        raise OptionsError(
            f"--views 2 makes mirrored images of the split train, and {jobs[0].data} has none, but "
            f"{' and '.join(job.split for job in jobs)}; name the split by --split."
        )
    return both


def make_job(options: FeaturizeOptions, images: ImageList, data: str, split: str) -> Job:
    """The job for one list of images, cut to the limit and to the shard."""
    n = len(images) if options.limit is None else min(options.limit, len(images))
    index, of = options.shard
    part = slice(n * (index - 1) // of, n * index // of)
    if part.start == part.stop:
        name = ", ".join(word for word in (data, split) if word)
        raise InputError(
            f"{name}: the shard {index}/{of} of {n} images is empty; ask for at most {n} shards."
        )
    names, ids = images.file_names[part], images.image_ids[part]
    images = replace(images, file_names=names, image_ids=ids)
    shard = f"{index}of{of}" if of > 1 else ""
    network = file_word(options.backbone)
    if options.is_native:
        network = f"{network}-{options.layer}-native"
    return Job(images, data, split, options.out or default_path(data, split, network, shard), shard)


def file_word(backbone: str) -> str:
    """A backbone's name in the name of a file, where a colon may not stand."""
    return backbone.replace(":", "-")


def default_path(*words: str) -> Path:
    """The default path of a feature file, named by the words that say what it holds."""
    return FOLDER / f"{'-'.join(filter(None, words))}.h5"
