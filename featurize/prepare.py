"""One feature file to make: what goes in, what it is called, whether an old one fits."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.image_list import ImageList
from ..errors import InputError
from .backbone_input import MEAN, STD
from .extract import Extractor
from .file.layout import DONE, FORMAT, VERSION
from .file.reader import FeatureFile

# What must be equal for two runs to write into one file; their words for a message.
DECISIVE = {
    "backbone": "--backbone",
    "weights_sha256": "weights",
    "layer": "--layer",
    "image_size": "--image-size",
    "grid": "--grid",
    "crop": "--crop",
    "preprocessing": "image preparation",
    "dtype": "--dtype",
}


@dataclass(frozen=True)
class Job:
    """One feature file to fill.

    Attributes:
        images: which images, row by row.
        data, split: the data set's name and its split ("" for a plain folder).
        out: the feature file.
        shard: "2of4" if these are only a part of the split's images, else "".
    """

    images: ImageList
    data: str
    split: str
    out: Path
    shard: str = ""

    def __str__(self) -> str:
        return ", ".join(word for word in (self.data, self.split, self.shard) if word)


def describe(job: Job, extractor: Extractor) -> dict[str, Any]:
    """All that the file says about itself: its HDF5 attributes."""
    backbone, preprocessing = extractor.backbone, extractor.preprocessing
    packages = ("frostgrid", "torch", "torchvision", "pillow", "numpy", "h5py")
    return {
        "format": FORMAT,
        "version": VERSION,
        "backbone": backbone.name,
        "weights": backbone.weights,
        "weights_sha256": backbone.weights_sha256,
        "layer": backbone.layer,
        "image_size": preprocessing.image_size,
        "crop": preprocessing.crop,
        "preprocessing": preprocessing.describe(),
        "mean": np.array(MEAN),
        "std": np.array(STD),
        "grid": list(extractor.network.shape),
        "channels": backbone.channels,
        "dtype": extractor.dtype,
        "compute": extractor.network.describe(),
        "data": job.data,
        "split": job.split,
        "shard": job.shard,
        "image_root": str(job.images.root.resolve()),
        "versions": json.dumps({name: version(name) for name in packages}),
    }


def check_same(file: FeatureFile, provenance: dict[str, Any], images: ImageList) -> None:
    """Raise ``InputError`` saying what differs if these images may not go into this file."""
    for name, words in DECISIVE.items():
        if file.provenance[name] != provenance[name]:
            raise InputError(
                f"{file.path}: was made with {words} {file.provenance[name]}, now asked for "
                f"{provenance[name]}; the two must not be mixed: choose another --out, or "
                "--overwrite to begin anew."
            )
    if file.file_name == images.file_names and np.array_equal(file.image_id, images.image_ids):
        return
    before, now = set(file.file_name), set(images.file_names)
    changes = [
        f"{len(names)} {what} ({name_some(sorted(names))})"
        for what, names in (("gone", before - now), ("new", now - before))
        if names
    ]
    raise InputError(
        f"{file.path}: was begun with {len(before)} images of {file.provenance['image_root']}, now "
        f"there are {len(now)} in {images.root}: {'; '.join(changes) or 'ids or order changed'}; "
        "bring the list back, choose another --out, or --overwrite to begin anew."
    )


def find_changed(file: FeatureFile, images: ImageList) -> NDArray[np.int64]:
    """The finished rows whose image file has another length now, or is gone: a quick look."""
    changed = []
    for row in np.flatnonzero(file.status == DONE):
        try:
            n_bytes = images.path(int(row)).stat().st_size
        except OSError:
            n_bytes = -1
        if n_bytes != file.source_bytes[row]:
            changed.append(row)
    return np.array(changed, np.int64)


def name_some(names: list[str]) -> str:
    """The first few names, and whether there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
