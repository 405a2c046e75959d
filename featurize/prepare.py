"""Create the feature file of a job, or check that the one on the disk fits it; under a lock."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from ..datasets.images.image_list import ImageList
from ..errors import InputError
from .extract import Extractor
from .file.layout import (
    DONE,
    ERROR_BYTES,
    FORMAT,
    IDENTITY_BEFORE,
    MIRRORED,
    TO_DO,
    VERSION,
)
from .file.reader import FeatureFile, open_features
from .file.verify import image_changed, verify
from .file.views import plain_path, view_of
from .file.writer import RowWriter, check_space, create_file, needed_bytes
from .jobs import Job

N_CHECKSUMS = 32  # images whose content is compared before a file is gone on with

# The attributes that two runs into one file must share, and how messages call them.
DECISIVE = {
    "backbone": "--backbone",
    "weights_sha256": "weights",
    "layer": "--layer",
    "image_size": "--image-size",
    "grid": "--grid",
    "crop": "--crop",
    "decode": "--decode",
    "preprocessing": "image preparation",
    "dtype": "--dtype",
}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process from writing this feature file.

    The lock is a hidden file beside it; the system releases it when the process ends, however
    that ends.
    Raises ``InputError`` if another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            f"{path}: cannot be created, since {path.parent} is not a folder; choose another --out."
        ) from None
    try:
        with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            yield
    except filelock.Timeout:
        raise InputError(
            f"{path}: another process is writing it; wait until it ends, or choose another --out."
        ) from None


def prepare(
    job: Job,
    extractor: Extractor,
    overwrite: bool = False,
    repair: bool = False,
    report: Callable[[int], object] = lambda n: None,
) -> None:
    """Create the job's feature file, or check the existing one; the caller holds its lock.

    With ``repair``, rows that are damaged or failed, or whose image changed, are marked as to do;
    ``report`` gets the number of rows checked for that, piece by piece.
    Raises ``InputError`` if the disk has too little space, or if the existing file does not fit.
    """
    for leftover in job.out.parent.glob(f".{escape(job.out.name)}.*.tmp"):
        leftover.unlink()
    provenance = describe(job, extractor)
    if overwrite or not job.out.exists():
        if repair:
            raise InputError(f"{job.out}: no such file, so there is nothing to repair.")
        n_channels = extractor.backbone.channels
        n_cells = extractor.n_cells
        check_space(job.out, needed_bytes(len(job.images), n_channels, extractor.dtype, n_cells))
        create_file(job.out, provenance, job.images.image_ids, job.images.file_names)
    file = open_features(job.out)
    check_same(file, provenance, job.images)
    if repair:
        reopen_rows(file, find_repairs(file, job, report))
        return
    if file.damaged.any():
        reopen_rows(file, np.flatnonzero(file.damaged))
    changed = find_changed(file, job.images)
    if len(changed):
        names = name_some([str(job.images.path(int(row))) for row in changed])
        raise InputError(
            f"{file.path}: {len(changed)} images changed or were removed since their rows were "
            f"written ({names}); --repair to redo those rows, or --overwrite to start afresh."
        )


def describe(job: Job, extractor: Extractor) -> dict[str, Any]:
    """The HDF5 attributes of the file: what made it, and from what."""
    backbone, preprocessing = extractor.backbone, extractor.preprocessing
    packages = ["frostgrid", "torch", "torchvision", "pillow", "numpy", "h5py"]
    if not backbone.is_resnet:
        packages.append("timm")
    return {
        "format": FORMAT,
        "version": VERSION,
        "backbone": backbone.name,
        "weights": backbone.weights,
        "weights_sha256": backbone.weights_sha256,
        "layer": backbone.layer,
        "image_size": preprocessing.image_size,
        "crop": preprocessing.crop,
        "decode": preprocessing.decode,
        "view": preprocessing.view,
        "preprocessing": preprocessing.describe(),
        "mean": np.array(backbone.mean),
        "std": np.array(backbone.std),
        "grid": list(extractor.network.shape),
        "channels": backbone.channels,
        "pooling": backbone.pooling,
        "dtype": extractor.dtype,
        "compute": extractor.network.describe(),
        "data": job.data,
        "split": job.split,
        "shard": job.shard,
        "images_digest": job.images.digest,
        "data_digest": job.images.data_digest,
        "image_root": str(job.images.root.resolve()),
        "versions": json.dumps({name: version(name) for name in packages}),
    }


def check_same(file: FeatureFile, provenance: dict[str, Any], images: ImageList) -> None:
    """Raise ``InputError`` naming what differs if these images must not go into this file."""
    check_view(file, provenance["view"])
    for name, words in DECISIVE.items():
        before = file.provenance.get(name, IDENTITY_BEFORE.get(name))
        if before != provenance[name]:
            raise InputError(
                f"{file.path}: was made with {words} {before}, now asked for "
                f"{provenance[name]}; the two must not be mixed: choose another --out, or "
                "--overwrite to start afresh."
            )
    if file.file_name == images.file_names and np.array_equal(file.image_id, images.image_ids):
        return
    before, now = set(file.file_name), set(images.file_names)
    changes = [
        f"{len(names)} {what} ({name_some(sorted(names))})"
        for what, names in (("missing", before - now), ("new", now - before))
        if names
    ]
    raise InputError(
        f"{file.path}: was started with {len(before)} images of "
        f"{file.provenance.get('image_root')}, now there are {len(now)} in {images.root}: "
        f"{'; '.join(changes) or 'ids or order changed'}; restore the images, choose another "
        "--out, or --overwrite to start afresh."
    )


def check_view(file: FeatureFile, view: str) -> None:
    """Raise ``InputError`` if the file is of the other view of its images."""
    if (held := view_of(file.provenance)) == view:
        return
    remedy = "choose another --out, or --overwrite to start afresh"
    if held == MIRRORED:
        remedy = f"name the plain images' file, --out {plain_path(file.path)}, and add --views 2"
    raise InputError(
        f"{file.path}: holds {held} images, and this command would put {view} ones into it; "
        f"{remedy}."
    )


def find_changed(file: FeatureFile, images: ImageList) -> NDArray[np.int64]:
    """The finished rows whose image file is missing or changed, by a quick look.

    That is the length of each, and the checksum of ``N_CHECKSUMS`` of them: another data set's
    images may have the same names and lengths.
    """
    changed = []
    done = np.flatnonzero(file.status == DONE)
    read = set(done[:: max(1, len(done) // N_CHECKSUMS)].tolist())
    for row in done:
        n_bytes, crc32 = int(file.source_bytes[row]), int(file.source_crc32[row])
        if int(row) in read and image_changed(images.path(int(row)), n_bytes, crc32):
            changed.append(row)
            continue
        try:
            n_found = images.path(int(row)).stat().st_size
        except OSError:
            n_found = -1
        if n_found != n_bytes:
            changed.append(row)
    return np.array(changed, np.int64)


def find_repairs(file: FeatureFile, job: Job, report: Callable[[int], object]) -> NDArray[np.int64]:
    """The rows that are damaged or failed, or whose image file changed."""
    verdict = verify(file, report)
    rows = set(verdict.damaged) | set(verdict.failed)
    for row in np.flatnonzero(file.status == DONE).tolist():
        n_bytes, crc32 = int(file.source_bytes[row]), int(file.source_crc32[row])
        if row not in rows and image_changed(job.images.path(row), n_bytes, crc32):
            rows.add(row)
    return np.array(sorted(rows), np.int64)


def reopen_rows(file: FeatureFile, rows: NDArray[np.int64]) -> None:
    """Mark rows as to do and clear their errors."""
    with RowWriter(file.path) as writer:
        writer.write("status", rows, np.full(len(rows), TO_DO, np.uint8))
        writer.write("error", rows, np.full(len(rows), b"", f"S{ERROR_BYTES}"))
        writer.sync()


def name_some(names: list[str]) -> str:
    """The first few names, and whether there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
