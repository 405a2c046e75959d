"""Reading a feature file: columns mapped by offset, rows found by image id."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .layout import FAILED, FORMAT, TO_DO, VERSION, grid_of, map_column, name_grid

IDENTITY = (
    "backbone",
    "weights",
    "weights_sha256",
    "image_size",
    "layer",
    "crop",
    "channels",
    "dtype",
)


class JoinedRows:
    """A column [N, …] of several files, indexed like one array: by a number, a slice or an array.

    Each part stays its own memory map; indexing copies the rows.
    """

    def __init__(self, parts: list[NDArray[Any]]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0] + [len(part) for part in parts])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        asked = np.arange(len(self))[rows]
        flat = np.atleast_1d(asked).ravel()
        out = np.empty((len(flat), *self.shape[1:]), self.dtype)
        owner = np.searchsorted(self.starts, flat, side="right") - 1
        for number, part in enumerate(self.parts):
            mine = np.flatnonzero(owner == number)
            out[mine] = part[flat[mine] - self.starts[number]]
        return out.reshape(np.shape(asked) + self.shape[1:])


class FeatureFile:
    """A feature file, open for reading; made by ``open_features``.

    ``grid`` and ``pooled`` are memory maps, so their rows are read on first access. Safe to use
    after a fork; pickles as its path, so that each process maps the file itself.

    Attributes:
        path: the file.
        provenance: the file's attributes, by name.
        parts: the files that a joined file consists of; for any other file, itself alone.
        n_images, n_cells, channels: N, S and D.
        grid: [N, S, D] the last convolution's cells, row-major: a memory map (or ``JoinedRows``).
        pooled: [N, D] their mean, likewise.
        scale: [N, S] float16, what a cell's bytes are multiplied by; None unless dtype is uint8.
        image_id: [N] int64.
        status: [N] uint8: 0 to do, 1 done, 2 failed, as it was when the file was opened.
        crc32, pooled_crc32: [N] uint32, of each row's bytes; see ``layout``.
        source_bytes, source_crc32: [N] length and checksum of the image files that were read.
        file_name: N paths, relative to ``provenance["image_root"]``.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.provenance: dict[str, Any] = read_provenance(file)
        self.file_name: list[str] = [name.decode() for name in file["file_name"][:]]
        if "parts" in self.provenance:
            self.parts = open_parts(path, self.provenance, len(self.file_name))

            def column(name: str) -> Any:
                return JoinedRows([getattr(part, name) for part in self.parts])
        else:
            self.parts = [self]

            def column(name: str) -> Any:
                return map_column(path, file, name)

        self.grid, self.pooled = column("grid"), column("pooled")
        self.scale = column("scale") if "scale" in file else None
        self.image_id: NDArray[np.int64] = np.array(column("image_id")[:])
        self.status: NDArray[np.uint8] = np.array(column("status")[:])
        self.crc32: NDArray[np.uint32] = np.array(column("crc32")[:])
        self.pooled_crc32: NDArray[np.uint32] = np.array(column("pooled_crc32")[:])
        self.source_bytes: NDArray[np.int64] = np.array(column("source_bytes")[:])
        self.source_crc32: NDArray[np.uint32] = np.array(column("source_crc32")[:])
        self.error = column("error")
        self.n_images, self.n_cells, self.channels = self.grid.shape
        self._order = np.argsort(self.image_id, kind="stable")

    def __reduce__(self) -> tuple[Any, ...]:
        return open_features, (self.path,)

    @property
    def is_complete(self) -> bool:
        """Whether every image is done or failed."""
        return not bool((self.status == TO_DO).any())

    def reason(self, row: int) -> str:
        """Why the image of this row failed; "" if it did not."""
        return bytes(self.error[row]).rstrip(b"\0").decode(errors="replace")

    def rows(self, image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each image id, both [any shape].

        Raises ``InputError`` naming ids that the file lacks, that are not extracted yet, or whose
        image failed.
        """
        ids = np.asarray(image_ids, dtype=np.int64)
        if not self.n_images and ids.size:
            raise InputError(f"{self.path}: holds no images; run `featurize` on your images.")
        if not ids.size:
            return np.zeros(ids.shape, np.int64)
        position = np.searchsorted(self.image_id, ids, sorter=self._order)
        rows: NDArray[np.int64] = self._order[np.minimum(position, self.n_images - 1)]
        self._refuse(ids[self.image_id[rows] != ids], "are not in it; run `featurize` on their set")
        status = self.status[rows]
        self._refuse(ids[status == TO_DO], "are not extracted yet; run `featurize` again to go on")
        self._refuse(
            ids[status == FAILED], "failed to be extracted; `frostgrid info` on the file says why"
        )
        return rows

    def _refuse(self, ids: NDArray[np.int64], what: str) -> None:
        if len(ids):
            ids = np.unique(ids)
            some = ", ".join(str(i) for i in ids[:5]) + (", …" if len(ids) > 5 else "")
            raise InputError(f"{self.path}: {len(ids)} of the images asked for ({some}) {what}.")

    def identity(self) -> dict[str, Any]:
        """What a trained head depends on: it fits only features that are equal in all of these."""
        return identity_of(self.provenance)


def identity_of(provenance: dict[str, Any]) -> dict[str, Any]:
    """The part of ``provenance`` that ``FeatureFile.identity`` returns."""
    grid = name_grid(grid_of(provenance))
    return {name: provenance[name] for name in IDENTITY} | {"grid": grid}


def open_parts(path: Path, provenance: dict[str, Any], n_images: int) -> list[FeatureFile]:
    """The files that a joined file consists of.

    Raises ``InputError`` for a part that is missing (HDF5 itself would read zeros) or that has been
    replaced by a different one.
    """
    parts = [open_features(path.parent / name) for name in json.loads(provenance["parts"])]
    wanted = identity_of(provenance)
    odd = [part.path for part in parts if part.identity() != wanted]
    if odd or sum(part.n_images for part in parts) != n_images:
        raise InputError(
            f"{path}: its parts are not those it was joined from"
            f"{f' ({odd[0]} was made with other settings)' if odd else ''}; remove it and run "
            "`frostgrid join` again."
        )
    return parts


def read_provenance(file: h5py.File) -> dict[str, Any]:
    """The file's attributes as plain Python values."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in file.attrs.items()
    }


def open_hdf5(path: Path, mode: str = "r") -> h5py.File:
    """Open a feature file with h5py; raises ``InputError`` if it is not one of this version."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; `featurize` writes feature files.")
    try:
        file = h5py.File(path, mode)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be opened as a feature file: {error}; "
            "if it is cut off, fetch it again or run `featurize` with --overwrite."
        ) from error
    kind, version = file.attrs.get("format"), file.attrs.get("version")
    if kind == FORMAT and version == VERSION:
        return file
    file.close()
    if kind != FORMAT:
        raise InputError(
            f"{path}: is an HDF5 file but not a feature file (its 'format' attribute is {kind!r}, "
            f"not {FORMAT!r}); make one with `featurize`."
        )
    raise InputError(
        f"{path}: is a feature file of version {version}, this program reads version {VERSION}; "
        "extract it again, or use the frostgrid that wrote it."
    )


def open_features(path: Path | str) -> FeatureFile:
    """Open a feature file, finished or not, for reading.

    Raises ``InputError`` if it is missing, damaged, cut off or of another version.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        return FeatureFile(path, file)
