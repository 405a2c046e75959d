"""A folder with a file an image: grid-feats-vqa's ``.pth``, or NumPy's ``.npy`` and ``.npz``."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ....datasets.images.image_list import natural_key
from ....errors import InputError
from .source import LARGEST_VALUES, Array, Item, Source, arrange, item_of, without_batch

SUFFIXES = (".pth", ".pt", ".npy", ".npz")
KEYS = ("features", "feat", "x")  # of an .npz, in this order, where it holds several arrays


def list_files(folder: Path) -> list[Path]:
    """The files with features in a folder and below, in natural order."""
    found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


class ArrayFolder(Source):
    """The files of a folder, all of one suffix; ``key`` names one of several arrays in each."""

    def __init__(self, folder: Path, paths: list[Path], channels: str, key: str | None) -> None:
        self.paths, self.key = paths, key
        suffixes = sorted({path.suffix.lower() for path in paths})
        if len(suffixes) > 1:
            raise InputError(
                f"{folder}: holds {' and '.join(suffixes)} files; put one kind into a folder."
            )
        is_torch = suffixes[0] in (".pth", ".pt")
        self.kind = "grid-feats" if is_torch else "arrays"
        # grid-feats-vqa saves [1, C, H, W].
        self.channels = "first" if is_torch and channels == "auto" else channels
        self.open = open_tensor if is_torch else open_array
        self.items = [self._item(folder, path) for path in paths]
        self.words = f"a folder of {suffixes[0]} files"

    def _item(self, folder: Path, path: Path) -> Item:
        shape = self.open(path, self.key, header_only=True)
        name = path.relative_to(folder).as_posix()
        return item_of(name, None, without_batch(shape), self.channels, str(path))

    def read(self, index: int) -> Array:
        """See :class:`Source`."""
        path = self.paths[index]
        values = self.open(path, self.key)
        values = values.reshape(without_batch(values.shape))
        return arrange(values, self.items[index], self.channels, str(path))


def open_array(path: Path, key: str | None, header_only: bool = False) -> Any:
    """The array of an ``.npy`` or ``.npz`` file, or its shape alone; nothing is unpickled."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                shape, dtype = read_header(file)
                check_array(path, shape, dtype)
            return shape if header_only else np.load(path, allow_pickle=False)
        with zipfile.ZipFile(path) as archive:
            names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
            member = f"{choose_key(path, names, key)}.npy"
            with archive.open(member) as file:
                shape, dtype = read_header(file)
                check_array(path, shape, dtype)
            if header_only:
                return shape
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is no whole NumPy file ({error}); write it again.") from error


def read_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and type that an ``.npy`` stream begins with."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = read[version](file)
    return shape, dtype


def check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise ``InputError`` for an array that is no features, before it is read."""
    if dtype.hasobject:
        raise InputError(
            f"{path}: holds pickled Python objects, which can run programs when they are loaded, "
            "so it is not; save plain arrays of floats."
        )
    if dtype.kind != "f":
        raise InputError(f"{path}: holds {dtype} values; expected floats.")
    if np.prod(shape, dtype=object) > LARGEST_VALUES:
        raise InputError(f"{path}: claims {list(shape)} values for one image; write it again.")


def choose_key(path: Path, names: list[str], key: str | None) -> str:
    """Which of several arrays holds the features."""
    wanted = [key] if key is not None else [names[0]] if len(names) == 1 else list(KEYS)
    found = [name for name in wanted if name in names]
    if not found:
        raise InputError(
            f"{path}: holds {', '.join(names) or 'no array'}; name the one with the features by "
            "--key."
        )
    return found[0]


def open_tensor(path: Path, key: str | None, header_only: bool = False) -> Any:
    """The tensor of a ``torch.save``d file as float32, or its shape alone; nothing is unpickled.

    That is, nothing but tensors: ``weights_only`` refuses all that could run code.
    """
    import torch

    try:
        with path.open("rb") as file:  # older files are no zip archives, and cannot be mapped
            is_zip = file.read(2) == b"PK"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle's protocol
            loaded = torch.load(path, "cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds more than tensors: Python objects, which can run programs when they "
            "are loaded, so it is not; save the tensor alone (torch.save(tensor, path))."
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: is no whole PyTorch file ({reason}); fetch it again.") from error
    if isinstance(loaded, dict):
        tensors = {str(n): each for n, each in loaded.items() if isinstance(each, torch.Tensor)}
        loaded = tensors[choose_key(path, list(tensors), key)]
    if not isinstance(loaded, torch.Tensor) or not loaded.is_floating_point():
        raise InputError(f"{path}: holds no tensor of floats; expected one, [1, C, H, W].")
    return tuple(loaded.shape) if header_only else loaded.detach().float().numpy()
