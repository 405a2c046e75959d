"""The user's cache folder, and arrays that are kept in it."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import platformdirs
from numpy.typing import NDArray

from ..atomic import atomic_write

Arrays = dict[str, NDArray[Any]]


def cache_folder() -> Path:
    """Where derived files are kept between runs: ``FROSTGRID_CACHE``, else the user's cache."""
    override = os.environ.get("FROSTGRID_CACHE")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("frostgrid")


def cached_arrays(kind: str, key: object, build: Callable[[], Arrays]) -> Arrays:
    """The arrays that ``build`` returns, from the cache folder if they were built before.

    They lie in ``<kind>-<hash of key>.npz``, so ``key``, which must be JSON, has to name all that
    the result depends on: the hashes of the bytes that are parsed (``formats.read_source``), the
    options, a format version. A file that cannot be read is built anew; a folder that cannot be
    written costs time, no more.
    """
    digest = hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:32]
    path = cache_folder() / f"{kind}-{digest}.npz"
    try:
        # Opened here, since numpy would leave a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        pass  # absent or damaged
    arrays = build()
    contents: Any = arrays  # numpy's annotations would take the names for its own flags
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part, part.open("wb") as packed:
            np.savez(packed, **contents)
    return arrays


def string_array(strings: Sequence[str]) -> NDArray[np.uint8]:
    """Strings as an array that needs no pickle: the bytes of a JSON list."""
    return np.frombuffer(msgspec.json.encode(list(strings)), np.uint8)


def strings_of(array: NDArray[np.uint8]) -> list[str]:
    """The strings that ``string_array`` packed."""
    return msgspec.json.decode(array.tobytes(), type=list[str])
