"""What a file is, by its first bytes: which of the formats that are read here, or which other."""

import gzip
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

from ....errors import InputError
from ..hdf5 import HDF5_SIGNATURE
from ..structure import SIGNATURE
from .array_folder import SUFFIXES, ArrayFolder, list_files
from .hdf5_file import Hdf5File
from .source import Source
from .tsv_file import TsvFile, is_tsv

EXPECTED = (
    "pytorch-vqa's HDF5 file (features and ids), bottom-up-attention's .tsv, or a folder of .pth "
    "(grid-feats-vqa), .npy or .npz files, one an image"
)
EMPTY, NO_FORMAT = UNKNOWN = ("empty", "of no known format")
# First bytes -> what begins so.
MAGIC = {
    b"\x93NUMPY": "a single NumPy array, which does not say of which images it is",
    b"\x1f\x8b": "a gzip archive",
    b"MATLAB": "a MATLAB file",
    b"\x89PNG": "an image (PNG)",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"SQLite": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"PAR1": "a Parquet file",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
}


def open_source(paths: list[Path], channels: str = "auto", key: str | None = None) -> Source:
    """The features in these files, or in one folder; raises ``InputError`` for anything else."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; expected {EXPECTED}.")
    first = paths[0]
    if len(paths) == 1 and first.is_dir():
        files = list_files(first)
        if not files:
            raise InputError(f"{first}: holds no {', '.join(SUFFIXES)} file; expected {EXPECTED}.")
        return ArrayFolder(first, files, channels, key)
    if any(path.is_dir() for path in paths):
        raise InputError("Several folders at once cannot be read; import one after the other.")
    if all(is_tsv(path) for path in paths):
        return TsvFile(paths)
    with first.open("rb") as file:
        is_hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    if is_hdf5 and len(paths) == 1:
        return Hdf5File(first, channels)
    odd = next(path for path in paths if not is_tsv(path))
    raise InputError(f"{odd}: is {describe_kind(odd)}; expected {EXPECTED}.")


def describe_kind(path: Path) -> str:
    """What a file is, in words, as far as its first bytes tell."""
    with path.open("rb") as file:
        start = file.read(1 << 12)
    if not start:
        return EMPTY
    if start.startswith(SIGNATURE):
        return "a feature file of frostgrid already, from which heads train as it is"
    if start.startswith(HDF5_SIGNATURE):
        return "an HDF5 file"
    if start.startswith(b"PK"):
        return describe_zip(path)
    for magic, words in MAGIC.items():
        if start.startswith(magic):
            return words
    if start[0] == 0x80 and start[1] in range(2, 6):
        return "a Python pickle, which can run programs when it is loaded, so it is not"
    with suppress(OSError, tarfile.TarError, EOFError, gzip.BadGzipFile):
        if tarfile.is_tarfile(path):
            return "a tar archive; unpack it first"
    if start[:1] in (b"{", b"["):
        return "JSON"
    if start[8:9] == b"{":  # eight bytes of length before
        return "a safetensors file"
    if start.isascii() and b"\0" not in start:
        return "text"
    return f"{NO_FORMAT} (its first bytes are {start[:8].hex(' ')})"


def describe_zip(path: Path) -> str:
    """What a zip archive holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "a zip archive that is cut off or damaged"
    if any(name.endswith("data.pkl") for name in names):
        return "a single file of torch.save; expected a folder of them, named by image"
    if names and all(name.endswith(".npy") for name in names):
        return "a single .npz file; expected a folder of them, named by image"
    return f"a zip archive ({', '.join(names[:3])}…); unpack it first"
