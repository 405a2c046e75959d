"""The user's cache folder, and how files get into it whole."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import platformdirs


def cache_folder() -> Path:
    """Where derived files are kept between runs: ``FROSTGRID_CACHE``, else the user's cache."""
    override = os.environ.get("FROSTGRID_CACHE")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("frostgrid")


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write, that takes the name ``path`` only once it is whole and on disk.

    On any exception the half-written file goes and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def hash_file(path: Path) -> str:
    """The file's sha256 in hex, read as a stream."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
