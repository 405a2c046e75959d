"""The mirrored views of training images: their features, and which images keep their side."""

import re
from collections.abc import Iterable
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...featurize.file.layout import DONE, GRID, IMPORTED, MIRRORED, PLAIN, name_grid
from ...featurize.file.reader import FeatureFile, open_features
from ...featurize.file.views import mirrored_path, view_of

# Mirrored, what it says of an image is wrong.
SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])")


def says_side(texts: Iterable[str]) -> NDArray[np.bool_]:
    """Which texts have the word left or right, bool ``[n]``."""
    return np.array([SIDE.search(text.lower()) is not None for text in texts], np.bool_)


def open_mirrored(files: list[FeatureFile], views: int, data: str) -> list[FeatureFile]:
    """The mirrored images' file of each file, or none; ``views`` as in ``RunConfig``.

    Raises ``InputError`` for one that is missing where others are there or two views are asked for,
    and for one that does not fit.
    """
    if views == 1:
        return []
    paths = [mirrored_path(file.path) for file in files]
    missing = [k for k, path in enumerate(paths) if not path.exists()]
    if missing and views != 2 and len(missing) == len(files):
        return []
    if missing:
        raise InputError(explain_missing(files[missing[0]], data))
    mirrored = [open_features(path) for path in paths]
    for file, other in zip(files, mirrored, strict=True):
        check_mirrored(file, other)
    return mirrored


def explain_missing(file: FeatureFile, data: str) -> str:
    """That a file has no mirrored companion, and what makes it."""
    identity, path = file.identity(), mirrored_path(file.path)
    if identity["backbone"] == IMPORTED:
        return (
            f"{file.path}: was imported from others' features, of which there are none of mirrored "
            "images; train with --views 1."
        )
    split = file.provenance.get("split")
    usual = {"layer": "layer4", "grid": name_grid(GRID), "crop": "squash", "dtype": "float16"}
    words = [f"--data {quote(data)} --split {split}" if split else "FOLDER"]
    words.append(f"--backbone {identity['backbone']} --image-size {identity['image_size']}")
    for name, value in usual.items():
        if identity[name] != value:
            words.append(f"--{name} {identity[name] if name != 'grid' else 'native'}")
    return (
        f"{path}: no such file, which would hold the mirrored images of {file.path.name}; make it, "
        f"from the same weights ({identity['weights']}), by `featurize {' '.join(words)} --out "
        f"{quote(str(file.path))} --views 2`, or train with --views 1."
    )


def check_mirrored(file: FeatureFile, mirrored: FeatureFile) -> None:
    """Raise ``InputError`` unless ``mirrored`` holds the same images, mirrored, made alike."""
    if view_of(mirrored.provenance) != MIRRORED:
        raise InputError(
            f"{mirrored.path}: is named as the mirrored images of {file.path.name}, but holds "
            "plain ones; rename it, or train with --views 1."
        )
    ours, theirs = made(file), made(mirrored)
    wrong = [
        f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name]
    ]
    if mirrored.file_name != file.file_name or not np.array_equal(mirrored.image_id, file.image_id):
        wrong.append(f"other images ({mirrored.n_images}, not {file.n_images}, or in other order)")
    else:
        read = (file.status == DONE) & (mirrored.status == DONE)
        changed = np.flatnonzero(read & (file.source_crc32 != mirrored.source_crc32))
        if len(changed):
            name = file.file_name[changed[0]]
            wrong.append(f"{len(changed)} image files changed in between ({name} for one)")
    if wrong:
        raise InputError(
            f"{mirrored.path}: does not fit {file.path.name}, whose images it holds mirrored: "
            f"{'; '.join(wrong)}; make both anew by `featurize --views 2 --overwrite`, or train "
            "with --views 1."
        )


def made(file: FeatureFile) -> dict[str, Any]:
    """How a file was made, but for its view."""
    words = str(file.provenance.get("preprocessing", "")).replace("; mirrored left to right", "")
    return {**file.identity(), "view": PLAIN, "preprocessing": words}


def check_ready(mirrored: FeatureFile, image_ids: NDArray[np.int64]) -> None:
    """Raise ``InputError`` unless the file has features of all of these of its images."""
    ready = (mirrored.status == DONE) & ~mirrored.damaged
    lacking = np.intersect1d(image_ids, mirrored.image_id[~ready])
    if len(lacking):
        some = ", ".join(map(str, lacking[:5])) + (", …" if len(lacking) > 5 else "")
        raise InputError(
            f"{mirrored.path}: {len(lacking)} of the images asked for ({some}) are to do, failed "
            "or damaged; run `featurize --views 2` again to go on, with --repair if they failed, "
            "or train with --views 1."
        )
