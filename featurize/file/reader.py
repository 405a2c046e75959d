"""Reading a feature file: columns mapped by offset, rows found by image id."""

import json
import mmap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .layout import (
    ABSENT,
    DONE,
    FAILED,
    IDENTITY,
    IDENTITY_BEFORE,
    TO_DO,
    grid_of,
    name_grid,
)
from .opening import incomplete, read_structure
from .rows import LONG, JoinedRows, check_distinct, read_rows
from .structure import Structure, cut_off, damaged

SKIP = ", or leave out what is asked or said of them by --missing skip"


class FeatureFile:
    """A feature file, open for reading; made by ``open_features``.

    ``grid`` and ``pooled`` are memory maps, so their rows are read on first access. Safe to use
    after a fork; pickles as its path, so that each process maps the file itself.

    Attributes:
        path: the file.
        structure: all of the file but its rows.
        provenance: the file's attributes, by name.
        columns: all that follow here, by name.
        parts: the files that a joined file consists of; for any other file, itself alone.
        n_images, n_cells, channels: N, S and D.
        grid: [N, S, D] the last convolution's cells, row-major: a memory map (or ``JoinedRows``).
        pooled: [N, D] their mean, likewise.
        scale: [N, S] float16, what a cell's bytes are multiplied by; None unless dtype is uint8.
        image_id: [N] int64.
        status: [N] uint8: 0 to do, 1 done, 2 failed, as it was when the file was opened.
        damaged: [N] whether a row's short columns do not match their checksum; its ``status`` here
            is then 0, whatever the file says.
        crc32, pooled_crc32: [N] uint32, of each row's bytes; see ``layout``.
        source_bytes, source_crc32: [N] length and checksum of the image files that were read.
        file_name: N paths, relative to ``provenance["image_root"]``.
    """

    def __init__(self, path: Path, structure: Structure) -> None:
        self.path = path
        self.structure = structure
        self.provenance: dict[str, Any] = structure.attributes
        self.file_name: list[str] = structure.file_name
        self.parts = open_parts(path, structure) if structure.layout == "joined" else [self]
        rows = read_rows(path, structure) if self.parts == [self] else join_rows(self.parts)
        self.columns = rows
        self.grid, self.pooled, self.error = rows["grid"], rows["pooled"], rows["error"]
        self.scale = rows.get("scale")
        self.image_id: NDArray[np.int64] = rows["image_id"]
        self.status: NDArray[np.uint8] = rows["status"]
        self.damaged: NDArray[np.bool_] = rows["damaged"]
        self.crc32: NDArray[np.uint32] = rows["crc32"]
        self.pooled_crc32: NDArray[np.uint32] = rows["pooled_crc32"]
        self.source_bytes: NDArray[np.int64] = rows["source_bytes"]
        self.source_crc32: NDArray[np.uint32] = rows["source_crc32"]
        self.n_images, self.n_cells, self.channels = self.grid.shape
        if structure.image_id_crc32 not in (None, zlib.crc32(self.image_id.tobytes())):
            raise other_parts(path) if self.parts != [self] else damaged(path)
        self._order = check_distinct(path, self.image_id, self.file_name)

    def __repr__(self) -> str:
        return (
            f"<frostgrid.FeatureFile {str(self.path)!r}: {self.n_images} images, {self.n_cells} "
            f"cells of {self.channels} channels, {self.grid.dtype}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return open_features, (self.path,)

    @property
    def is_complete(self) -> bool:
        """Whether every image is done or failed."""
        return not bool((self.status == TO_DO).any())

    def reason(self, row: int) -> str:
        """Why the image of this row failed; "" if it did not."""
        if self.status[row] != FAILED:
            return ""
        return bytes(self.error[row]).rstrip(b"\0").decode(errors="replace")

    @property
    def missing_checks(self) -> str:
        """What cannot be checked in a file made before it held all checksums; "" of a later one."""
        old = [part.path for part in self.parts if part.structure.fixed_crc32 is None]
        if not old:
            return ""
        return (
            f"{old[0]} has no checksums of its attributes, image ids and file names (it was made "
            "by an earlier frostgrid); `frostgrid convert` makes a copy that has them"
        )

    def check_size(self) -> None:
        """Raise ``InputError`` if the file has become shorter than what is mapped of it."""
        for part in self.parts:
            base = part.grid.base
            if isinstance(base, mmap.mmap) and base.size() < part.structure.file_bytes:
                raise cut_off(part.path, base.size(), part.structure.file_bytes)

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
        self._refuse(
            ids[self.image_id[rows] != ids], f"are not in it; run `featurize` on their set{SKIP}"
        )
        self._refuse(ids[self.damaged[rows]], "are damaged; run `featurize` with --repair")
        status = self.status[rows]
        self._refuse(
            ids[status == TO_DO],
            f"are not extracted yet; run `featurize` again to go on{SKIP}",
        )
        self._refuse(
            ids[status == FAILED],
            f"failed to be extracted; `frostgrid info` on the file says why{SKIP}",
        )
        return rows

    def lacking(self, image_ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Why an image has no features here: ``ABSENT``, ``TO_DO`` or ``FAILED``; else ``DONE``.

        For ids [n], uint8 [n]. A row that is damaged is no reason to do without it: ``rows``
        refuses it.
        """
        state = np.full(len(image_ids), ABSENT, np.uint8)
        if self.n_images:
            position = np.searchsorted(self.image_id, image_ids, sorter=self._order)
            rows = self._order[np.minimum(position, self.n_images - 1)]
            status = np.where(self.damaged, np.uint8(DONE), self.status)
            state = np.where(self.image_id[rows] == image_ids, status[rows], state)
        return state

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
    later = {name: provenance.get(name, before) for name, before in IDENTITY_BEFORE.items()}
    return {name: provenance[name] for name in IDENTITY} | {"grid": grid} | later


def join_rows(parts: list["FeatureFile"]) -> dict[str, Any]:
    """The columns of several files as one: the long ones stay maps, the short ones are copied."""
    rows: dict[str, Any] = {}
    for name in set.intersection(*(set(part.columns) for part in parts)):
        columns = [part.columns[name] for part in parts]
        rows[name] = JoinedRows(columns) if name in LONG else np.concatenate(columns)
    return rows


def open_parts(path: Path, structure: Structure) -> list[FeatureFile]:
    """The files that a joined file consists of.

    Raises ``InputError`` for a part that is missing (HDF5 itself would read zeros), that is joined
    itself, or that has been replaced by a different one.
    """
    try:
        names = json.loads(structure.attributes["parts"])
        paths = [path.parent / name for name in names]
    except (TypeError, ValueError):
        raise incomplete(path, "has an attribute 'parts' that is no list of files") from None
    parts = [open_part(path, part) for part in paths]
    expected = identity_of(structure.attributes)
    odd = [part.path for part in parts if part.identity() != expected]
    if odd or [n for part in parts for n in part.file_name] != structure.file_name or not parts:
        raise other_parts(path, f" ({odd[0]} was made with other settings)" if odd else "")
    return parts


def other_parts(path: Path, what: str = "") -> InputError:
    """What a joined file is refused with if a part has been replaced."""
    return InputError(
        f"{path}: its parts are not those it was joined from{what}; remove it and run `frostgrid "
        "join` again."
    )


def open_part(path: Path, part: Path) -> FeatureFile:
    """One part of the joined file ``path``."""
    structure = read_structure(part)
    if structure.layout != "plain":
        raise InputError(
            f"{path}: its part {part} is {structure.layout}, expected a plain feature file; remove "
            f"{path} and run `frostgrid join` again."
        )
    return FeatureFile(part, structure)


def open_features(path: Path | str) -> FeatureFile:
    """Open a feature file, finished or not, for reading.

    Raises ``InputError`` if it is missing, damaged, cut off, archived or of another version.
    """
    path = Path(path)
    structure = read_structure(path)
    if structure.layout == "archive":
        raise InputError(
            f"{path}: is an archive, whose rows are compressed; make a plain copy with `frostgrid "
            "convert`."
        )
    return FeatureFile(path, structure)
