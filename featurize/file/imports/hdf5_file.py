"""pytorch-vqa's HDF5 file: ``features``, N x C x H x W, and ``ids``, the images' numbers."""

from pathlib import Path

import h5py
import numpy as np

from ....errors import InputError
from ..hdf5 import describe_in_child
from ..structure import Structure
from .source import Array, Source, arrange, item_of

NAMES = ("features", "ids")


def holds_features(structure: Structure) -> bool:
    """Whether an HDF5 file has the datasets that are read here."""
    return all(name in structure.columns for name in NAMES)


class Hdf5File(Source):
    """The file, its rows read by offset where it is contiguous, else through HDF5."""

    kind = "pytorch-vqa"

    def __init__(self, path: Path, channels: str) -> None:
        self.path, self.channels = path, "first" if channels == "auto" else channels
        structure = describe_in_child(path)  # a damaged file can keep HDF5 busy forever
        if not holds_features(structure):
            found = ", ".join([*structure.columns, *["file_name"] * bool(structure.file_name)])
            raise InputError(
                f"{path}: is an HDF5 file with {found or 'no dataset at its top level'}; expected "
                "the datasets features (N x C x H x W) and ids (N), as pytorch-vqa writes them."
            )
        features, ids = (structure.columns[name] for name in NAMES)
        if np.dtype(ids.dtype).kind not in "iu" or ids.shape != features.shape[:1]:
            raise InputError(
                f"{path}: its ids are {np.dtype(ids.dtype)} {list(ids.shape)}; expected a whole "
                f"number for each of its {features.shape[:1] or 'no'} features."
            )
        if np.dtype(features.dtype).kind != "f":
            raise InputError(f"{path}: its features are {features.dtype}; expected floats.")
        self.offset = features.offset
        self.shape, self.dtype = features.shape, np.dtype(features.dtype)
        with h5py.File(path) as file:
            numbers = file["ids"][:].tolist()
        shape, where = self.shape[1:], f"{path}: features"
        self.items = [item_of("", number, shape, self.channels, where) for number in numbers]
        self.words = f"HDF5 with features {list(self.shape)} and ids, as pytorch-vqa writes"

    def read(self, index: int) -> Array:
        """See :class:`Source`."""
        where = f"{self.path}: features[{index}]"
        try:
            if self.offset is not None:
                start = self.offset + index * int(np.prod(self.shape[1:])) * self.dtype.itemsize
                values = np.array(np.memmap(self.path, self.dtype, "r", start, self.shape[1:]))
            else:
                with h5py.File(self.path) as file:
                    values = file["features"][index]
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{where}: cannot be read ({error}); fetch the file again.") from error
        return arrange(values, self.items[index], self.channels, where)
