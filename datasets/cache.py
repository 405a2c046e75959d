"""Arrays that are kept in the user's cache folder."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_write
from .cache_folder import cache_folder

Arrays = dict[str, NDArray[Any]]


def cached_arrays(kind: str, key: object, build: Callable[[], Arrays]) -> Arrays:
    """The arrays that ``build`` returns, from the cache folder if they were built before.

    They lie in ``<kind>-<hash of key>.npz``, so ``key``, which must be JSON, has to name all that
    the result depends on: the hashes of the bytes that are parsed (``formats.read_source``), the
    options, a format version. A file that cannot be read is built anew; a folder that cannot be
    written costs time, no more.
    """
    digest = hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:32]
    path = cache_folder() / f"{kind}-{digest}.npz"
    with suppress(Exception):  # absent, or damaged in any way at all
        return load_arrays(path)
    arrays = build()
    with suppress(OSError):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        save_arrays(path, arrays)
    return arrays


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write an ``.npz`` file whose comment guards the names in it, atomically."""
    contents: Any = arrays  # numpy's annotations would take the names for its own flags
    with atomic_write(path) as part:
        with part.open("wb") as file:
            np.savez(file, **contents)
        with zipfile.ZipFile(part, "a") as archive:
            archive.comment = directory_digest(archive)


def load_arrays(path: Path) -> Arrays:
    """Read what ``save_arrays`` wrote; any other content raises some exception.

    ``numpy.load`` would not do: it checks a member's CRC only if it reads to the member's end,
    which a damaged shape prevents, and no CRC covers the members' names.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.comment != directory_digest(archive):
            raise ValueError(f"{path} is damaged")
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(
                io.BytesIO(archive.read(name)), allow_pickle=False
            )
            for name in archive.namelist()
        }


def directory_digest(archive: zipfile.ZipFile) -> bytes:
    """A hash of the names, sizes and CRCs of an archive's members."""
    members = [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]
    return hashlib.sha256(msgspec.json.encode(members)).hexdigest().encode()


def string_array(strings: Sequence[str]) -> NDArray[np.uint8]:
    """Strings as an array that needs no pickle: the bytes of a JSON list."""
    return np.frombuffer(msgspec.json.encode(list(strings)), np.uint8)


def strings_of(array: NDArray[np.uint8]) -> list[str]:
    """The strings that ``string_array`` packed."""
    return msgspec.json.decode(array.tobytes(), type=list[str])


def pack_names(names: dict[int, str]) -> Arrays:
    """Ids that are no numbers, to be kept under "id_names"; nothing if there are none."""
    return {"id_names": np.frombuffer(msgspec.json.encode(names), np.uint8)} if names else {}


def unpack_names(arrays: Arrays) -> dict[int, str]:
    """What ``pack_names`` packed."""
    if "id_names" not in arrays:
        return {}
    return msgspec.json.decode(arrays["id_names"].tobytes(), type=dict[int, str])
