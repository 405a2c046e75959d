"""The features of one split, wherever they live: a memory map, or the GPU's own memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ...featurize.file.checksums import RowChecker
from ...featurize.file.layout import ABSENT, DONE, FAILED, TO_DO
from ...featurize.file.reader import SKIP, FeatureFile, open_features
from ...featurize.file.views import check_plain
from ...models.kernels.threads import even_pieces, run_pieces
from .gather import gather_rows, prefetch_rows, release_rows
from .identity import ImageCheck
from .views import check_ready, open_mirrored

# Of a map, that are read before it is given back. The system maps the large pages around a row with
# it, so that several times as much is resident.
MAPPED_BYTES = 2**25


@dataclass(frozen=True)
class Cells:
    """Features of a batch's images as the file holds them.

    ``values``: ``[U, S, D]`` or ``[U, D]``; ``scale``: ``[U, S]``, what a cell of bytes is
    multiplied by, or None.
    """

    values: Tensor
    scale: Tensor | None = None

    def floats(self) -> Tensor:
        """The values as floats, dequantised where the file holds bytes."""
        if self.scale is None:
            return self.values
        return self.values * self.scale[..., None].float()


class SplitFeatures:
    """Rows of one or more feature files, by image id.

    ``kind`` is the file's dataset that the head reads: ``grid`` or ``pooled``. Rows are numbered
    through all the files. With a CUDA device that has room for them, the rows are moved there once
    (``make_resident``); otherwise every batch is gathered from the map, which the page cache keeps
    warm. Of files larger than memory (``streamed``) rows are asked for before they are read.

    ``mirrored``, if any, are the files of the same images mirrored, a file for each, whose rows
    come after all the plain ones.
    """

    def __init__(
        self,
        files: list[FeatureFile],
        kind: str,
        check: ImageCheck | None = None,
        mirrored: list[FeatureFile] | None = None,
    ) -> None:
        self.plain, self.mirrored = files, mirrored or []
        self.files = files + self.mirrored
        self.kind = kind
        self.check = check
        self.sources: list[NDArray[Any]] = [getattr(file, kind) for file in self.files]
        self.checkers = [RowChecker(file, kind) for file in self.files]
        self.bases = np.cumsum([0] + [file.n_images for file in self.files])
        self.channels = files[0].channels
        self.streamed = False
        self.mapped = 0  # bytes read since the maps were last given back
        self.resident: Tensor | None = None
        self.resident_scale: Tensor | None = None
        self.resident_row: NDArray[np.int64] | None = None

    def rows(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each id, int64, of the images as they are.

        Raises ``InputError`` naming ids that no file holds or that two hold, and for rows that are
        not the data set's images.
        """
        if len(self.plain) == 1:
            return self._file_rows(self.plain[0], image_ids)
        rows = np.full(len(image_ids), -1, np.int64)
        for file, base in zip(self.plain, self.bases, strict=False):
            mine = np.isin(image_ids, file.image_id)
            twice = np.flatnonzero(mine & (rows >= 0))
            if len(twice):
                owner = np.searchsorted(self.bases, rows[twice[0]], side="right") - 1
                raise InputError(
                    f"{self.files[owner].path} and {file.path}: both hold the image "
                    f"{image_ids[twice[0]]}; name one of them by --features."
                )
            rows[mine] = self._file_rows(file, image_ids[mine]) + base
        if (rows < 0).any():
            missing = np.unique(image_ids[rows < 0])
            names = ", ".join(str(file.path) for file in self.plain)
            raise InputError(
                f"{names}: none of them holds {len(missing)} of the images asked for "
                f"({', '.join(map(str, missing[:5]))}); run `featurize` on their set{SKIP}."
            )
        return rows

    def mirrored_rows(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each id, int64, of the images mirrored.

        Raises ``InputError`` as ``rows`` does, and for images that are not extracted mirrored.
        """
        for file in self.mirrored:
            check_ready(file, image_ids)
        return self.rows(image_ids) + int(self.bases[len(self.plain)])

    def lacking(self, image_ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Why each image, [n], has no features in any file, as ``FeatureFile.lacking`` has it."""
        states = np.stack([file.lacking(image_ids) for file in self.plain])
        # Done in one file is enough; what a file says of a failure is more than not to have it.
        order = np.array([DONE, FAILED, TO_DO, ABSENT], np.uint8)
        rank = np.argsort(order)[np.searchsorted(np.sort(order), states)]
        best: NDArray[np.uint8] = order[rank.min(0)]
        return best

    def _file_rows(self, file: FeatureFile, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = file.rows(image_ids)
        if self.check is not None:
            self.check.check(file, image_ids, rows)
        return rows

    def gather(self, rows: NDArray[np.int64], device: torch.device) -> Cells:
        """The features of these rows, on the device, in the file's own dtype."""
        if self.resident is not None:
            assert self.resident_row is not None
            resident_rows = self.resident_row[rows]
            if (resident_rows < 0).any():
                raise ValueError(f"row {rows[resident_rows < 0][0]} is not kept on {device}.")
            return self.take(torch.from_numpy(resident_rows).to(device, non_blocking=True))
        self._check(rows)
        values = self._read(self.sources, rows, device)
        scales = [file.scale for file in self.files]
        if self.kind == "pooled" or any(scale is None for scale in scales):
            return Cells(values)
        return Cells(values, self._read(scales, rows, device))  # type: ignore[arg-type]

    def take(self, index: Tensor) -> Cells:
        """Resident rows by their index on the device, int64 ``[U]`` (see ``resident_row``)."""
        assert self.resident is not None
        scale = None if self.resident_scale is None else self.resident_scale[index]
        return Cells(self.resident.index_select(0, index), scale)

    def prefetch(self, rows: NDArray[np.int64]) -> None:
        """Say that these rows will be gathered soon; does nothing unless they are streamed."""
        if not self.streamed or self.resident is not None:
            return
        owner = np.searchsorted(self.bases, rows, side="right") - 1
        for number, source in enumerate(self.sources):
            prefetch_rows(source, rows[owner == number] - self.bases[number])

    def _check(self, rows: NDArray[np.int64]) -> None:
        """Check rows at their first use; raises ``InputError`` naming one that is damaged."""
        owner = np.searchsorted(self.bases, rows, side="right") - 1
        for number, checker in enumerate(self.checkers):
            check_rows(checker, rows[owner == number] - self.bases[number])

    def _read(
        self, sources: list[NDArray[Any]], rows: NDArray[np.int64], device: torch.device
    ) -> Tensor:
        pin = device.type == "cuda"
        dtype = torch.from_numpy(np.empty(0, sources[0].dtype)).dtype
        out = torch.empty((len(rows), *sources[0].shape[1:]), dtype=dtype, pin_memory=pin)
        if len(sources) == 1:
            gather_rows(sources[0], rows, out)
        else:
            owner = np.searchsorted(self.bases, rows, side="right") - 1
            for number, source in enumerate(sources):
                mine = np.flatnonzero(owner == number)
                if len(mine):
                    part = torch.empty((len(mine), *source.shape[1:]), dtype=dtype, device="cpu")
                    gather_rows(source, rows[mine] - self.bases[number], part)
                    out[torch.from_numpy(mine)] = part
        self.mapped += out.nbytes
        if self.mapped > MAPPED_BYTES:
            self.mapped = 0
            for source in self.sources:
                release_rows(source)
        return out.to(device, non_blocking=True) if pin else out

    def bytes_of(self, n_rows: int) -> int:
        """How many bytes that many rows take."""
        source = self.sources[0]
        return n_rows * int(np.prod(source.shape[1:])) * source.dtype.itemsize

    def make_resident(self, rows: NDArray[np.int64], device: torch.device) -> None:
        """Keep these rows in the device's own memory, from which alone they are read then."""
        unique = np.unique(rows)
        first = self.gather(unique[:1], device)
        stores = [
            None if part is None else part.new_empty((len(unique), *part.shape[1:]))
            for part in (first.values, first.scale)
        ]
        for start in range(0, len(unique), 512):
            cells = self.gather(unique[start : start + 512], device)
            for store, part in zip(stores, (cells.values, cells.scale), strict=True):
                if store is not None and part is not None:
                    store[start : start + 512] = part
        self.resident, self.resident_scale = stores
        self.resident_row = np.full(int(self.bases[-1]), -1, np.int64)
        self.resident_row[unique] = np.arange(len(unique))


def check_rows(checker: RowChecker, rows: NDArray[np.int64]) -> None:
    """Check those rows of one file that have not been, on as many threads as PyTorch uses."""
    new = checker.unchecked(rows)

    def check(first: int, last: int) -> None:
        checker.check(new[first:last])

    # Python keeps its lock over the checksum of a short row, so that threads would not help.
    n_threads = torch.get_num_threads() if checker.kind == "grid" else 1
    run_pieces(check, even_pieces(len(new), n_threads), n_threads)


def open_split(paths: list[str], kind: str, check: ImageCheck, views: int = 1) -> SplitFeatures:
    """The features of the split that ``check`` is for; ``views`` as in ``RunConfig``.

    Files that say they hold this split are taken alone (ids may repeat between splits); if none
    says so, those that state no split are. Raises ``InputError`` for files that do not fit together
    or are all of other splits.
    """
    files = [part for path in paths for part in open_features(Path(path)).parts]
    if not files:
        raise InputError("No feature file is given; run `featurize` first.")
    first = files[0]
    for file in files:
        check_plain(file.path, file.provenance)
    for file in files[1:]:
        if file.identity() != first.identity():
            theirs, ours = file.identity(), first.identity()
            what = ", ".join(
                f"{k} {theirs[k]!r} against {ours[k]!r}" for k in ours if theirs[k] != ours[k]
            )
            raise InputError(
                f"{file.path} does not fit {first.path}: {what}; extract both in the same way."
            )
    chosen = check.choose(files)
    return SplitFeatures(chosen, kind, check, open_mirrored(chosen, views, check.data))
