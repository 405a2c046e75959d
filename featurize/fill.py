"""One feature file from start to end: lock it, make or check it, fill what is to do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
from numpy.typing import NDArray

from ..distributed import Share
from ..errors import InputError
from .extract import Extractor, Outcome, Watch, extract
from .file.layout import DONE, ERROR_BYTES, TO_DO
from .file.reader import FeatureFile, open_features
from .file.verify import image_changed, verify
from .file.writer import RowWriter, check_space, create_file, needed_bytes
from .jobs import Job, check_same, describe, find_changed, name_some


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process from writing this feature file.

    The lock lives in a hidden file beside it and ends with the process, however that ends.
    Raises ``InputError`` if another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            f"{path}: cannot be made, since {path.parent} is not a folder; choose another --out."
        ) from None
    try:
        with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
            yield
    except filelock.Timeout:
        raise InputError(
            f"{path}: another process is writing it; wait for that one, or choose another --out."
        ) from None


def prepare(
    job: Job,
    extractor: Extractor,
    overwrite: bool = False,
    repair: bool = False,
    report: Callable[[int], object] = lambda n: None,
) -> None:
    """Make the job's feature file, or check the one that is there; call it under the lock.

    With ``repair``, rows that are damaged or failed, or whose image changed, are to do again;
    ``report`` is told of rows as they are checked for that.
    Raises ``InputError`` if there is not enough disk, or if what is there does not fit.
    """
    for leftover in job.out.parent.glob(f".{job.out.name}.*.tmp"):
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
    changed = find_changed(file, job.images)
    if len(changed):
        names = name_some([str(job.images.path(int(row))) for row in changed])
        raise InputError(
            f"{file.path}: {len(changed)} images changed or went since their rows were written "
            f"({names}); --repair to look at them again, or --overwrite to begin anew."
        )


def find_repairs(file: FeatureFile, job: Job, report: Callable[[int], object]) -> NDArray[np.int64]:
    """The rows that are damaged or failed, or whose image file is another one now."""
    verdict = verify(file, report)
    rows = set(verdict.damaged) | set(verdict.failed)
    for row in np.flatnonzero(file.status == DONE).tolist():
        n_bytes, crc32 = int(file.source_bytes[row]), int(file.source_crc32[row])
        if row not in rows and image_changed(job.images.path(row), n_bytes, crc32):
            rows.add(row)
    return np.array(sorted(rows), np.int64)


def reopen_rows(file: FeatureFile, rows: NDArray[np.int64]) -> None:
    """Mark rows as to do, and forget why they failed."""
    with RowWriter(file.path) as writer:
        writer.write("status", rows, np.full(len(rows), TO_DO, np.uint8))
        writer.write("error", rows, np.full(len(rows), b"", f"S{ERROR_BYTES}"))
        writer.sync()


def fill(job: Job, extractor: Extractor, file: FeatureFile, watch: Watch, share: Share) -> Outcome:
    """Compute this process's share of the rows that are to do; see ``extract`` for how it ends."""
    with RowWriter(job.out) as writer:
        return extract(extractor, job.images, file.status, writer, watch, share)


def count_to_do(status: NDArray[np.uint8]) -> int:
    """How many images are yet to be looked at."""
    return int((status == TO_DO).sum())
